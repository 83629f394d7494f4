"""When calls to a service are refused, and how that ends. The clock is a number."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import REGISTRY

from onboarding.metrics import observe_circuit
from onboarding.upstream.breaker import Breaker, Limits, State

LIMITS = Limits(least=3, share=0.6, window=60.0, first_pause=5.0, longest_pause=60.0, probe=30.0)


def breaker(told: list[str] | None = None, limits: Limits = LIMITS, jitter: float = 1.0) -> Breaker:
    changed: Callable[[State, float], None] = lambda state, _pause: told.append(state) if told is not None else None  # noqa: E731
    return Breaker(limits, changed=changed, jitter=lambda: jitter)


def fail(circuit: Breaker, *who: str, now: float = 0.0) -> None:
    for name in who:
        permit = circuit.enter(now)
        assert permit is not None
        circuit.failed(permit, name, now)


def opened(told: list[str] | None = None) -> Breaker:
    circuit = breaker(told)
    fail(circuit, "a", "b", "c")
    return circuit


def test_it_opens_when_enough_customers_fail_and_says_for_how_long() -> None:
    told: list[str] = []
    circuit = breaker(told)
    fail(circuit, "a", "b")
    assert (circuit.wait(0), circuit.is_calm()) == (0, False)
    fail(circuit, "c")
    assert (circuit.enter(1), circuit.wait(1), told) == (None, 4, ["open"])


def test_one_customer_who_fails_again_and_again_opens_it_for_nobody() -> None:
    circuit = breaker()
    fail(circuit, *["the same"] * 500)
    assert circuit.enter(0) is not None


def test_it_stays_closed_while_most_calls_succeed() -> None:
    circuit = breaker()
    for number in range(200):
        permit = circuit.enter(number / 10)
        assert permit is not None
        if number % 2:
            circuit.failed(permit, str(number), number / 10)
        else:
            circuit.passed(permit, number / 10)


def test_failures_of_long_ago_do_not_count() -> None:
    circuit = breaker()
    fail(circuit, "a", "b", now=0)
    fail(circuit, "c", now=61)
    assert circuit.enter(61) is not None


def test_without_a_number_it_never_opens() -> None:
    circuit = breaker(limits=Limits(least=0))
    fail(circuit, *(str(number) for number in range(100)))
    assert circuit.enter(0) is not None


def test_after_the_pause_one_call_decides_and_the_others_are_refused() -> None:
    told: list[str] = []
    circuit = opened(told)
    probe = circuit.enter(5)
    assert probe is not None
    assert [circuit.enter(5), circuit.enter(20)] == [None, None]
    assert circuit.wait(6) > 0
    circuit.passed(probe, 21)
    assert (circuit.enter(21) is not None, circuit.is_calm(), told) == (True, True, ["open", "probing", "closed"])


def test_of_many_threads_one_is_the_probe() -> None:
    circuit = opened()
    with ThreadPoolExecutor(16) as pool:
        permits = list(pool.map(lambda _n: circuit.enter(10), range(64)))
    assert len([permit for permit in permits if permit is not None]) == 1


def test_pauses_grow_to_a_bound_and_differ_between_processes() -> None:
    circuit, pauses, now = opened(), [], 0.0
    for _ in range(6):
        pauses.append(circuit.wait(now))
        now += circuit.wait(now)
        probe = circuit.enter(now)
        assert probe is not None
        circuit.failed(probe, "x", now)
    assert pauses == [5, 10, 20, 40, 60, 60]
    hasty = breaker(jitter=0.0)
    fail(hasty, "a", "b", "c")
    assert hasty.wait(0) == 2.5


def test_a_probe_that_never_returns_blocks_nobody_for_ever() -> None:
    circuit = opened()
    lost = circuit.enter(5)
    assert lost is not None and circuit.enter(34.9) is None
    second = circuit.enter(35)
    assert second is not None
    circuit.failed(lost, "lost", 36)  # it comes back after all: too late to decide anything
    circuit.passed(second, 37)
    assert circuit.enter(37) is not None


def test_a_probe_that_tells_nothing_leaves_its_place_to_the_next_call() -> None:
    circuit = opened()
    probe = circuit.enter(5)
    assert probe is not None
    circuit.neutral(probe)
    assert circuit.enter(5) is not None


def test_a_question_about_an_unknown_outcome_need_not_wait_for_the_end_of_the_pause() -> None:
    circuit = opened()
    question = circuit.enter(1, question=True)
    assert question is not None and circuit.enter(1, question=True) is None
    circuit.neutral(question)
    assert circuit.enter(2) is None  # for the others the pause goes on
    again = circuit.enter(2, question=True)
    assert again is not None
    circuit.passed(again, 2)
    assert circuit.enter(2) is not None


def test_what_was_sent_before_a_change_tells_nothing_after_it() -> None:
    circuit = breaker()
    old = [circuit.enter(0) for _ in range(5)]
    fail(circuit, "a", "b", "c")
    probe = circuit.enter(5)
    assert probe is not None
    circuit.passed(probe, 5)
    for number, permit in enumerate(old):
        assert permit is not None
        circuit.failed(permit, str(number), 20)
    assert circuit.enter(20) is not None and circuit.is_calm()


class Calls(RuleBasedStateMachine):
    """Any calls, in any order, ending in any way: what holds all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []
        self.circuit = breaker(self.states)
        self.now = 0.0
        self.under_way: list[int] = []

    @rule(seconds=st.floats(0.1, 45))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(question=st.booleans())
    def somebody_calls(self, question: bool) -> None:
        waits = self.circuit.wait(self.now)
        permit = self.circuit.enter(self.now, question=question)
        if permit is not None:
            self.under_way.append(permit)
        if not question:
            assert (permit is None) == (waits > 0), "the page says what the call meets"

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), end=st.sampled_from(["passed", "failed", "neutral"]))
    def a_call_ends(self, data: st.DataObject, end: str) -> None:
        permit = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        match end:
            case "passed":
                self.circuit.passed(permit, self.now)
            case "failed":
                self.circuit.failed(permit, str(permit % 4), self.now)
            case _:
                self.circuit.neutral(permit)

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        assert self.circuit.wait(self.now) <= LIMITS.longest_pause
        assert self.circuit.wait(self.now + LIMITS.longest_pause + LIMITS.probe) == 0

    @invariant()
    def it_opens_before_it_probes(self) -> None:
        assert all(
            before in ("open", "probing")
            for before, after in zip(self.states, self.states[1:], strict=False)
            if after == "probing"
        )


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_number_in_the_metrics(state: State) -> None:
    observe_circuit("test", state)
    assert REGISTRY.get_sample_value("onboarding_upstream_circuit", {"circuit": "test"}) in (0, 1, 2)
