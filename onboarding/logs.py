"""What every log line goes through: it says whose flow it is about, and nothing that only the customer may know.

* `reference` and `trace` are fields of their own, so that support can follow one customer from start to end. The
  reference is noted once, where the flow becomes known; the upstream's adapter, which knows no flow, names it all the
  same.
* Handles, and secrets of links to another device, are masked.
* Of an exception the class and the places stand there, and its text only where that cannot quote what somebody typed.

Must not import models or the upstream: everything above logs.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError

_HANDLE_PATH = re.compile(r"/([fh])/[^/\s\"'?]+")
_reference: ContextVar[str] = ContextVar("reference", default="")


def follow(reference: str) -> None:
    """From here on lines of this thread are about this flow, until another one is named or none."""
    _reference.set(reference)


def follow_nobody(**_signal: Any) -> None:
    """At the start of a request: the thread may have served another customer before."""
    follow("")


@contextmanager
def following(reference: str) -> Iterator[None]:
    """The same for as long as it lasts."""
    before = _reference.set(reference)
    try:
        yield
    finally:
        _reference.reset(before)


class NameFlow(logging.Filter):
    """Gives every line the fields `reference` and `trace`, empty where there is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        named = (getattr(value, "trace", "") for value in arguments)  # an upstream's error brings its own
        record.trace = getattr(record, "trace", "") or next((t for t in named if isinstance(t, str) and t), "")
        record.reference = getattr(record, "reference", "") or _reference.get()
        return True


class MaskHandles(logging.Filter):
    """Replaces the handle below /f/ and the secret below /h/, in the message, its arguments and a traceback alike."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg = mask(record.getMessage())
        except (TypeError, ValueError):  # arguments that do not fit: the line must not break its caller, nor show them
            record.msg = mask(str(record.msg))
        record.args = None
        record.__dict__.pop("request", None)  # Django's handlers attach the request: its repr shows the path
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = mask(told(record.exc_info[1]))
        record.exc_info = None  # or a formatter would write it again, in full
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        return True


def mask(text: str) -> str:
    """The text with every flow's handle and every link's secret replaced."""
    return _HANDLE_PATH.sub(r"/\1/…", text)


def told(error: BaseException) -> str:
    """The traceback of an exception and of what caused it, oldest first, without texts that may quote a customer."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    parts = ["".join(traceback.format_tb(one.__traceback__)) + _name(one) for one in reversed(chain)]
    return "Traceback:\n" + "\n\nthen:\n\n".join(parts)


def _name(error: BaseException) -> str:
    text = ""
    if isinstance(error, DatabaseError):
        text = str(error).partition("\n")[0]  # PostgreSQL quotes the row in the lines that follow
    elif isinstance(error, ImproperlyConfigured) or hasattr(error, "trace"):
        text = str(error)  # ours: class, code and trace, or a sentence about a setting
    elif isinstance(error, OSError):
        text = error.strerror or ""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{kind}: {text}" if text else kind
