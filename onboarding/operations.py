"""Addresses for machines: health, readiness, metrics, version, and the partner's script. Nothing personal."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress

import django
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from onboarding import __version__, dictionaries, embedding, housekeeping
from onboarding.domain.flow import Progress
from onboarding.gateway import upstream
from onboarding.metrics import SUBMISSIONS_OPEN, exposition


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> HttpResponse:
    """The database answers and has every migration; 503 otherwise.

    A sick upstream leaves every process ready: it meets all of them alike, and our own page, in the customer's
    language, is better than a proxy's. It is said in `degraded`, and so is that a submission cannot be settled any
    more. Only a process that has known nothing but "the whole tenant or address is wrong" is not ready, so that a
    release with wrong settings goes no further.
    """
    try:
        executor = MigrationExecutor(connection)
        missing = bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        given_up = 0 if missing else housekeeping.count_open()[Progress.GIVEN_UP]
    except DatabaseError:
        return JsonResponse({"status": "no database"}, status=503)
    if missing:
        return JsonResponse({"status": "migrations missing"}, status=503)
    dictionaries.warm()  # a process that serves nobody yet learns, too, whether its settings are right
    gate = upstream().gate
    if gate.never_worked():
        return JsonResponse({"status": "misconfigured"}, status=503)
    words = gate.words() + ["given-up"] * bool(given_up)
    return JsonResponse({"status": "degraded", "degraded": words} if words else {"status": "ok"})


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, for the bearer of METRICS_TOKEN, or from loopback when there is none."""
    if not _may_read_metrics(request):
        return HttpResponse("forbidden\n", status=403, content_type="text/plain")
    with contextlib.suppress(DatabaseError):  # the other numbers are told all the same
        for state, number in housekeeping.count_open().items():
            SUBMISSIONS_OPEN.labels(state).set(number)
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    try:
        local = ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
    # Behind a proxy on the same machine everybody seems to come from loopback.
    return local and "X-Forwarded-For" not in request.headers


@require_safe
def version(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"version": __version__, "django": django.get_version()})


@require_safe
def embed_script(_request: HttpRequest, version: str = "") -> HttpResponse:
    """The partner's script: at its evergreen address fresh within five minutes, at a version's for ever."""
    found = embedding.embed_script(version or embedding.EMBED_VERSION)
    if found is None:
        return HttpResponse("no such version\n", status=404, content_type="text/plain")
    response = HttpResponse(found, content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = "public, max-age=31536000, immutable" if version else "public, max-age=300"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    response["Access-Control-Allow-Origin"] = "*"
    return response
