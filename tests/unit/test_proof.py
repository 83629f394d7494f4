"""How much speaks for a program, what is asked for then, and what counts as the answer."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import altcha
import pytest
from django.test import override_settings

from onboarding import proof
from onboarding.domain.risk import EFFORTS, Effort, Sign, Signs, weigh
from onboarding.proof import Challenge, Proof
from tests.support import TEST_KEY, solution_of

QUICK = Effort(3, 20)
MINE = proof.bound_to("landing", "mine")


def now() -> datetime:
    return datetime.now(UTC)  # the library looks at the clock itself


def given(bound: str = MINE, at: datetime | None = None) -> Challenge:
    return proof.give(bound=bound, effort=QUICK, reason=Sign.FAST, now=at or now())


def checked(challenge: Challenge, solution: str = "", *, bound: str = MINE, after: float = 0) -> Any:
    moment = datetime.fromtimestamp(challenge.given, tz=UTC) + timedelta(seconds=after)
    return proof.check(ticket=challenge.ticket, solution=solution, bound=bound, now=moment)


@pytest.mark.parametrize(
    "signs",
    [Signs(), Signs(fast=True), Signs(pressure=0.39), Signs(fast=True, pressure=0.39), Signs(pressure=0.4)],
)
def test_one_weak_sign_costs_nothing(signs: Signs) -> None:
    assert weigh(signs) is None


@pytest.mark.parametrize(
    ("signs", "effort", "sign"),
    [
        (Signs(trap=True), 0, Sign.TRAP),
        (Signs(reused=True), 0, Sign.REUSED),
        (Signs(fast=True, pressure=0.4), 0, Sign.PRESSURE),
        (Signs(pressure=0.7), 0, Sign.PRESSURE),
        (Signs(fast=True, trap=True), 1, Sign.TRAP),
        (Signs(pressure=0.9), 1, Sign.PRESSURE),
        (Signs(fast=True, trap=True, reused=True, pressure=1.0), 2, Sign.PRESSURE),
    ],
)
def test_work_rises_with_the_signs(signs: Signs, effort: int, sign: Sign) -> None:
    assert weigh(signs) == (EFFORTS[effort], sign)


def test_who_asks_everybody_asks_the_least_of_those_without_a_sign() -> None:
    assert weigh(Signs(), always=True) == (EFFORTS[0], Sign.ALWAYS)
    assert weigh(Signs(trap=True, fast=True), always=True) == (EFFORTS[1], Sign.TRAP)


def test_no_pressure_asks_for_more_than_the_most() -> None:
    assert {weigh(Signs(pressure=pressure)) for pressure in (5.0, 1e9)} == {(EFFORTS[1], Sign.PRESSURE)}
    assert [effort.most for effort in EFFORTS] == sorted(effort.most for effort in EFFORTS)


def test_a_solved_challenge_counts_at_once_and_for_its_own_landing_only() -> None:
    challenge = given()
    solution = solution_of(challenge.work)
    assert isinstance(checked(challenge, solution), Proof)
    assert checked(challenge, solution, bound=proof.bound_to("landing", "another")) is None
    assert checked(challenge, solution, bound=proof.bound_to("flow", "mine")) is None


def test_every_way_to_a_proof_uses_up_the_same_thing() -> None:
    challenge = given()
    solved, waited = checked(challenge, solution_of(challenge.work)), checked(challenge, after=QUICK.wait)
    assert solved == waited and isinstance(solved, Proof)


def test_a_challenge_that_nobody_solved_counts_after_its_wait_and_stays_the_same_until_then() -> None:
    challenge = given()
    assert checked(challenge, after=QUICK.wait - 1) == challenge
    assert challenge.left(datetime.fromtimestamp(challenge.given, tz=UTC) + timedelta(seconds=18.5)) == 2
    assert isinstance(checked(challenge, after=QUICK.wait), Proof)


def test_an_old_challenge_counts_neither_solved_nor_waited_for() -> None:
    challenge = given(at=now() - proof.LIFE)
    assert checked(challenge, solution_of(challenge.work), after=601) is None
    assert checked(challenge, after=601) is None


def test_a_wrong_or_foreign_solution_is_as_good_as_none() -> None:
    challenge, other = given(), given()
    right = json.loads(base64.b64decode(solution_of(challenge.work)))
    easier = {**challenge.work, "parameters": {**challenge.work["parameters"], "keyPrefix": "", "cost": 1}}
    wrong = [
        solution_of(other.work),
        _encoded({**right, "solution": {"counter": right["solution"]["counter"], "derivedKey": "00" * 32}}),
        _encoded({**right, "challenge": easier}),
        _encoded({**right, "challenge": {**challenge.work, "signature": "00" * 32}}),
        *(_encoded(text) for text in ({}, [], 1, None, {"challenge": 1, "solution": []}, {"challenge": {}})),
        *("", "%", "x" * 5000, base64.b64encode(b"[" * 3000).decode(), base64.b64encode(b"\xff").decode()),
    ]
    for solution in wrong:
        assert checked(challenge, solution) == challenge


@pytest.mark.parametrize("ticket", ["x", "x" * 100_000, "a:b:c", " "])
def test_a_ticket_that_is_not_ours_is_none(ticket: str) -> None:
    assert proof.check(ticket=ticket, solution="", bound=MINE, now=now()) is None


def test_a_challenge_given_under_an_earlier_key_still_counts() -> None:
    challenge = given()
    ticket, solution = challenge.ticket, solution_of(challenge.work)
    with override_settings(SECRET_KEY="another-key-of-forty-characters-0123456789", SECRET_KEY_FALLBACKS=[TEST_KEY]):
        assert isinstance(proof.check(ticket=ticket, solution=solution, bound=MINE, now=now()), Proof | Challenge)
        assert proof._is_solved(challenge, solution)
    with override_settings(SECRET_KEY="another-key-of-forty-characters-0123456789"):
        assert proof.check(ticket=ticket, solution=solution, bound=MINE, now=now()) is None


def test_the_work_has_an_end() -> None:
    for _ in range(20):
        challenge = altcha.Challenge.from_dict(given().work)
        solved = altcha.solve_challenge(challenge)
        assert solved is not None and solved.counter < QUICK.most


def _encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()
