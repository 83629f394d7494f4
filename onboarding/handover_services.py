"""The use cases of going on with another device: a link that works once, the other device's address, its end.

The link's secret is derived, so the page can show it again although the database holds only its digest. Only the device
that registered makes links: the flow has one place for another device, and a link made there would throw its maker out.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from onboarding.domain.flow import Outcome, Progress, Step, may_hand_over
from onboarding.models import Flow, SubmissionKind
from onboarding.sealing import derive_handle, handle_digest
from onboarding.submissions import locked

log = logging.getLogger("onboarding.handover_services")

LINK_LIFE = timedelta(minutes=15)
_NONCE = re.compile(r"[A-Za-z0-9_-]{22}")


class LinkOver(Exception):
    """The link was ours and is worth nothing now: used, replaced by another one, too old, or its flow is gone."""


class LinkState(StrEnum):
    """How the newest link of a flow stands, as its first device shows it."""

    NONE = "none"
    WAITING = "waiting"
    OPENED = "opened"
    OVER = "over"


def is_offered(flow: Flow, handle: str, step: Step) -> bool:
    """Whether the device at this address may make a link while the flow is on this step."""
    return (
        flow.registered_at is not None
        and may_hand_over(step, Outcome(flow.outcome))
        and not is_other_device(flow, handle)
    )


def is_other_device(flow: Flow, handle: str) -> bool:
    return flow.second_digest is not None and handle_digest(handle) == flow.second_digest


def make_link(flow: Flow, now: datetime) -> Flow:
    """A new link; any earlier one is worth nothing from now on. Who is in already stays until the new one is used."""
    with locked(flow) as row:
        row.link_until = now + LINK_LIFE
        row.link_used_at = None
        row.link_digest = handle_digest(derive_secret(row, row.link_until))
        row.touch(now)
        row.save()
    return row


def derive_secret(flow: Flow, until: datetime) -> str:
    """Without the key nobody can tell it from flow and moment; another moment gives another one."""
    return derive_handle("link", flow.landing_digest, until.astimezone(UTC).isoformat())


def secret_of(flow: Flow) -> str:
    """The newest link's secret; "" when there is none, or when it was made under an earlier key."""
    secret = derive_secret(flow, flow.link_until) if flow.link_until else ""
    return secret if secret and handle_digest(secret) == flow.link_digest else ""


def link_state(flow: Flow, now: datetime) -> LinkState:
    if flow.link_digest is None or flow.link_until is None:
        return LinkState.NONE
    if flow.link_used_at is not None:
        return LinkState.OPENED
    return LinkState.WAITING if flow.link_until > now and secret_of(flow) else LinkState.OVER


def is_finished_since(flow: Flow) -> bool:
    """Whether a level was handed in after the newest link was made: the last step is news then, and goes first."""
    if flow.link_until is None:
        return False
    made = flow.link_until - LINK_LIFE
    return flow.submissions.filter(kind=SubmissionKind.LEVEL, state=Progress.ACCEPTED, ended_at__gt=made).exists()


# -- The other device --------------------------------------------------------------------------------------------------


def find_link(secret: str) -> Flow | None:
    """The flow whose newest link this is, used or not; None for a text that is no link of ours (without a query)."""
    digest = handle_digest(secret)
    if digest is None:
        return None
    flow = Flow.objects.filter(link_digest=digest, purged_at=None).first()
    if flow is None:
        raise LinkOver
    return flow


def require_open(flow: Flow, now: datetime) -> None:
    """Raises LinkOver unless the flow's newest link can be used; not once the flow has come to its end."""
    over = flow.link_used_at is not None or flow.link_until is None or flow.link_until <= now
    if over or flow.outcome not in (Outcome.OPEN, Outcome.IN_REVIEW) or is_finished_since(flow):
        raise LinkOver


def is_nonce(text: str) -> bool:
    """Whether this is what `secrets.token_urlsafe(16)` gives."""
    return _NONCE.fullmatch(text) is not None


def take_over(secret: str, nonce: str, now: datetime) -> str:
    """Lets the device whose page held this nonce in, once; gives its address.

    The address is derived from secret and nonce: a double click or a reload of that very POST gets it again, a POST
    from any other page gets LinkOver.
    """
    flow = find_link(secret)
    if flow is None:
        raise LinkOver
    handle = derive_handle("handover", secret, nonce)
    with locked(flow) as row:
        if row.link_digest != handle_digest(secret):
            raise LinkOver
        if row.second_digest == handle_digest(handle):
            return handle
        require_open(row, now)
        row.second_digest = handle_digest(handle)
        row.link_used_at = now
        row.touch(now)
        row.save()
    log.info("reference %s goes on with another device", flow.reference)
    return handle


def close_link(flow: Flow, now: datetime) -> None:
    """Throws the other device out, and makes an unused link worth nothing."""
    with locked(flow) as row:
        row.link_digest = row.link_until = row.link_used_at = row.second_digest = None
        row.touch(now)
        row.save()
    log.info("reference %s goes on with one device again", flow.reference)
