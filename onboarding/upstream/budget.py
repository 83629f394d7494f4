"""How long one request may spend on all its calls to the upstream together.

A request makes several (register, log in, fetch a level), from places that know nothing of each other. So the end is
kept beside the request, in the context of its thread, and not handed through every function. Must not import Django.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_end: ContextVar[float] = ContextVar("end of the budget", default=math.inf)


@contextmanager
def spending(seconds: float) -> Iterator[None]:
    """All calls and waits inside end within this time. An outer budget that ends earlier counts."""
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


def left() -> float:
    """Seconds; infinite where nobody is waiting (commands, threads of our own)."""
    return _end.get() - time.monotonic()
