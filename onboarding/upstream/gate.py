"""May this call go out now? And what its answer teaches about the next ones.

Three things close the gate before anything is sent: a service that is evidently dead (breaker.py), a wait that the
upstream asked for, and the end of the request's time (budget.py, asked by sending.py). Each process learns by its own
calls. Must not import Django.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from .breaker import Breaker, Limits, State
from .errors import (
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    Refused,
    SessionEnded,
    UpstreamError,
    UpstreamUnavailable,
    Wait,
)

logger = logging.getLogger("onboarding.upstream")


class Circuit(StrEnum):
    """What fails together: one service of the platform behind its gateway (the name in the call's address).

    A dead dictionary must not stop registrations, nor a dead mailer the customers who have their code. Every call also
    passes the circuit of the host, where only connections count: without one nothing behind it can be asked.
    """

    HOST = "host"
    CUSTOMER = "customer"  # register, log in, levels, how the checks stand, where companies may register
    MESSAGE = "message"  # verification codes
    CONFIG = "config"  # dictionaries
    UPLOAD = "upload"
    GEOIP = "geoip"


_CIRCUITS = {
    "send_code": Circuit.MESSAGE,
    "countries": Circuit.CONFIG,
    "dictionary": Circuit.CONFIG,
    "upload": Circuit.UPLOAD,
    "country_of_address": Circuit.GEOIP,
}
REGISTRATION = ("send_code", "register")  # endpoints without which nobody can register

# Failures that a sick service shows. Not 018, 004 and 102, which concern the one request.
_SICK_CODES = frozenset({"500", *(f"GATEWAY_CODE_{number}" for number in ("011", "012", "013", "902"))})
_SICK_LINES = frozenset({"TIMEOUT", "CUT", "EMPTY", "NOT_JSON", "NO_ENVELOPE", "HTTP_408"})

# It is not one customer's group or country, and no hiccup: so many askers, over so many seconds, and no other answer.
EVERYBODY = 3
PERSISTS_SECONDS = 5.0
MISCONFIGURED_SECONDS = 300.0  # how long after the last such answer the first page warns
# Wrong for the whole tenant or address, whatever is asked.
_WHOLE = frozenset(
    {"GATEWAY_CODE_003", "CUSTOMER_API_0000111", "CUSTOMER_API_0001035"}
    | {f"HTTP_{status}" for status in (301, 302, 303, 307, 308, 401, 404)}
)
MOST_WAITS = 1000  # of single callers that are remembered


@dataclass(frozen=True, slots=True)
class Permit:
    endpoint: str
    who: str
    question: bool
    numbers: tuple[tuple[Breaker, int], ...]  # of the host, then of the service


@dataclass(slots=True)
class _Trouble:
    """Answers of one endpoint that only the operator can mend, since its last other answer."""

    code: str
    first: float
    last: float
    who: set[str]

    @property
    def persists(self) -> bool:
        return len(self.who) >= EVERYBODY and self.last - self.first >= PERSISTS_SECONDS


class Gate:
    """Thread-safe. `clock` gives seconds of a steady clock; `changed` hears of every circuit that changes."""

    def __init__(
        self, limits: Limits, clock: Callable[[], float], changed: Callable[[str, str], None] | None = None
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._breakers = {circuit: Breaker(limits, changed=self._teller(circuit)) for circuit in Circuit}
        self._lock = threading.Lock()
        self._waits: dict[tuple[str, str], float] = {}  # (endpoint, caller or "" for all) → until
        self._troubles: dict[str, _Trouble] = {}
        self._has_worked = False

    def enter(self, endpoint: str, who: str, *, question: bool, trace: str) -> Permit:
        """Raises UpstreamUnavailable when the call must not go out now.

        `who` is told apart, never kept for longer than a window: a key, a session, or anything unique.
        """
        now = self._clock()
        told = self._told(endpoint, who, now)
        if told > 0:
            raise UpstreamUnavailable("TOLD_TO_WAIT", trace=trace, retry_after=told)
        numbers: tuple[tuple[Breaker, int], ...] = ()
        for breaker in self._on_the_way(endpoint):
            number = breaker.enter(now, question=question)
            if number is None:
                self._let_go(numbers)
                raise UpstreamUnavailable("BREAKER_OPEN", trace=trace, retry_after=max(breaker.wait(now), 1.0))
            numbers += ((breaker, number),)
        return Permit(endpoint, who, question, numbers)

    def leave(self, permit: Permit, error: UpstreamError | None, *, patient: bool, wait: Wait | None) -> None:
        """`error`: None for a good answer. `patient`: the call had the time that it is usually given."""
        now = self._clock()
        (host, to_host), (service, number) = permit.numbers
        if wait is not None:
            self._keep_wait(permit, wait, now)
        if error is not None and error.code == "CONNECT":
            host.failed(to_host, permit.who, now)
            service.neutral(number)
            return
        if error is not None and error.code == "BULKHEAD":
            self._let_go(permit.numbers)
            return
        host.passed(to_host, now)
        if _is_answer(error):
            self._note_answer(permit, error, now)
            service.passed(number, now)
        elif error is not None and _is_sick(error, patient=patient, question=permit.question):
            service.failed(number, permit.who, now)
        else:
            service.neutral(number)

    def abandon(self, permit: Permit) -> None:
        """The call ended by an error of ours."""
        self._let_go(permit.numbers)

    def refuses_for(self, endpoints: tuple[str, ...]) -> float:
        """Seconds for which one of these endpoints is closed to everybody; 0: a call may try."""
        now = self._clock()
        told = max(self._told(endpoint, "", now) for endpoint in endpoints)
        shut = max(breaker.wait(now) for endpoint in endpoints for breaker in self._on_the_way(endpoint))
        return max(told, shut)

    def mended_after(self, endpoints: tuple[str, ...]) -> float:
        """Seconds until these endpoints are worth another try, after all were told what only the operator can mend."""
        now = self._clock()
        with self._lock:
            found = [
                trouble.last + MISCONFIGURED_SECONDS - now
                for endpoint, trouble in self._troubles.items()
                if trouble.persists and (endpoint in endpoints or trouble.code in _WHOLE)
            ]
        return max([0.0, *found])

    def is_doubtful(self) -> bool:
        """Whether something is not as it should be, so that whoever can ask without harm should."""
        with self._lock:
            troubled = bool(self._troubles)
        return troubled or not all(breaker.is_calm() for breaker in self._breakers.values())

    def words(self) -> list[str]:
        """What is wrong at the moment, in words of a closed set (docs/operations.md)."""
        now = self._clock()
        with self._lock:
            waiting = any(until > now and not who for (_endpoint, who), until in self._waits.items())
            misconfigured = any(trouble.persists for trouble in self._troubles.values())
        shut = any(breaker.wait(now) > 0 for breaker in self._breakers.values())
        found = {"misconfigured": misconfigured, "breaker-open": shut, "told-to-wait": waiting}
        return [word for word, holds in found.items() if holds]

    def never_worked(self) -> bool:
        """The whole tenant or address is wrong, and has been since this process began."""
        with self._lock:
            whole = any(t.persists and t.code in _WHOLE for t in self._troubles.values())
            return whole and not self._has_worked

    def _told(self, endpoint: str, who: str, now: float) -> float:
        with self._lock:
            until = max(self._waits.get((endpoint, who), 0.0), self._waits.get((endpoint, ""), 0.0))
        return max(0.0, until - now)

    def _keep_wait(self, permit: Permit, wait: Wait, now: float) -> None:
        key = (permit.endpoint, "" if wait.everybody else permit.who)
        with self._lock:
            new = self._waits.get(key, 0.0) <= now
            self._waits[key] = max(self._waits.get(key, 0.0), now + wait.seconds)
            if len(self._waits) > MOST_WAITS:
                running = {kept: until for kept, until in self._waits.items() if until > now}
                self._waits = dict(sorted(running.items(), key=lambda item: item[1])[-MOST_WAITS:])
        if new and wait.everybody:
            logger.warning("upstream %s is left alone for %.0f s, as it asked", permit.endpoint, wait.seconds)

    def _note_answer(self, permit: Permit, error: UpstreamError | None, now: float) -> None:
        with self._lock:
            if not isinstance(error, Misconfigured):
                self._troubles.pop(permit.endpoint, None)
                self._has_worked = True
                return
            trouble = self._troubles.setdefault(permit.endpoint, _Trouble(error.code, now, now, set()))
            trouble.code, trouble.last = error.code, now
            if len(trouble.who) < EVERYBODY:
                trouble.who.add(permit.who)

    def _on_the_way(self, endpoint: str) -> tuple[Breaker, Breaker]:
        service = self._breakers[_CIRCUITS.get(endpoint, Circuit.CUSTOMER)]
        return self._breakers[Circuit.HOST], service

    @staticmethod
    def _let_go(numbers: tuple[tuple[Breaker, int], ...]) -> None:
        for breaker, number in numbers:
            breaker.neutral(number)

    def _teller(self, circuit: Circuit) -> Callable[[State, float], None]:
        def tell(state: State, pause: float) -> None:
            level = logging.INFO if state is State.PROBING else logging.WARNING
            logger.log(level, "upstream circuit %s is %s, pause %.1f s", circuit, state, pause)
            if self._changed is not None:
                self._changed(circuit.value, state.value)

        return tell


def _is_answer(error: UpstreamError | None) -> bool:
    """Whether the service looked at the request and said something definite."""
    return error is None or isinstance(error, Refused | SessionEnded | Misconfigured | ContractBroken)


def _is_sick(error: UpstreamError, *, patient: bool, question: bool) -> bool:
    """Whether this failure speaks against the service, not against the one request.

    A call that was cut short, because its request had no more time, proves nothing. What is said to a question may be
    a failure of long ago that is kept under its key; silence cannot be.
    """
    if not isinstance(error, OutcomeUnknown):
        return False
    if error.code == "TIMEOUT":
        return patient
    if error.code == "CUT":
        return True
    said = error.code in _SICK_CODES | _SICK_LINES or error.code.startswith("HTTP_5")
    return said and not question
