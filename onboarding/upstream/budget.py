"""How long one request may spend on all its calls to the upstream together.

A request makes several (register, log in, fetch a level), from places that know nothing of each other. So the time is
kept beside the request, in the context of its thread, and not handed through every function. Must not import Django.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class _Budget:
    """The time runs from the first call on: a customer who sends slowly has used up nothing."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    def left(self) -> float:
        now = time.monotonic()
        self._end = self._end or now + self._seconds
        return self._end - now


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def spending(seconds: float) -> Iterator[None]:
    """All calls and waits inside end within this time."""
    token = _budget.set(_Budget(seconds))
    try:
        yield
    finally:
        _budget.reset(token)


def left() -> float:
    """Seconds; infinite where nobody is waiting (commands, threads of our own)."""
    budget = _budget.get()
    return math.inf if budget is None else budget.left()
