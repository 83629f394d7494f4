"""What the funnel page says, read from the counts of `onboarding.rollup` and from nothing else; draws nothing.

Six queries, whatever the number of flows: each reads one dimension of one partner (or of all) over a range of days.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import QuerySet

from onboarding.domain.funnel import (
    IDENTIFIED,
    LOST,
    MET,
    OTHER,
    REGISTERED,
    Dimension,
    before,
    in_order,
    median,
)
from onboarding.models import Funnel, FunnelRound

TOP = 25  # groups shown one by one, and codes
LONGEST = 366  # days in one report


@dataclass(frozen=True, slots=True)
class Filters:
    """Which flows: begun from `first` to `last` (days in UTC), of one partner or of all; told apart by `group`."""

    first: date
    last: date
    partner: str = ""
    group: Dimension = Dimension.UTM_CAMPAIGN

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class Stage:
    """How many flows reached it, which shares those are, and after how long."""

    name: str
    flows: int
    before: str  # the stage that they came from
    of_all: float | None
    of_before: float | None
    seconds: float | None  # median of the time since the stage that each flow reached before


@dataclass(frozen=True, slots=True)
class Group:
    """Flows with one value: "" where they have none, OTHER for all values not shown."""

    value: str
    flows: Mapping[str, int]  # by stage

    @property
    def registered(self) -> float | None:
        return share(self.flows.get(REGISTERED, 0), self.flows.get(IDENTIFIED, 0))


@dataclass(frozen=True, slots=True)
class Refusal:
    """How many flows met the code, and how many ended with it: nothing came after it before they expired."""

    code: str
    met: int
    lost: int


@dataclass(frozen=True, slots=True)
class Report:
    counted_at: datetime | None
    stages: tuple[Stage, ...]
    days: tuple[Group, ...]  # value: the day, as ISO 8601
    groups: tuple[Group, ...]
    refusals: tuple[Refusal, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self.stages)


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def partners() -> list[str]:
    """Every partner whose flows were counted."""
    rows = Funnel.objects.filter(partner="", dimension=Dimension.PARTNER)
    return list(rows.order_by("value").values_list("value", flat=True).distinct())


def report(filters: Filters) -> Report:
    by_day = _by_day(filters)
    total: Counter[str] = Counter()
    for flows in by_day.values():
        total.update(flows)
    stages = _stages(total, _medians(filters))
    return Report(
        counted_at=FunnelRound.objects.filter(pk=1).values_list("counted_at", flat=True).first(),
        stages=stages,
        days=tuple(Group(day.isoformat(), by_day.get(day, {})) for day in filters.days),
        groups=_groups(filters),
        refusals=_refusals(filters),
    )


def _counts(filters: Filters, dimension: Dimension) -> QuerySet[Funnel]:
    days = (filters.first, filters.last)
    return Funnel.objects.filter(partner=filters.partner, dimension=dimension, day__range=days).order_by()


def _sums(filters: Filters, dimension: Dimension) -> dict[str, Counter[str]]:
    """Value → stage → flows, added up over the days."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for value, flows in _counts(filters, dimension).values_list("value", "flows").iterator():
        found[value].update(flows)
    return found


def _by_day(filters: Filters) -> dict[date, dict[str, int]]:
    return dict(_counts(filters, Dimension.ALL).values_list("day", "flows"))


def _medians(filters: Filters) -> dict[str, float | None]:
    sums = _sums(filters, Dimension.SECONDS)
    return {stage: median({int(number): n for number, n in flows.items()}) for stage, flows in sums.items()}


def _stages(flows: Mapping[str, int], medians: Mapping[str, float | None]) -> tuple[Stage, ...]:
    all_flows = flows.get(IDENTIFIED, 0)
    return tuple(
        Stage(
            name,
            flows.get(name, 0),
            before(name),
            share(flows.get(name, 0), all_flows),
            share(flows.get(name, 0), flows.get(before(name), 0)),
            medians.get(name),
        )
        for name in in_order(flows)
    )


def _groups(filters: Filters) -> tuple[Group, ...]:
    """The largest groups, then all others as one, so that the sums are those of all flows."""
    found = _sums(filters, filters.group)
    rest = found.pop(OTHER, Counter())
    names = sorted(found, key=lambda value: (-found[value][IDENTIFIED], value))
    for name in names[TOP:]:
        rest.update(found[name])
    shown = [Group(name, found[name]) for name in names[:TOP]]
    return (*shown, Group(OTHER, rest)) if rest else tuple(shown)


def _refusals(filters: Filters) -> tuple[Refusal, ...]:
    """The codes that cost most flows, those first."""
    sums = _sums(filters, Dimension.REFUSED)
    rows = [Refusal(code, flows[MET], flows[LOST]) for code, flows in sums.items()]
    return tuple(sorted(rows, key=lambda row: (-row.lost, -row.met, row.code))[:TOP])
