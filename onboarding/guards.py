"""What every customer page does before its view: no cookie, no foreign POST, no oversized body, the flow found.

Upstream errors that a view does not answer itself become pages here, each with a way on.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.urls import reverse
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt

from onboarding import embedding, i18n, logs, pages, partners, pumping, registering, services
from onboarding.domain.flow import Step
from onboarding.domain.partner import DEFAULT
from onboarding.forms import VerifyForm
from onboarding.landing import from_field
from onboarding.metrics import IN_FLIGHT, PAGES
from onboarding.models import Flow, release_connection
from onboarding.sealing import SealBroken
from onboarding.upstream import budget
from onboarding.upstream.errors import SessionEnded, UpstreamError, UpstreamUnavailable

log = logging.getLogger("onboarding.guards")

SMALL_BODY = 64 * 1024  # bytes; only a level carries pictures
View = Callable[..., HttpResponse]


class SmallBodies:
    """Refuses a large body of what is no customer page, before Django's check of cross-site posts reads it.

    That check looks for its token in the body, a file of 30 MB included, of whoever brings a made-up cookie; customer
    pages are exempt from it and look at the length themselves. Stands before it among the middleware.
    """

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: View, _args: Any, _kwargs: Any) -> HttpResponse | None:
        if getattr(view, "csrf_exempt", False) or _length(request) <= SMALL_BODY:
            return None
        return HttpResponse("too large\n", "text/plain", 413)


def customer_page(view: View) -> View:
    """No cookie, no foreign POST, no oversized body, and every upstream error as a page with a way on."""

    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        began = time.monotonic()
        with translation.override(i18n.negotiate((), request.headers.get("Accept-Language", ""))):
            with budget.spending(settings.REQUEST_BUDGET_SECONDS), IN_FLIGHT.track_inprogress():
                response = _answered(view, request, kwargs)
        what = kwargs.get("step") or (request.resolver_match.url_name if request.resolver_match else "")
        PAGES.labels(what, response.status_code).observe(time.monotonic() - began)
        if request.method == "POST":
            log.info("answer to %s: %d", what, response.status_code)
        _drain(request)
        return response

    return guarded


def _refusal(request: HttpRequest, kwargs: Mapping[str, Any]) -> HttpResponse | None:
    """What is refused whatever the view; in a partner's frame that is seen there too."""
    most = {Step.LEVEL: settings.BODY_MAX_BYTES, "upload": settings.UPLOAD_MAX_BYTES + SMALL_BODY}.get(
        kwargs.get("step", ""), SMALL_BODY
    )
    if request.method in ("GET", "HEAD"):
        return None
    taken = request.method == "POST" and not embedding.is_foreign(request) and _length(request) <= most
    if taken and not _is_stale(request, kwargs):
        return None
    flow = services.find_flow(kwargs["handle"]) if "handle" in kwargs else None
    known: dict[str, Any] = {"flow": flow, "handle": kwargs["handle"]} if flow else {}
    if flow is not None or "handle" not in kwargs:  # an unknown handle's page is nobody's
        slug = flow.partner if flow else kwargs.get("slug", DEFAULT)
        known["partner"] = partners.partner_of(slug)
    pages.set_page(request, **known)
    if request.method != "POST":
        response = pages.problem(request, "not-allowed", 405)
        response["Allow"] = "GET, HEAD, POST"
        return response
    if embedding.is_foreign(request):
        return _foreign(request)
    if _length(request) > most:
        return pages.problem(request, "not-allowed", 413, too_large=most // 1024 // 1024)
    return pages.problem(request, "not-allowed", 403, way_back=embedding.way_back(flow.reference) if flow else "")


def _is_stale(request: HttpRequest, kwargs: Mapping[str, Any]) -> bool:
    """A POST that does not say where it comes from, to a flow that nobody has touched for a while.

    The page that refuses it holds the way on: a button whose POST is good for any age (`embedding.way_back`). An
    expired flow has nothing to lose any more, and says so itself; of a link the address is as short-lived as that.
    """
    flow = services.find_flow(kwargs["handle"]) if "handle" in kwargs and embedding.is_silent(request) else None
    now = timezone.now()
    if flow is None or services.is_expired(flow, now) or now - flow.touched_at <= embedding.FRESH:
        return False
    if _length(request) > SMALL_BODY:
        return True
    release_connection()
    return not embedding.is_way_back(request.POST.get("back", ""), flow.reference)


def _foreign(request: HttpRequest) -> HttpResponse:
    """A POST from somebody else's page, or from a frame whose sandbox makes ours look like that.

    What the page carried is read for the way on only: the same first page in a window of its own.
    """
    boxed = ""
    if request.headers.get("Origin") == "null" and _length(request) <= SMALL_BODY:
        page = pages.set_page(request, landing=from_field(request.POST.get("landing", ""), pages.of(request).partner))
        boxed = settings.PUBLIC_URL + pages.start_url(page, plain=True)
    return pages.problem(request, "not-allowed", 403, boxed=boxed)


def _answered(view: View, request: HttpRequest, kwargs: dict[str, Any]) -> HttpResponse:
    try:
        return _refusal(request, kwargs) or view(request, **kwargs)
    except UpstreamUnavailable as exc:
        return pages.problem(request, "busy", 503, retry_after=exc.retry_after or 10)
    except services.LimitReached as exc:
        return pages.problem(request, "limited", 429, retry_after=exc.seconds, flow_over=True)
    except pumping.NoChannel:
        return pages.problem(request, "unsupported", 503, retry_after=300, no_channel=True)
    except SessionEnded:
        return see_other(pages.of(request).handle)
    except UpstreamError:
        return pages.problem(request, "unsupported", 503, retry_after=300)
    except ObjectDoesNotExist:  # deleted by another request of the same customer
        return pages.problem(request, "not-found", 404)
    except SealBroken:
        log.error("a flow cannot be opened with the configured keys: is an earlier key missing from the fallbacks?")
        return pages.problem(request, "unsupported", 503, retry_after=300)
    except OperationalError:  # it does not answer, or is so busy that nobody gets a turn
        log.exception("the database did not do it")
        return _without_database(request, kwargs)


def _without_database(request: HttpRequest, kwargs: Mapping[str, Any]) -> HttpResponse:
    """What was to be written down is not. Where the upstream may have been asked, the flow's own page knows more."""
    if request.method == "POST" and kwargs.get("step") in (Step.VERIFY, Step.LEVEL):
        return see_other(kwargs["handle"])
    return pages.problem(request, "busy", 503, retry_after=10)


def _drain(request: HttpRequest) -> None:
    """Reads a small body that nobody has read: an unread one makes the server cut the kept-alive connection."""
    if 0 < _length(request) <= SMALL_BODY:
        with contextlib.suppress(RawPostDataException, UnreadablePostError):
            _ = request.body


def _length(request: HttpRequest) -> int:
    """Bytes of the body as announced; Django reads no more than that."""
    text = request.META.get("CONTENT_LENGTH") or "0"
    return int(text) if text.isascii() and text.isdigit() else 0


def with_flow(view: View, *, expired_too: bool = False) -> View:
    """Finds the flow behind the handle; 404 for none, 410 for one that expired or moved on."""

    @wraps(view)
    def found(request: HttpRequest, handle: str, **kwargs: Any) -> HttpResponse:
        if request.method == "POST" and _length(request) <= SMALL_BODY:
            release_connection()
            with contextlib.suppress(RawPostDataException):  # looked at already
                _ = request.body  # a slow sender is waited for here, where nothing is held
        flow = services.find_flow(handle, with_submissions=request.method == "POST")
        if flow is None:
            return left_flow(request, handle)
        partner = partners.partner_of(flow.partner)
        came, handle = handle, services.home_of(flow, handle)
        pages.set_page(request, flow=flow, handle=handle, partner=partner)
        if came != handle and request.method != "POST":
            return see_other(handle)
        if services.is_expired(flow, timezone.now()) and not expired_too:
            return pages.problem(request, "expired", 410)
        return view(request, flow=flow, handle=handle, **kwargs)

    return found


def posted(view: View) -> View:
    """For views with an effect: a GET of their address has none and leads to the current step."""

    @wraps(view)
    def only_post(request: HttpRequest, flow: Flow, handle: str, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return see_other(handle)
        if _length(request) <= SMALL_BODY:  # here since before the flow was found
            _ = request.POST  # of one that makes no sense the page says so now, when it knows whose page it is
            return view(request, flow=flow, handle=handle, **kwargs)
        if services.position(flow).step is not Step.LEVEL:
            raise services.StepOver  # not worth reading
        release_connection()
        _ = request.POST
        again = services.find_flow(handle, with_submissions=True)  # in the meantime the address may have been closed
        if again is None:
            return left_flow(request, handle)
        pages.set_page(request, flow=again)
        return view(request, flow=again, handle=handle, **kwargs)

    return only_post


def left_flow(request: HttpRequest, handle: str) -> HttpResponse:
    """An address that a registration has left: worth nothing, except with the code that registered."""
    flow = services.find_left_flow(handle)
    if flow is None:
        return pages.problem(request, "not-found", 404)
    logs.follow(flow.reference)
    partner = partners.partner_of(flow.partner)
    pages.set_page(request, partner=partner, landing=pages.landing_of(flow))
    if services.is_expired(flow, timezone.now()):
        return pages.problem(request, "expired", 410)
    form = VerifyForm(request.POST) if request.method == "POST" else None
    if form is not None and form.is_valid():
        found = registering.replayed_handle(handle=handle, code=form.cleaned_data["code"])
        if found is not None:
            return see_other(found)
    return pages.problem(request, "expired", 410, left_url=reverse("answer", args=[handle, Step.VERIFY]))


def see_other(handle: str, name: str = "flow") -> HttpResponse:
    """On to the flow's current step, or to its page of another name, by GET."""
    response = HttpResponse(status=303)
    response["Location"] = reverse(name, args=[handle])
    return response
