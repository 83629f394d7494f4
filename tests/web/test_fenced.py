"""A flow that was read is written without being held first, unless somebody else has written to it since."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, connection

from onboarding import services
from onboarding.domain.flow import Outcome
from onboarding.milestones import end, reached
from onboarding.models import Flow, Milestone, MilestoneKind, Once
from onboarding.submissions import changing, locked
from tests import simulated
from tests.web.counted import MARKS


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flow]:
    """The key of a flow that has just begun, as this test reads it."""
    postgres = request.param == "postgres"
    address = request.getfixturevalue("postgres") if postgres else simulated.sqlite(tmp_path)
    with simulated.database(address):
        yield Flow.objects.get(pk=simulated.begin(random.Random(1), 1, simulated.START).flow.pk)


def put(row: Flow, name: str) -> Flow:
    row.personal = {**row.personal, name: "here"}
    row.store()
    return row


def taken(flow: Flow, name: str) -> list[str]:
    """The statements of a change, the transaction's own left out."""
    found: list[str] = []

    def note(execute, sql, params, many, context):
        found.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        changing(flow, lambda row: put(row, name))
    return [sql for sql in found if not sql.startswith(MARKS)]


def test_what_nobody_has_touched_is_changed_by_one_statement(begun: Flow) -> None:
    assert [sql.split()[0] for sql in taken(begun, "one")] == ["UPDATE"]
    assert Flow.objects.get(pk=begun.pk).personal == {**begun.personal, "one": "here"}


@pytest.mark.parametrize("how", ["stored", "saved", "again"])
def test_whoever_came_too_late_does_it_again_on_what_the_other_left(begun: Flow, how: str) -> None:
    other = Flow.objects.get(pk=begun.pk)
    if how == "stored":
        put(other, "other")
    elif how == "saved":  # as the previous release writes it, with every column
        with locked(other) as row:
            row.personal = {**row.personal, "other": "here"}
            row.save()
    else:  # nothing but the time, and then by one who read it then
        changing(other, lambda row: row.store())
        services.set_language(flow=other, language="es", now=simulated.START)
        put(Flow.objects.get(pk=begun.pk), "other")
    assert [sql.split()[0] for sql in taken(begun, "mine")] == ["UPDATE", "SELECT", "UPDATE"]
    assert {"other", "mine"} <= set(Flow.objects.get(pk=begun.pk).personal)


def test_nothing_stays_of_what_was_tried_too_late(begun: Flow) -> None:
    tries = []

    def change(row: Flow) -> None:
        tries.append(row.held)
        row.sends += 1
        reached(row, MilestoneKind.VERIFIED, simulated.START + timedelta(seconds=len(tries)))
        row.then(lambda: Once.use(f"try {len(tries)}", simulated.START))
        row.store()

    put(Flow.objects.get(pk=begun.pk), "other")
    changing(begun, change)
    assert tries == [False, True]
    assert begun.sends == 0, "what was read stays as it was read"
    assert Flow.objects.get(pk=begun.pk).sends == 1
    verified = Milestone.objects.get(flow=begun, kind=MilestoneKind.VERIFIED)
    assert verified.at == simulated.START + timedelta(seconds=2)
    assert list(Once.objects.filter(digest__startswith="try").values_list("digest", flat=True)) == ["try 2"]


def test_a_flow_that_was_deleted_is_not_brought_back(begun: Flow) -> None:
    other = Flow.objects.get(pk=begun.pk)
    with locked(other) as row:
        row.personal, row.purged_at = {}, simulated.START
        row.save()
    with pytest.raises(Flow.DoesNotExist):
        changing(begun, lambda row: put(row, "mine"))
    assert Flow.objects.get(pk=begun.pk).personal == {}


def test_a_flow_that_was_read_in_parts_is_held(begun: Flow) -> None:
    partly = Flow.objects.defer("personal").get(pk=begun.pk)
    services.set_language(flow=begun, language="es", now=simulated.START)
    assert partly.personal, "read later than the rest"
    assert [sql.split()[0] for sql in taken(partly, "mine")] == ["SELECT", "UPDATE"]
    assert Flow.objects.get(pk=begun.pk).language == "es"


def test_what_cannot_be_stored_leaves_no_milestone(begun: Flow) -> None:
    second = simulated.begin(random.Random(2), 2, simulated.START).flow

    def change(row: Flow) -> None:
        end(row, Outcome.REGISTERED, simulated.START)
        row.handle_digest = second.handle_digest
        row.store()

    with pytest.raises(IntegrityError):
        changing(begun, change)
    assert not Milestone.objects.filter(flow=begun, kind=MilestoneKind.DONE).exists()
