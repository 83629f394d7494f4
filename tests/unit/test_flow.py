"""The rules of the flow: one function decides the step, from what is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onboarding.domain.flow import (
    FlowState,
    Notice,
    Outcome,
    Progress,
    Step,
    cooldown,
    current,
    expires_at,
    open_levels,
    pause_before_look,
)
from onboarding.domain.levels import Element, Kind, Level, Path

NAME = Element("name", "Name", Kind.INPUT)
ONE = Level("level_1", "One", (Path("P1", "", (NAME,)),))
TWO = Level("level_2", "Two", (Path("P1", "by card", (NAME,)), Path("P2", "by bank", (NAME,))))
EMPTY = Level("level_0", "Nothing asked", (Path("P", "", ()),))
ACCEPTED = Progress.ACCEPTED
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("known", "step", "level"),
    [
        ({}, Step.VERIFY, None),
        ({"password_open": True}, Step.PASSWORD, None),
        ({"password_open": True, "notice": Notice.EMAIL}, Step.IDENTIFY, None),
        ({"notice": Notice.COUNTRY}, Step.IDENTIFY, None),
        ({"registration": Progress.PLANNED}, Step.VERIFY, None),
        ({"registration": Progress.REJECTED}, Step.VERIFY, None),
        ({"registration": Progress.SENT}, Step.STATUS, None),
        ({"registration": Progress.UNKNOWN, "password_open": True}, Step.STATUS, None),
        ({"registration": ACCEPTED}, Step.DONE, None),
        ({"registration": ACCEPTED, "levels": (ONE,)}, Step.LEVEL, "level_1"),
        ({"registration": ACCEPTED, "levels": (EMPTY, ONE)}, Step.LEVEL, "level_1"),
        ({"registration": ACCEPTED, "levels": (EMPTY,)}, Step.DONE, None),
        ({"registration": ACCEPTED, "levels": (ONE, TWO), "submitted": {"level_1": ACCEPTED}}, Step.PATH, "level_2"),
        ({"registration": ACCEPTED, "levels": (TWO,), "paths": {"level_2": "P2"}}, Step.LEVEL, "level_2"),
        ({"registration": ACCEPTED, "levels": (TWO,), "paths": {"level_2": "gone"}}, Step.PATH, "level_2"),
        (
            {"registration": ACCEPTED, "levels": (ONE,), "submitted": {"level_1": Progress.UNKNOWN}},
            Step.STATUS,
            "level_1",
        ),
        (
            {"registration": ACCEPTED, "levels": (ONE,), "submitted": {"level_1": Progress.REJECTED}},
            Step.LEVEL,
            "level_1",
        ),
        ({"registration": ACCEPTED, "levels": (ONE,), "can_submit": False}, Step.DONE, None),
        ({"registration": ACCEPTED, "levels": (ONE,), "outcome": Outcome.IN_REVIEW}, Step.DONE, None),
        ({"registration": Progress.REJECTED, "outcome": Outcome.EXISTS}, Step.PROBLEM, None),
        ({"registration": Progress.REJECTED, "outcome": Outcome.REFUSED}, Step.PROBLEM, None),
    ],
)
def test_the_step_follows_from_what_is_known(known: dict[str, Any], step: Step, level: str | None) -> None:
    position = current(FlowState(**known))
    assert position.step is step
    assert (position.level.code if position.level else None) == level


def test_a_level_on_a_single_path_needs_no_choice() -> None:
    assert current(FlowState(registration=ACCEPTED, levels=(ONE,))).path is ONE.paths[0]


def test_levels_are_open_until_they_are_accepted() -> None:
    state = FlowState(registration=ACCEPTED, levels=(EMPTY, ONE, TWO), submitted={"level_1": ACCEPTED})
    assert open_levels(state) == (TWO,)


def test_a_flow_expires_when_idle_and_at_its_longest_in_any_case() -> None:
    idle, longest = timedelta(hours=1), timedelta(hours=24)
    assert expires_at(created=NOON, touched=NOON, idle=idle, longest=longest) == NOON + idle
    late = NOON + timedelta(hours=23, minutes=30)
    assert expires_at(created=NOON, touched=late, idle=idle, longest=longest) == NOON + longest


@pytest.mark.parametrize(("sends", "seconds"), [(0, 30), (1, 30), (2, 60), (3, 120), (9, 120)])
def test_each_further_code_waits_longer(sends: int, seconds: int) -> None:
    assert cooldown(sends, (30, 60, 120)).total_seconds() == seconds


def test_a_review_is_asked_about_ever_less_often_and_some_forty_times_in_two_days() -> None:
    waited, pauses = timedelta(), []
    while waited < timedelta(days=2):
        pauses.append(pause_before_look(waited))
        waited += pauses[-1]
    assert pauses == sorted(pauses)
    assert 30 <= len(pauses) <= 45
    assert pauses[0] == timedelta(minutes=1)
