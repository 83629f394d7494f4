"""The operator's pages of text messages: where codes were sent and not used, and the switch that stops them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import phonenumbers
from babel import Locale
from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from onboarding.console import OwnFilters, ReadOnly
from onboarding.models import SmsCount, SmsStop

if TYPE_CHECKING:
    _StopForm = forms.ModelForm[SmsStop]
else:  # Django's classes cannot be subscripted at run time
    _StopForm = forms.ModelForm

_NAMES = Locale("en").territories


def country_name(code: str) -> str:
    """ "GB United Kingdom"; whoever reads a prefix looks for the code."""
    return f"{code} {_NAMES.get(code, '')}".strip()


def _countries() -> list[tuple[str, str]]:
    """Every country that has telephone numbers."""
    return [("", "every country"), *((code, country_name(code)) for code in sorted(phonenumbers.SUPPORTED_REGIONS))]


class StopForm(_StopForm):
    country = forms.ChoiceField(
        required=False, choices=_countries, help_text="Whose numbers: not where a customer lives."
    )

    class Meta:
        model = SmsStop
        fields = ("country", "stopped", "reason")


@admin.register(SmsStop)
class SmsStopAdmin(OwnFilters):
    """Who changed it and when stands in the list, every change in the history."""

    form = StopForm
    list_display = ("where", "stopped", "reason", "changed_at", "changed_by")
    list_filter = ("stopped",)
    ordering = ("-stopped", "country")
    actions = None
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = ("changed_at", "changed_by")
    fields = ("country", "stopped", "reason", "changed_at", "changed_by")

    @admin.display(description="country", ordering="country")
    def where(self, row: SmsStop) -> str:
        return country_name(row.country) if row.country else "every country"

    def get_readonly_fields(self, request: HttpRequest, obj: SmsStop | None = None) -> tuple[str, ...]:
        return ("where", *self.readonly_fields) if obj else self.readonly_fields

    def get_fields(self, request: HttpRequest, obj: SmsStop | None = None) -> tuple[str, ...]:
        return ("where", *self.fields[1:]) if obj else self.fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: SmsStop, form: Any, change: bool) -> None:
        obj.changed_at, obj.changed_by = timezone.now(), request.user.get_username()
        super().save_model(request, obj, form, change)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> str:  # type: ignore[override]  # Django logs a text as well as its own list
        data = form.cleaned_data
        return f"{'stopped' if data['stopped'] else 'allowed again'}: {data['reason'] or 'no reason given'}"


class AlarmFilter(admin.SimpleListFilter):
    title = parameter_name = "alarm"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "raised")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[SmsCount]) -> QuerySet[SmsCount]:
        return queryset.exclude(alarmed_at=None) if self.value() == "yes" else queryset


@admin.register(SmsCount)
class SmsCountAdmin(ReadOnly):
    """Newest first, and within an hour what was sent for nothing most often."""

    list_display = ("hour", "place", "numbers", "sent", "used", "share", "alarmed_at")
    list_display_links = None
    list_filter = (AlarmFilter,)
    search_fields = ("country__iexact", "prefix__startswith")
    search_help_text = "Two letters of a country, or how a number begins: +44 7400"

    def get_queryset(self, request: HttpRequest) -> QuerySet[SmsCount]:
        rows: QuerySet[SmsCount] = super().get_queryset(request)
        return rows.order_by("-hour", F("used") - F("sent"), "country", "prefix")

    @admin.display(description="country", ordering="country")
    def place(self, row: SmsCount) -> str:
        return country_name(row.country)

    @admin.display(description="numbers", ordering="prefix")
    def numbers(self, row: SmsCount) -> str:
        return f"{row.prefix}…" if row.prefix else "all"

    @admin.display(description="share used")
    def share(self, row: SmsCount) -> str:
        return f"{row.used / row.sent:.0%}" if row.sent else "–"
