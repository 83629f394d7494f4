"""Going on with another device: the first device's page with the code to scan, and the page that the link opens.

The link's page changes nothing when it is looked at, so that a mail scanner or a link's preview cannot use it up.
"""

from __future__ import annotations

import secrets
from functools import wraps
from typing import Any

import segno
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from onboarding import embedding, handover_services, pages, partners, services
from onboarding.domain.flow import Step
from onboarding.guards import View, customer_page, see_other
from onboarding.handover_services import LinkOver, LinkState
from onboarding.models import Flow, release_connection

LOOK_AGAIN = 4  # seconds, without script; htmx looks every three

# -- The first device --------------------------------------------------------------------------------------------------


def handover(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """GET: how the link stands. POST: a new link, or the end of the other device's part."""
    step = services.position(flow).step
    offered = handover_services.is_offered(flow, handle, step)
    if request.method == "POST":
        return _answer(request, flow, handle, offered=offered)
    state = handover_services.link_state(flow, timezone.now())
    finished = step is Step.DONE and handover_services.is_finished_since(flow)
    if not offered or finished or state is LinkState.NONE:
        return see_other(handle)
    return _show(request, flow, handle, state)


def _answer(request: HttpRequest, flow: Flow, handle: str, *, offered: bool) -> HttpResponse:
    release_connection()
    if "close" in request.POST and not handover_services.is_other_device(flow, handle):
        handover_services.close_link(flow, timezone.now())
        return see_other(handle)
    if not offered:
        raise services.StepOver
    return begin(request, flow, handle)


def begin(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """Makes a link and leads to its page; on the other device, which makes none, to the current step."""
    if handover_services.is_other_device(flow, handle):
        return see_other(handle)
    handover_services.make_link(flow, timezone.now())
    return see_other(handle, "handover")


def _show(request: HttpRequest, flow: Flow, handle: str, state: LinkState) -> HttpResponse:
    link = settings.PUBLIC_URL + reverse("link", args=[handover_services.secret_of(flow)]) if state == "waiting" else ""
    context = {
        "state": state.value,
        "link": link,
        "picture": qr_code(link) if link else "",
        "minutes": int(handover_services.LINK_LIFE.total_seconds()) // 60,
        "other_is_in": flow.second_digest is not None,
        "refresh": LOOK_AGAIN if state in (LinkState.WAITING, LinkState.OPENED) else None,
        "waits": state.value,
    }
    return pages.render(request, Step.HANDOVER, context, address=reverse("handover", args=[handle]))


def qr_code(text: str) -> str:
    """A QR code as an address for <img>: black on white with its quiet zone, whatever the page's colours."""
    return segno.make_qr(text, error="l").svg_data_uri(border=4, dark="#000", light="#fff", omitsize=True)


# -- The other device --------------------------------------------------------------------------------------------------


def _unframed(view: View) -> View:
    """Nobody may lay this page under buttons of his own, not the partner either: it has no frame to be in."""

    @wraps(view)
    def unframed(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = view(request, **kwargs)
        embedding.allow_framing(request, ())
        return response

    return unframed


@_unframed
@customer_page
def link(request: HttpRequest, secret: str) -> HttpResponse:
    """The page that the link opens: asks, and shows whose account it is. Only its POST uses the link."""
    try:
        flow = handover_services.find_link(secret)
        if flow is None:
            return pages.problem(request, "not-found", 404)
        partner = partners.partner_of(flow.partner)
        pages.set_page(request, partner=partner, landing=pages.landing_of(flow))
        if services.is_expired(flow, timezone.now()):
            return pages.problem(request, "expired", 410)
        return _come_in(request, secret) if request.method == "POST" else _ask(request, flow)
    except LinkOver:
        return pages.problem(request, "expired", 410, link_over=True)


def _come_in(request: HttpRequest, secret: str) -> HttpResponse:
    release_connection()
    nonce = request.POST.get("nonce", "")
    if not handover_services.is_nonce(nonce):
        return pages.problem(request, "not-allowed", 400)
    return see_other(handover_services.take_over(secret, nonce, timezone.now()))


def _ask(request: HttpRequest, flow: Flow) -> HttpResponse:
    handover_services.require_open(flow, timezone.now())
    context = {"state": "asked", "whose": pages.masked_identifier(flow), "nonce": secrets.token_urlsafe(16)}
    return pages.render(request, Step.HANDOVER, context)
