"""Whether one service of the upstream is evidently dead or hanging: then its calls are refused before they are sent.

Counts, decides and forgets. Knows no call and no HTTP, and no clock: `now` is seconds of a steady one. Must not import
anything of ours.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    CLOSED = "closed"  # calls go out
    OPEN = "open"  # they are refused
    PROBING = "probing"  # one is under way that decides, the others are refused


@dataclass(frozen=True, slots=True)
class Limits:
    """When a circuit opens, and for how long. Times in seconds."""

    least: int = 5  # different askers whose calls failed: nobody opens it for all by his own odd answer. 0: never
    share: float = 0.6  # of all calls; below that, most customers get through, and an unknown outcome resolves itself
    window: float = 60.0  # in which both are counted
    first_pause: float = 5.0
    longest_pause: float = 60.0
    probe: float = 30.0  # a probe that has not come back by then never will: the next call is the probe


def _silent(_state: State, _pause: float) -> None:
    return


class Breaker:
    """One circuit. Thread-safe. `changed` is told each new state with the pause; it must not call back."""

    def __init__(
        self,
        limits: Limits,
        *,
        changed: Callable[[State, float], None] = _silent,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits
        self._changed = changed
        self._jitter = jitter  # 0 to 1: processes that opened together must not all probe together
        self._lock = threading.Lock()
        self._permits = 0
        self._since = 0  # permits up to this one are from before the last change and tell nothing any more
        self._seen: deque[tuple[float, str | None]] = deque()  # (when, who failed; None: it passed)
        self._failed: Counter[str] = Counter()
        self._open = False
        self._until = 0.0
        self._pause = 0.0
        self._probe = 0  # permit of the probe; 0: there is none
        self._probe_end = 0.0

    def enter(self, now: float, *, question: bool = False) -> int | None:
        """A permit, to be given back by `passed`, `failed` or `neutral`; None: refused.

        A `question` about what an earlier call did need not wait for the end of the pause: it doubles nothing and
        somebody is left in the dark without it. It is the probe then, one at a time like any other.
        """
        with self._lock:
            if self._open:
                busy = self._probe and now < self._probe_end
                if busy or not (question or now >= self._until):
                    return None
                self._probe, self._probe_end = self._permits + 1, now + self._limits.probe
                self._changed(State.PROBING, 0.0)
            self._permits += 1
            return self._permits

    def wait(self, now: float) -> float:
        """Seconds for which a call is refused for certain, at least; 0: the next one may go."""
        with self._lock:
            if not self._open:
                return 0.0
            if now < self._until:
                return self._until - now
            under_way = self._probe and now < self._probe_end
            return min(self._probe_end - now, self._limits.first_pause) if under_way else 0.0

    def is_calm(self) -> bool:
        """Closed, and nothing that failed in sight."""
        with self._lock:
            return not self._open and not self._failed

    def passed(self, permit: int, now: float) -> None:
        """The service answered."""
        with self._lock:
            if permit == self._probe:
                self._open = False
                self._forget()
                self._changed(State.CLOSED, 0.0)
            elif not self._open and permit > self._since:
                self._note(now, None)

    def failed(self, permit: int, who: str, now: float) -> None:
        """The service did not answer, or said that it cannot work."""
        with self._lock:
            if permit == self._probe:
                self._shut(now, min(self._pause * 2, self._limits.longest_pause))
            elif not self._open and permit > self._since:
                self._note(now, who)
                if self._is_evident():
                    self._shut(now, self._limits.first_pause)

    def neutral(self, permit: int) -> None:
        """The call ended without telling anything about the service."""
        with self._lock:
            if permit == self._probe:
                self._probe = 0
                self._changed(State.OPEN, 0.0)

    def _is_evident(self) -> bool:
        least = self._limits.least
        failed = self._failed.total()
        return 0 < least <= len(self._failed) and failed >= self._limits.share * len(self._seen)

    def _shut(self, now: float, pause: float) -> None:
        self._open = True
        self._pause = pause
        self._until = now + pause * (0.5 + 0.5 * self._jitter())
        self._forget()
        self._changed(State.OPEN, self._until - now)

    def _forget(self) -> None:
        self._since = self._permits
        self._probe = 0
        self._seen.clear()
        self._failed.clear()

    def _note(self, now: float, who: str | None) -> None:
        while self._seen and self._seen[0][0] <= now - self._limits.window:
            _when, gone = self._seen.popleft()
            if gone is not None:
                self._failed[gone] -= 1
                if not self._failed[gone]:
                    del self._failed[gone]
        self._seen.append((now, who))
        if who is not None:
            self._failed[who] += 1
