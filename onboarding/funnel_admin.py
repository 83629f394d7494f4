"""The funnel page of the operator's console: reads the form, asks `reports`, hands lengths to the charts' template."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.text import Truncator

from onboarding import charts, rollup, sheets
from onboarding.console import ReadOnly
from onboarding.domain.funnel import IDENTIFIED, LEVEL, OTHER, PROPERTIES, REGISTERED, Dimension
from onboarding.models import Funnel
from onboarding.reports import LONGEST, Filters, Group, Report, partners, report

SECONDS_TO_COUNT = 5.0  # what one press may take; the command counts the rest
DEFAULT_DAYS = 30
MAX_TEXT = 24  # characters of a value over its bar; the table has them all
SHOWN = (IDENTIFIED, REGISTERED, "done:passed")  # parts of the columns and of the groups' bars

_LABELS = {
    IDENTIFIED: "identified",
    "code_sent": "code sent",
    "verified": "verified",
    REGISTERED: "registered",
    "done:registered": "done, no level asked",
    "done:in_review": "in review",
    "done:passed": "passed",
}


# -- Words -------------------------------------------------------------------------------------------------------------


def label(stage: str) -> str:
    return _LABELS.get(stage) or f"level {stage.removeprefix(LEVEL)}"


OURS = {"": "none", OTHER: "other"}  # no values of a link; the page sets them apart, as a link may say "none" too


def number(flows: int) -> str:
    return f"{flows:,}"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def duration(seconds: float | None) -> str:
    """Two units at most; the buckets are no finer than 10 %."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return "under 1 s"
    whole = round(seconds)
    for size, name, small, small_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name} {rest} {small_name}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


# -- The form ----------------------------------------------------------------------------------------------------------


class FilterForm(forms.Form):
    first = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label="To", widget=forms.DateInput(attrs={"type": "date"}))
    partner = forms.ChoiceField(label="Partner", required=False)
    group = forms.ChoiceField(label="By", choices=[(d.value, d.value.replace("_", " ")) for d in PROPERTIES])

    def __init__(self, data: dict[str, Any], names: list[str]) -> None:
        super().__init__(data, auto_id="funnel-%s", label_suffix="")
        choices = self.fields["partner"]
        assert isinstance(choices, forms.ChoiceField)  # noqa: S101 (for the type checker)
        choices.choices = [("", "all"), *((name, name) for name in names)]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        first, last = data.get("first"), data.get("last")
        if first and last and not timedelta(0) <= last - first < timedelta(days=LONGEST):
            self.add_error("last", f"Choose {LONGEST} days at most, the earlier one first.")
        return data

    def filters(self) -> Filters | None:
        """None when something is wrong with what was asked for."""
        if not self.is_valid():
            return None
        data = self.cleaned_data
        return Filters(data["first"], data["last"], data["partner"], Dimension(data["group"]))


def read_form(request: HttpRequest, today: date) -> FilterForm:
    """What was asked for; the last weeks where nothing was."""
    default = {
        "first": str(today - timedelta(days=DEFAULT_DAYS - 1)),
        "last": str(today),
        "group": Dimension.UTM_CAMPAIGN.value,
    }
    return FilterForm(default | {key: value for key, value in request.GET.items() if value}, partners())


# -- What is shown -----------------------------------------------------------------------------------------------------


def _counts(group: Group, names: tuple[str, ...]) -> list[int]:
    return [group.flows.get(name, 0) for name in names]


def _cells(groups: tuple[Group, ...], names: tuple[str, ...]) -> list[tuple[str, str, list[str], str]]:
    """Value, our word where there is none, counts, share."""
    return [
        (
            group.value,
            OURS.get(group.value, ""),
            [number(flows) for flows in _counts(group, names)],
            percent(group.registered),
        )
        for group in groups
    ]


def _stage_bars(found: Report) -> charts.Bars:
    flows = {stage.name: stage.flows for stage in found.stages}
    rows = []
    for stage in found.stages:
        of_before = f", {percent(stage.of_before)} of {label(stage.before)}" if stage.before else ""
        before = [flows.get(stage.before, 0)] if stage.before else []
        rows.append((label(stage.name), f"{number(stage.flows)}{of_before}", [*before, stage.flows]))
    return charts.bars(rows)


def _group_bars(found: Report) -> charts.Bars:
    rows = [(Truncator(OURS.get(g.value, g.value)).chars(MAX_TEXT), _counts(g, SHOWN)) for g in found.groups]
    return charts.bars([(text, " → ".join(number(flows) for flows in counts), counts) for text, counts in rows])


def context(found: Report, filters: Filters) -> dict[str, Any]:
    """All that the template shows."""
    columns = charts.columns([(day.value, _counts(day, SHOWN)) for day in found.days])
    return {
        "report": found,
        "filters": filters,
        "group_name": filters.group.value.replace("_", " "),
        "labels": [label(name) for name in found.names],
        "stages": [
            (label(s.name), number(s.flows), percent(s.of_all), percent(s.of_before), s.before and label(s.before),
             duration(s.seconds))
            for s in found.stages
        ],
        "stage_bars": _stage_bars(found),
        "columns": columns,
        "days": _cells(found.days, found.names),
        "groups": _cells(found.groups, found.names),
        "group_bars": _group_bars(found),
        "shown": [label(name) for name in SHOWN],
        "total": [number(stage.flows) for stage in found.stages],
        "refusals": [(row.code, number(row.lost), number(row.met)) for row in found.refusals],
    }  # fmt: skip


def sheet(found: Report, filters: Filters) -> Iterator[tuple[object, ...]]:
    """The page's numbers as rows of one shape, so that one pivot table reads them all."""
    yield "part", "value", "stage", "flows", "median seconds"
    for stage in found.stages:
        seconds = None if stage.seconds is None else round(stage.seconds, 1)
        yield "funnel", "", label(stage.name), stage.flows, seconds
    for part, groups in (("day", found.days), (filters.group.value, found.groups)):
        for group in groups:
            for name in found.names:
                yield (
                    part,
                    "(other)" if group.value == OTHER else group.value,
                    label(name),
                    group.flows.get(name, 0),
                    None,
                )
    for row in found.refusals:
        yield "refusal", row.code, "met", row.met, None
        yield "refusal", row.code, "lost", row.lost, None


@admin.register(Funnel)
class FunnelAdmin(ReadOnly):
    """One page instead of a list; who may see flows may see it."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.has_perm("onboarding.view_flow"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        return [path("", self.admin_site.admin_view(self.page), name="onboarding_funnel_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            self._count(request)
            return HttpResponseRedirect(request.get_full_path())
        form = read_form(request, timezone.now().date())
        filters = form.filters()
        shown: dict[str, Any] = {**self.admin_site.each_context(request), "title": "Funnel", "form": form}
        if filters is None:
            return TemplateResponse(request, "admin/onboarding/funnel.html", shown, status=422)
        found = report(filters)
        if request.GET.get("format") == "csv":
            return _download(found, filters)
        return TemplateResponse(request, "admin/onboarding/funnel.html", shown | context(found, filters))

    def _count(self, request: HttpRequest) -> None:
        done = rollup.run(now=timezone.now(), seconds=SECONDS_TO_COUNT)
        if done.left:
            text = f"{done.counted} days counted, {done.left} left: let `manage.py rollup` count them."
            self.message_user(request, text, messages.WARNING)
        else:
            self.message_user(request, f"Days counted: {done.counted}.")


def _download(found: Report, filters: Filters) -> HttpResponse:
    name = f"funnel-{filters.first}-{filters.last}.csv"
    return HttpResponse(
        sheets.table(sheet(found, filters)),
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )
