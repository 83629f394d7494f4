"""Guesses at the console's passwords are counted by django-axes; here is what it counts by, says and writes down.

People type passwords into the field for the name, so what was typed there reaches neither a log line nor the database.
Knows nothing of customers and their pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from onboarding import visitor
from onboarding.domain.limits import network
from onboarding.sealing import fingerprint


def counted_name(request: HttpRequest, credentials: Mapping[str, Any] | None) -> str:
    """A digest of the name, whichever way it is spelt."""
    return fingerprint("console", str((credentials or {}).get("username") or "").strip().casefold())


def counted_address(request: HttpRequest) -> str | None:
    """The sender's address; of IPv6 the network that one household or server has for itself."""
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
