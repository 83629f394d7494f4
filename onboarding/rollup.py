"""Counts the funnel: what flows' milestones say, added up by day, for a page whose time must not grow with the flows.

A day is counted whole and in one short transaction, so counting it twice, or by two processes, changes nothing; only
the counts that differ are written. All of a day's counts come from one statement, hence from one moment of the
database: therefore every grouping of a day has the same sum. (A GROUP BY for each of a dozen properties would see a
dozen moments.) Its rows are streamed in the order of the flows and never held together.

Flows that are to be deleted are counted once more, for good (`set_aside`): a day's counts are those of its flows and
of those that it had.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from itertools import groupby, islice, pairwise
from operator import itemgetter
from typing import Any

from django.db import transaction
from django.db.models import Case, Count, Q, TextField, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, TruncDate

from onboarding.domain.attribution import UTM_KEYS, last_values
from onboarding.domain.funnel import COLUMNS, LOST, MET, OTHER, Dimension, bucket, stage_of
from onboarding.models import Flow, Funnel, FunnelRound, Milestone, MilestoneKind

KEPT = 100  # values of a marketing parameter that a day keeps for each partner; the rest is counted as OTHER
OVERLAP = timedelta(minutes=5)  # what happened this long before the last round may have been committed after it
EVERYBODY = ""  # instead of a partner

_BATCH = 500
_STREAM = 5000

_Key = tuple[str, str, str]  # partner, dimension, value
_Counts = dict[_Key, dict[str, int]]  # each by stage
_Kept = dict[tuple[str, str], frozenset[str]]  # (partner, parameter) → values with a count of their own


@dataclass(frozen=True, slots=True)
class _Row:
    """What stands there already: all flows of the day, and how many of them are deleted."""

    pk: int
    flows: dict[str, int]
    gone: dict[str, int]


_Rows = dict[_Key, _Row]


@dataclass(frozen=True, slots=True)
class Round:
    """What one run did: how many days it counted, and how many it left for want of time."""

    counted: int
    left: int


def run(*, now: datetime, seconds: float | None = None) -> Round:
    """Counts every day that has changed since the last complete run, the newest first; begins none after `seconds`."""
    row, _made = FunnelRound.objects.get_or_create(pk=1)
    days = sorted(_changed_days(row.counted_at, now), reverse=True)
    deadline = None if seconds is None else time.monotonic() + seconds
    for number, day in enumerate(days):
        if deadline is not None and time.monotonic() > deadline:
            return Round(number, len(days) - number)
        count_day(day, now=now)
    FunnelRound.objects.filter(Q(counted_at=None) | Q(counted_at__lt=now), pk=1).update(counted_at=now)
    return Round(len(days), 0)


def count_day(day: date, *, now: datetime) -> None:
    """Replaces this day's counts. Holds the one row meanwhile: who waits for it then reads what is newer."""
    with transaction.atomic():
        hold()
        rows = _rows(day)
        _replace(day, rows, _count(_begun_on(day, "flow__"), _kept(day, rows), now))


def hold() -> datetime | None:
    """Nobody else counts until the end of this transaction; gives until when everything is counted."""
    row = FunnelRound.objects.select_for_update().filter(pk=1).first()
    return row.counted_at if row else None


def set_aside(day: date, flows: Iterable[int], *, now: datetime) -> None:
    """Keeps what these flows of the day count for, before they are deleted in this transaction, which holds.

    They must have been counted as they are: then they count for the same once more, and the day's sums stay.
    """
    which, rows = Q(flow__in=flows), _rows(day)
    counts = _count(which, _values(rows), now)
    if not counts.keys() <= rows.keys():  # by a release that counted less
        _replace(day, rows, _count(_begun_on(day, "flow__"), _kept(day, rows), now))
        rows = _rows(day)
        counts = _count(which, _values(rows), now)
    _write(day, {key: (rows[key].flows, _sum(rows[key].gone, found)) for key, found in counts.items()}, "gone")


def _changed_days(counted_at: datetime | None, now: datetime) -> set[date]:
    """Days of flows that got further, changed a property, or expired since: that is when a refusal has cost a flow."""
    day = TruncDate("created_at", tzinfo=UTC)
    if counted_at is None:
        return set(Flow.objects.order_by().values_list(day, flat=True).distinct())
    since = counted_at - OVERLAP
    news = Milestone.objects.filter(at__gte=since).order_by()
    # No flow is touched after it expired, so its index on `expires_at` finds both.
    changed = Q(touched_at__gte=since) | Q(expires_at__lte=now)
    flows = Flow.objects.filter(changed, expires_at__gte=since).order_by()
    found = set(news.values_list(TruncDate("flow__created_at", tzinfo=UTC), flat=True).distinct())
    return found | set(flows.values_list(day, flat=True).distinct())


# -- Counting ----------------------------------------------------------------------------------------------------------


def _begun_on(day: date, prefix: str = "") -> Q:
    start = datetime.combine(day, time_of_day.min, UTC)
    return Q(**{f"{prefix}created_at__gte": start, f"{prefix}created_at__lt": start + timedelta(days=1)})


def _count(which: Q, kept: _Kept, now: datetime) -> _Counts:
    """Every count of these milestones' flows."""
    ways: Counter[tuple[_Key, tuple[str, ...]]] = Counter()  # flows that went the same way are added up first
    found: defaultdict[_Key, Counter[str]] = defaultdict(Counter)
    for flow, events in _flows(which):
        reached = [event for event in events if event[0] != MilestoneKind.REFUSED]
        stages = tuple(stage_of(kind, detail) for kind, detail, _at in reached)
        for partner in {EVERYBODY, flow["partner"]}:
            for dimension, value in _properties(flow, partner, kept):
                ways[(partner, dimension, value), stages] += 1
            for one, other in pairwise(reached):
                number = bucket((other[2] - one[2]).total_seconds())
                found[partner, Dimension.SECONDS, stage_of(other[0], other[1])][str(number)] += 1
            for how, code in _refusals(events, over=flow["expires_at"] <= now):
                found[partner, Dimension.REFUSED, code][how] += 1
    for (key, stages), flows in ways.items():
        for stage in stages:
            found[key][stage] += flows
    return {key: dict(flows) for key, flows in found.items()}


def _flows(which: Q) -> Iterator[tuple[dict[str, Any], list[tuple[str, str, datetime]]]]:
    """Each flow, with its milestones in the order of time."""
    columns = (*COLUMNS, "expires_at")
    rows = (
        Milestone.objects.filter(which)
        .order_by("flow_id", "at", "id")
        .annotate(touches=Cast("flow__attribution", TextField()))
        .values_list("flow_id", *(f"flow__{name}" for name in columns), "touches", "kind", "detail", "at")
    )
    for _pk, group in groupby(rows.iterator(chunk_size=_STREAM), key=itemgetter(0)):
        milestones = list(group)
        flow: dict[str, Any] = dict(zip(columns, milestones[0][1:-4], strict=True))
        flow["values"] = last_values(json.loads(milestones[0][-4]))
        yield flow, [row[-3:] for row in milestones]


def _properties(flow: dict[str, Any], partner: str, kept: _Kept) -> Iterator[tuple[str, str]]:
    """Each dimension, and the flow's value in it.

    A partner whose first flow of the day began after `_kept` looked has no values yet; the next round finds them.
    """
    yield Dimension.ALL, ""
    for column in COLUMNS:
        yield column, flow[column]
    for key in UTM_KEYS:
        value = flow["values"].get(key, "")
        yield key, value if not value or value in kept.get((partner, key), ()) else OTHER


def _refusals(events: Iterable[tuple[str, str, datetime]], *, over: bool) -> Iterator[tuple[str, str]]:
    """Each code that the flow met; and the one that it was lost with, if it is over and nothing came after that."""
    events = list(events)
    refused = [event for event in events if event[0] == MilestoneKind.REFUSED]
    for _kind, code, _at in refused:
        yield MET, code
    if over and refused and refused[-1][2] >= events[-1][2]:
        yield LOST, refused[-1][1]


def _kept(day: date, rows: _Rows) -> _Kept:
    """The most frequent values of each parameter, for everybody together and for each partner.

    Once flows of the day are deleted, those that it has stay: how many flows had another one is not known any more.
    """
    firm = _values(rows) if any(row.gone for row in rows.values()) else {}
    kept = dict(firm)
    for key in UTM_KEYS:
        kept[EVERYBODY, key] = _filled(firm.get((EVERYBODY, key), frozenset()), _most_frequent(day, key))
        for partner, group in groupby(_most_frequent(day, key, "partner"), key=itemgetter(0)):
            kept[partner, key] = _filled(firm.get((partner, key), frozenset()), (row[1:] for row in group))
    return kept


def _filled(firm: frozenset[str], found: Iterable[tuple[str, ...]]) -> frozenset[str]:
    """Those, and as many of what was found as there is room for."""
    new = (value for (value,) in found if value not in firm)
    return firm.union(islice(new, max(0, KEPT - len(firm))))


def _values(rows: _Rows) -> _Kept:
    """What the day's rows have a count of its own for."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for partner, dimension, value in rows:
        if dimension in UTM_KEYS and value not in ("", OTHER):
            found[partner, dimension].add(value)
    return {key: frozenset(values) for key, values in found.items()}


def _most_frequent(day: date, key: str, *by: str) -> Iterator[tuple[str, ...]]:
    """The parameter's values of the day, each with the columns before it, the most frequent first."""
    flows = Flow.objects.filter(_begun_on(day)).annotate(value=_last(key)).exclude(value="").order_by()
    counted = flows.values(*by, "value").annotate(n=Count("pk")).order_by(*by, "-n", "value")
    rows: Iterator[tuple[str, ...]] = counted.values_list(*by, "value").iterator(chunk_size=_STREAM)
    return rows


def _last(key: str) -> Coalesce:
    """The same as `domain.attribution.last_values`, for the database."""
    value = Case(
        When(attribution__has_key="last", then=KT(f"attribution__last__values__{key}")),
        When(attribution__has_key="first", then=KT(f"attribution__first__values__{key}")),
        default=KT(f"attribution__{key}"),
        output_field=TextField(),
    )
    return Coalesce(value, Value(""), output_field=TextField())


# -- Writing -----------------------------------------------------------------------------------------------------------


def _rows(day: date) -> _Rows:
    rows = Funnel.objects.filter(day=day).values_list("partner", "dimension", "value", "pk", "flows", "gone")
    return {row[:3]: _Row(row[3], row[4], row[5] or {}) for row in rows}


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {stage: one.get(stage, 0) + other.get(stage, 0) for stage in {**one, **other}}


def _replace(day: date, rows: _Rows, counts: _Counts) -> None:
    """Makes the day's rows these, and touches none that is right already: most of a busy day's stay as they are."""
    counts = counts | {key: _sum(row.gone, counts.get(key, {})) for key, row in rows.items() if row.gone}
    gone = [row.pk for key, row in rows.items() if key not in counts]
    for start in range(0, len(gone), _BATCH):
        Funnel.objects.filter(pk__in=gone[start : start + _BATCH]).delete()
    changed = {key: (flows, None) for key, flows in counts.items() if key not in rows or rows[key].flows != flows}
    _write(day, changed, "flows")


def _write(day: date, rows: Mapping[_Key, tuple[dict[str, int], dict[str, int] | None]], column: str) -> None:
    """Adds these rows, or changes the one column of those that are there."""
    Funnel.objects.bulk_create(
        [
            Funnel(day=day, partner=partner, dimension=dimension, value=value, flows=flows, gone=gone)
            for (partner, dimension, value), (flows, gone) in rows.items()
        ],
        batch_size=_BATCH,
        update_conflicts=True,
        unique_fields=["partner", "dimension", "day", "value"],
        update_fields=[column],
    )
