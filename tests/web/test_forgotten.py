"""Old flows are deleted and go on counting: no number of the funnel changes, and no flow goes that was not counted."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from onboarding import housekeeping, rollup
from onboarding.domain.flow import Progress
from onboarding.domain.funnel import OTHER, Dimension
from onboarding.models import Flow, Funnel, FunnelRound, Milestone, Submission, SubmissionKind
from tests import simulated
from tests.simulated import AFTER, DAYS, START
from tests.support import ROOT, Server

LATER = AFTER + rollup.OVERLAP  # by then what was purged at AFTER is counted


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """This process works on a database without flows; its address."""
    address = request.getfixturevalue("postgres") if request.param == "postgres" else simulated.sqlite(tmp_path)
    with simulated.database(address), override_settings(KEEP_FLOWS_DAYS=30):
        for model in (Flow, Funnel, FunnelRound):
            model._default_manager.all().delete()
        yield address


def counts() -> dict[tuple[Any, ...], dict[str, int]]:
    names = ("day", "partner", "dimension", "value")
    return {row[:-1]: row[-1] for row in Funnel.objects.values_list(*names, "flows")}


def purge_and_count(now: datetime = AFTER) -> dict[tuple[Any, ...], dict[str, int]]:
    housekeeping.purge(now=now)
    rollup.run(now=now + rollup.OVERLAP)
    return counts()


def count_anew() -> None:
    for day in Funnel.objects.values_list("day", flat=True).distinct():
        rollup.count_day(day, now=LATER)


class OneVisit(Random):
    """Dice that let everybody come once, by the same link but for the search term."""

    def random(self) -> float:
        return 0.9


def one_flow() -> Flow:
    way = simulated.begin(Random(1), 1, START)
    way.write(SubmissionKind.CODE, "ticket")
    way.register(())
    return Flow.objects.get()


# -- The counts --------------------------------------------------------------------------------------------------------


def test_every_count_is_the_same_when_some_flows_are_deleted_and_when_all_are(database: str) -> None:
    simulated.flows(60, seed=3)
    before = purge_and_count()
    kept = (LATER - START).days - DAYS / 2
    with override_settings(KEEP_FLOWS_DAYS=kept):  # a day is halved
        deleted = housekeeping.forget_flows(now=LATER)
    assert 0 < deleted < 60 and Flow.objects.count() == 60 - deleted
    assert min(Flow.objects.values_list("created_at", flat=True)) > LATER - timedelta(days=kept)
    assert counts() == before
    count_anew()
    assert counts() == before

    assert housekeeping.forget_flows(now=LATER) == 60 - deleted
    assert not Flow.objects.exists() and not Milestone.objects.exists() and not Submission.objects.exists()
    count_anew()
    assert counts() == before
    assert rollup.run(now=LATER + timedelta(days=1)).left == 0
    assert counts() == before


def test_values_with_a_count_of_their_own_keep_it_and_others_stay_together(database: str) -> None:
    """Each flow has a search term of its own, and there are more of them than a day keeps."""
    for number in range(rollup.KEPT + 20):
        simulated.begin(OneVisit(), number, START + timedelta(seconds=number))
    before = purge_and_count()
    gone = (LATER - START - timedelta(seconds=rollup.KEPT // 2)) / timedelta(days=1)
    with override_settings(KEEP_FLOWS_DAYS=gone):
        assert housekeeping.forget_flows(now=LATER) == rollup.KEPT // 2 + 1
    count_anew()
    assert counts() == before
    new = simulated.begin(OneVisit(), 9999, START + timedelta(hours=1))  # the day goes on
    rollup.count_day(START.date(), now=LATER)
    terms = Funnel.objects.filter(partner="", dimension=Dimension.UTM_TERM).values_list("value", "flows")
    assert len(terms) == rollup.KEPT + 1
    assert dict(terms)[OTHER]["identified"] == 21
    new.flow.delete()
    rollup.count_day(START.date(), now=LATER)
    assert counts() == before


def test_what_an_earlier_release_did_not_count_is_counted_before_it_is_deleted(database: str) -> None:
    simulated.flows(20, seed=4)
    before = purge_and_count()
    Funnel.objects.filter(dimension=Dimension.DEVICE).delete()
    assert housekeeping.forget_flows(now=LATER) == 20
    assert counts() == before


# -- What is deleted ---------------------------------------------------------------------------------------------------


def counted_before_its_purge(flow: Flow) -> None:
    FunnelRound.objects.update(counted_at=flow.purged_at)


def never_counted(_flow: Flow) -> None:
    FunnelRound.objects.all().delete()


def not_purged(_flow: Flow) -> None:
    Flow.objects.update(purged_at=None)


def with_an_open_outcome(flow: Flow) -> None:
    flow.submissions.filter(kind=SubmissionKind.REGISTER).update(state=Progress.UNKNOWN)


def younger(_flow: Flow) -> None:
    Flow.objects.update(created_at=LATER - timedelta(days=30) + timedelta(seconds=1))


def not_over(_flow: Flow) -> None:
    Flow.objects.update(expires_at=LATER)


@pytest.mark.parametrize(
    "make", [counted_before_its_purge, never_counted, not_purged, with_an_open_outcome, younger, not_over]
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_flow_is_deleted_that_is(make: Callable[[Flow], None], database: str) -> None:
    one_flow()
    purge_and_count()
    flow = Flow.objects.get()
    make(flow)
    assert housekeeping.forget_flows(now=LATER) == 0
    assert Flow.objects.count() == 1 and Milestone.objects.filter(flow=flow).count() > 2
    assert not Funnel.objects.exclude(gone=None).exists()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_flows_are_kept_for_ever_where_the_setting_says_so(database: str) -> None:
    one_flow()
    purge_and_count()
    with override_settings(KEEP_FLOWS_DAYS=0):
        assert housekeeping.forget_flows(now=LATER + timedelta(days=9999)) == 0
    assert housekeeping.forget_flows(now=LATER) == 1


def test_two_purges_at_once_and_somebody_who_counts_delete_each_flow_once(database: str) -> None:
    simulated.flows(60, seed=5)
    now = timezone.now()
    before = purge_and_count(now + timedelta(hours=1))
    Flow.objects.update(purged_at=now)
    server = Server(database=database, upstream="http://127.0.0.1:9/api", KEEP_FLOWS_DAYS="30")
    purges, count = ([sys.executable, "manage.py", name] for name in ("purge", "rollup"))
    running = [
        subprocess.Popen(command, cwd=ROOT, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in (purges, purges, count)
    ]
    told = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 3, told
    deleted = [int(number) for out, _err in told for number in re.findall(r"(\d+) old flows deleted", out)]
    assert sum(deleted) == 60 and not Flow.objects.exists()
    assert counts() == before
    server.log.unlink(missing_ok=True)
