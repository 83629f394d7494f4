"""Guesses at the console's passwords are counted by django-axes; here is what it counts by, says and writes down.

People type passwords into the field for the name, so what was typed there reaches neither a log line nor the database.
Knows nothing of customers and their pages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from onboarding import visitor
from onboarding.domain.limits import network
from onboarding.sealing import fingerprint

_seats = threading.BoundedSemaphore(4)  # the one whose turn it is, and three who wait: a password takes half a second
_turn = threading.Lock()


@contextmanager
def one_at_a_time() -> Iterator[bool]:
    """Whether this sign-in had its turn; a process looks at one password after the other, and few wait for that.

    A guess counts once it was looked at, and that takes long on purpose: of a hundred at the same moment each would
    find nothing counted yet. And a flood of them would take the time of all threads from customers.
    """
    if not _seats.acquire(blocking=False):
        yield False
        return
    try:
        with _turn:
            yield True
    finally:
        _seats.release()


def busy() -> HttpResponse:
    """Answered to whoever found no seat."""
    response = HttpResponse("Many sign-ins at a time. Try again in a moment.\n", "text/plain", 503)
    response["Retry-After"] = "5"
    return response


def counted_name(request: HttpRequest, credentials: Mapping[str, Any] | None) -> str:
    """A digest of the name, whichever way it is spelt."""
    return fingerprint("console", str((credentials or {}).get("username") or "").strip().casefold())


def counted_address(request: HttpRequest) -> str | None:
    """The sender's address, of IPv6 the first of its network: whose count it is, as with customers."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    return network(visitor.client_address(request.META.get("REMOTE_ADDR", ""), forwarded)) or None


def written_as(*_who: Any) -> str:
    """Whom a log line names: nobody. The addresses are listed by `manage.py axes_list_attempts`."""
    return "somebody at the console's sign-in"


def refuse(request: HttpRequest, _response: HttpResponse | None, _credentials: Any) -> HttpResponse:
    """Answered instead of the sign-in while it is locked, whether the password is right or not."""
    pause = int(settings.AXES_COOLOFF_TIME.total_seconds())
    shown = {**admin.site.each_context(request), "title": "Sign-in paused", "minutes": pause // 60}
    response = render(request, "admin/locked_out.html", shown, status=429)
    response["Retry-After"] = str(pause)
    return response
