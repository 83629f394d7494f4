"""Notes how far a flow has come, in the transaction that makes it so; what partners are told goes out from here.

The browser's events are hints: they get lost with the page. These rows are what really happened.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from onboarding import partners
from onboarding.domain import attribution
from onboarding.domain.flow import Outcome, pause_before_look
from onboarding.models import Delivery, Flow, Milestone, MilestoneKind

_EVENTS = uuid.UUID("6f0e1a52-61a2-4d0c-9d5c-0a4a7c1f5b7e")  # made for the names of our events, once and for all
_TOLD = {MilestoneKind.REGISTERED: "customerNo", MilestoneKind.SUBMITTED: "level", MilestoneKind.DONE: "outcome"}


def reached(flow: Flow, kind: MilestoneKind, now: datetime, detail: str = "") -> None:
    """The flow got this far: written with the flow itself, when that is written."""
    flow.tell(Milestone(flow=flow, kind=kind, detail=detail[:200], at=now))
    if kind in _TOLD and partners.partner_of(flow.partner).webhook:
        _tell(flow, kind, now, detail[:200])


def end(flow: Flow, outcome: Outcome, now: datetime) -> None:
    """The flow has this good outcome from now on; does not save it."""
    flow.end(outcome, now)
    flow.look_at = now + pause_before_look(timedelta()) if outcome is Outcome.IN_REVIEW else None
    reached(flow, MilestoneKind.DONE, now, outcome)


def _tell(flow: Flow, kind: MilestoneKind, now: datetime, detail: str) -> None:
    """One row for the partner's webhook. The event's name follows from what it tells, so it is written once."""
    event = str(uuid.uuid5(_EVENTS, f"{flow.reference} {kind} {detail}"))
    body: dict[str, Any] = {
        "version": 1,
        "event": event,
        "type": kind.value,
        "at": now.isoformat(timespec="milliseconds"),
        "partner": flow.partner,
        "reference": flow.reference,
        "payload": {_TOLD[kind]: detail or flow.customer_no},
        "attribution": dict(attribution.Touches.of(flow.attribution).last.values),
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    flow.tell(Delivery(partner=flow.partner, event=event, kind=kind, body=text, made_at=now, next_at=now))
