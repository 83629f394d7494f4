"""The console as a whole: who may enter, and by which steps. Django's admin asks this for every page of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from onboarding import lockout, second_factor


class ConsoleSite(admin.AdminSite):
    site_header = site_title = "Onboarding"
    index_title = "Console"

    def has_permission(self, request: HttpRequest) -> bool:
        """Active staff, with the second factor where it is asked for."""
        return super().has_permission(request) and not second_factor.is_missing(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET" and super().has_permission(request) and second_factor.is_missing(request):
            wanted = request.GET.get("next", "")
            return redirect(reverse("admin:second-factor") + (f"?{urlencode({'next': wanted})}" if wanted else ""))
        if request.method != "POST":
            return super().login(request, extra_context)
        with lockout.one_at_a_time() as mine:
            return super().login(request, extra_context) if mine else lockout.busy()

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Before Django's own: its last pattern takes everything.
        return [path("second-factor/", self.second_factor, name="second-factor"), *super().get_urls()]

    @method_decorator([never_cache, csrf_protect])
    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Open to staff whose password was right, and to nobody else."""
        if not super().has_permission(request):
            return redirect(reverse("admin:login"))
        return second_factor.page(request, self.each_context(request))
