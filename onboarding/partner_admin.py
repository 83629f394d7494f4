"""The operator's page of a partner: what is wrong is said at its field, what is risky in a warning, and every change
with its old and its new value in the history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from onboarding.dictionaries import countries
from onboarding.models import Partner
from onboarding.webhook_admin import WebhookActions

if TYPE_CHECKING:
    _PartnerForm = forms.ModelForm[Partner]
else:  # Django's classes cannot be subscripted at run time
    _PartnerForm = forms.ModelForm

LONGEST_VALUE = 200  # characters of a value that the history repeats


class PartnerForm(_PartnerForm):
    language = forms.ChoiceField(
        label="Default language", required=False, choices=[("", "the visitor's"), *settings.LANGUAGES]
    )

    class Meta:
        model = Partner
        exclude = ("webhook_keys",)
        widgets = {
            "origins": AdminTextareaWidget({"rows": 4}),
            "trade_types": AdminTextareaWidget({"rows": 3}),
        }


@admin.register(Partner)
class PartnerAdmin(WebhookActions):
    form = PartnerForm
    list_display = ("slug", "name", "active", "shown_origins", "language", "theme", "tells")
    list_filter = ("active",)
    search_fields = ("slug", "name", "origins")
    fieldsets = (
        (None, {"fields": ("slug", "name", "active", "addresses")}),
        ("Who may frame the form", {"fields": ("origins", "wildcards")}),
        ("What is proposed", {"fields": ("language", "country", "channel", "theme")}),
        ("What the platform is told", {"fields": ("customer_group", "trade_types", "agent")}),
        ("Where customers go", {"fields": ("continue_url", "sign_in_url")}),
        ("What the partner is told", {"fields": ("webhook_url",)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Partner | None = None) -> tuple[str, ...]:
        """The short name stands in the partner's pages and in the flows begun there: it stays what it was."""
        return ("addresses", "slug") if obj else ("addresses",)

    @admin.display(description="origins")
    def shown_origins(self, row: Partner) -> str:
        return ", ".join(row.origins.split()) or "none"

    @admin.display(description="webhook", boolean=True)
    def tells(self, row: Partner) -> bool:
        return bool(row.webhook_url)

    @admin.display(description="addresses")
    def addresses(self, row: Partner) -> str | SafeString:
        if not row.pk:
            return "shown once it is saved"
        return format_html(
            '<a href="{}">{}</a> · <a href="{}">the partner’s own check, with the snippet</a>',
            reverse("partner", args=[row.slug]),
            settings.PUBLIC_URL + reverse("partner", args=[row.slug]),
            reverse("check", args=[row.slug]),
        )

    def save_model(self, request: HttpRequest, obj: Partner, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for text in warnings_about(obj):
            self.message_user(request, text, messages.WARNING)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> str:  # type: ignore[override]  # Django logs a text as well as its own list
        """What changed from which value to which; what may be secret in an address is left out."""
        changes = [
            f"{name}: {_shown(name, None if add else form.initial.get(name))} → {_shown(name, form.cleaned_data[name])}"
            for name in form.changed_data
            if name in form.cleaned_data
        ]
        return "; ".join(changes) or "Saved without a change."


def warnings_about(partner: Partner) -> list[str]:
    """What is allowed, and yet should be seen once more."""
    found = []
    for origin in partner.origins.split():
        if "*" in origin:
            found.append(f"With {origin} every site below that host may frame the form now, whoever runs it.")
        elif origin.startswith("http:"):
            found.append(f"Not encrypted: {origin}. It serves for trying things out on one machine only.")
    known = {code.upper() for country in countries("en") for code in (country.code, country.alpha2)}
    if partner.country and partner.country.upper() not in known:
        found.append(f"{partner.country} is in no list of countries today, so nothing is proposed.")
    return found


def _shown(name: str, value: Any) -> str:
    """A value in the history, on one line. Of an address that may hold a secret its query is left out."""
    if name.endswith("_url") and value:
        parts = urlsplit(str(value))
        value = f"{parts.scheme}://{parts.netloc}{parts.path}" + ("?…" if parts.query else "")
    text = " ".join(str(value).split()) if value not in (None, "", []) else "nothing"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
