"""Flows and submissions in the operator's console: looked at only, found by an index, and without personal data.

Every page names the columns that it shows. The sealed ones are not even read, so a lost key spoils no page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator, smart_split, unescape_string_literal

from onboarding.console import ReadOnly
from onboarding.domain.attribution import Touch, Touches
from onboarding.domain.flow import Outcome
from onboarding.domain.partner import DEFAULT
from onboarding.models import Flow, Milestone, Partner, Submission

if TYPE_CHECKING:
    _TabularInline = admin.TabularInline[Any, Any]
else:  # Django's classes cannot be subscripted at run time
    _TabularInline = admin.TabularInline

_REFERENCE = re.compile(r"([0-9a-z]{3})-?([0-9a-z]{3})-?([0-9a-z]{3})", re.IGNORECASE)
_OPEN = "open"  # in addresses: the outcome of a flow that has none yet


def reference_in(text: str) -> str:
    """The reference that this is, however it was typed; "" when it is none."""
    found = _REFERENCE.fullmatch(text)
    return "-".join(found.groups()).upper() if found else ""


MAX_WORDS = 10  # of a search


def words_of(search: str) -> list[str]:
    """What was typed, cut at spaces but for what stands in quotes; every word is a condition, so not without end."""
    cut = islice(smart_split(search), MAX_WORDS)
    words = [unescape_string_literal(w) if w[0] == w[-1] and w[0] in "\"'" and w[1:] else w for w in cut]
    return [word.replace("\0", "") for word in words]


def lines(rows: Iterable[tuple[object, object]]) -> SafeString:
    """Name and value, one pair a line."""
    return format_html_join("", "<div><strong>{}</strong> {}</div>", rows)


def moment(at: datetime | None) -> str:
    """To the second, as logs have it."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def read_visit(touch: Touch) -> SafeString | str:
    rows = [("time", touch.at), ("path", touch.path), *touch.values.items()]
    return lines(row for row in rows if row[1]) or "-"


def read_history(history: Iterable[Mapping[str, Any]]) -> SafeString | str:
    """The answers before the present one, oldest first."""
    rows = ((entry.get("state", ""), _answer(entry)) for entry in history)
    return lines(rows) or "-"


def _answer(entry: Mapping[str, Any]) -> str:
    at = moment(datetime.fromisoformat(entry["at"])) if entry.get("at") else ""
    parts = (at, *(f"{name} {entry[name]}" for name in ("code", "trace") if entry.get(name)))
    return ", ".join(part for part in parts if part)


class ExactFilter(admin.SimpleListFilter):
    """A filter by one column, whose choices are known without a look at the flows."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in self.names()]

    def names(self) -> list[str]:
        raise NotImplementedError

    def stored(self, name: str) -> str:
        """What the column holds for this choice."""
        return name

    def queryset(self, request: HttpRequest, queryset: QuerySet[Flow]) -> QuerySet[Flow]:
        name = self.value()
        return queryset if name is None else queryset.filter(**{str(self.parameter_name): self.stored(name)})


class OutcomeFilter(ExactFilter):
    title = "outcome"
    parameter_name = "outcome"

    def names(self) -> list[str]:
        return [outcome.value or _OPEN for outcome in Outcome]

    def stored(self, name: str) -> str:
        return "" if name == _OPEN else name


class PartnerFilter(ExactFilter):
    title = "partner"
    parameter_name = "partner"

    def names(self) -> list[str]:
        return [DEFAULT, *Partner.objects.order_by("slug").values_list("slug", flat=True)]


class _Inline(_TabularInline):
    extra = 0
    can_delete = False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """It is a part of the flow's page."""
        return bool(request.user.has_perm("onboarding.view_flow"))

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class MilestoneInline(_Inline):
    model = Milestone
    fields = ("kind", "detail", "time")
    readonly_fields = ("time",)
    ordering = ("at", "id")

    @admin.display(description="at (UTC)")
    def time(self, row: Milestone) -> str:
        return moment(row.at)


class SubmissionInline(_Inline):
    model = Submission
    fields = ("kind", "level", "state", "code", "trace", "tries", "planned", "ended", "earlier")
    readonly_fields = ("planned", "ended", "earlier")
    ordering = ("planned_at", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Submission]:
        return super().get_queryset(request).defer("payload")

    @admin.display(description="planned (UTC)")
    def planned(self, row: Submission) -> str:
        return moment(row.planned_at)

    @admin.display(description="ended (UTC)")
    def ended(self, row: Submission) -> str:
        return moment(row.ended_at)

    @admin.display(description="earlier answers")
    def earlier(self, row: Submission) -> SafeString | str:
        return read_history(row.history)


@admin.register(Flow)
class FlowAdmin(ReadOnly):
    list_display = (
        "reference", "begun", "partner", "short_campaign", "outcome", "customer_no", "channel", "account_type",
        "country", "language", "device",
    )  # fmt: skip
    list_filter = (OutcomeFilter, PartnerFilter, "channel", "account_type")
    search_fields = ("reference",)  # that there is a search; how, says get_search_results
    search_help_text = (
        "Whole words: reference, customer number, partner, campaign, outcome; several narrow it down, quotes keep "
        "words together. The newest 10,000 are listed."
    )
    ordering = ("-created_at",)
    sortable_by = ("begun",)  # any other order would sort all rows
    fieldsets = (
        (None, {"fields": (
            "reference", "outcome", "customer_no", "partner", "campaign", "channel", "account_type", "country",
            "language", "device", "agent",
        )}),
        ("Times", {"fields": (
            "created_at", "touched_at", "registered_at", "expires_at", "purge_at", "purged_at", "delete_asked",
        )}),
        ("Attribution", {"fields": ("first_visit", "last_visit")}),
        ("Verification code", {"fields": ("sends", "code_sent_at", "code_attempts", "notice", "notice_code")}),
        ("Consent", {"fields": (
            "consent_at", "consent_language", "consent_terms_url", "consent_privacy_url",
        )}),
    )  # fmt: skip
    readonly_fields = ("first_visit", "last_visit")
    inlines = (MilestoneInline, SubmissionInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flow]:
        return super().get_queryset(request).defer("personal")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Flow], search_term: str
    ) -> tuple[QuerySet[Flow], bool]:
        for word in words_of(search_term):
            reference = reference_in(word)
            found = Q(customer_no=word) | Q(partner=word) | Q(campaign__iexact=word)
            found |= Q(outcome="" if word == _OPEN else word)
            queryset = queryset.filter(found | Q(reference=reference) if reference else found)
        return queryset, False

    @admin.display(description="begun (UTC)", ordering="created_at")
    def begun(self, row: Flow) -> str:
        return moment(row.created_at)

    @admin.display(description="campaign")
    def short_campaign(self, row: Flow) -> str:
        return Truncator(row.campaign).chars(30) or "-"

    @admin.display(description="first visit")
    def first_visit(self, row: Flow) -> SafeString | str:
        return read_visit(Touches.of(row.attribution).first)

    @admin.display(description="last visit")
    def last_visit(self, row: Flow) -> SafeString | str:
        return read_visit(Touches.of(row.attribution).last)


@admin.register(Submission)
class SubmissionAdmin(ReadOnly):
    list_display = ("flow", "kind", "level", "state", "code", "trace", "tries", "planned_at", "ended_at")
    list_filter = ("kind", "state")
    search_fields = ("trace",)  # that there is a search; how, says get_search_results
    search_help_text = "A flow's reference, or a trace of the upstream. The newest 10,000 are listed."
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        "flow", "kind", "level", "state", "code", "field", "trace", "tries", "planned_at", "sent_at", "ended_at",
        "earlier",
    )  # fmt: skip
    readonly_fields = ("earlier",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Submission]:
        return super().get_queryset(request).select_related("flow").defer("payload", "flow__personal")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Submission], search_term: str
    ) -> tuple[QuerySet[Submission], bool]:
        for word in words_of(search_term):
            reference = reference_in(word)
            queryset = queryset.filter(flow__reference=reference) if reference else queryset.filter(trace=word)
        return queryset, False

    @admin.display(description="earlier answers")
    def earlier(self, row: Submission) -> SafeString | str:
        return read_history(row.history)
