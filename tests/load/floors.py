"""Our application, and beside its pages what a page costs at the least and what it costs by Django's own widgets.

Served in place of `onboarding.wsgi`, so that both pass the same server and middleware. Not a route of the product.
"""

from __future__ import annotations

from onboarding.wsgi import application  # isort: skip  # first: it sets Django up

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path

from onboarding import urls
from onboarding.urls import handler400, handler403, handler404, handler500

__all__ = ["application", "handler400", "handler403", "handler404", "handler500", "urlpatterns"]

settings.ROOT_URLCONF = __name__
HEADERS = {"Content-Language": "en", "Vary": "HX-Request, Accept-Language"}  # beside those that the middleware sets


def constant(_request: HttpRequest, size: int) -> HttpResponse:
    """A page of this size that is the same for everybody."""
    return HttpResponse(_page(size), headers=HEADERS)


_pages: dict[int, bytes] = {}


def _page(size: int) -> bytes:
    if size not in _pages:
        _pages[size] = b"<!doctype html>" + b"x" * (size - 15)
    return _pages[size]


class TwelveFields(forms.Form):
    """As many as a first page with everything on it."""

    name = forms.CharField(max_length=80)
    email = forms.EmailField()
    phone = forms.CharField(max_length=20)
    country = forms.ChoiceField(choices=[(f"C{number}", f"Country {number}") for number in range(20)])
    birthday = forms.DateField()
    address = forms.CharField(widget=forms.Textarea)
    city = forms.CharField()
    postcode = forms.CharField(max_length=10)
    kind = forms.ChoiceField(choices=[("a", "Individual"), ("b", "Company")], widget=forms.RadioSelect)
    amount = forms.IntegerField(min_value=1)
    password = forms.CharField(widget=forms.PasswordInput)
    terms = forms.BooleanField()


_WIDGETS = engines["django"].from_string(
    '<!doctype html><title>Twelve</title><form method="post">{{ form.as_div }}<button>Go on</button></form>'
)


def widgets(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_WIDGETS.render({"form": TwelveFields()}, request), headers=HEADERS)


urlpatterns = [
    *urls.urlpatterns,
    path("floor/constant/<int:size>/", constant),
    path("floor/widgets/", widgets),
]
