"""The link to another device: derived again without being stored, one per moment, and shown as what it is."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.conf import settings
from django.test import override_settings

from onboarding.domain.flow import Outcome, Step, may_hand_over
from onboarding.handover_services import (
    LINK_LIFE,
    LinkState,
    derive_secret,
    find_link,
    is_nonce,
    link_state,
    secret_of,
)
from onboarding.models import Flow
from onboarding.sealing import handle_digest

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)


def linked(landing: str = "landing", until: datetime = NOW + LINK_LIFE) -> Flow:
    """A flow with a link, as it would be read from the database."""
    flow = Flow(landing_digest=landing, link_until=until)
    flow.link_digest = handle_digest(derive_secret(flow, until))
    return flow


def test_the_secret_comes_out_again_and_differs_by_flow_and_moment() -> None:
    assert secret_of(linked()) == secret_of(linked())
    others = [linked("other"), linked(until=NOW + LINK_LIFE + timedelta(microseconds=1))]
    assert len({secret_of(flow) for flow in (linked(), *others)}) == 3


def test_a_databases_other_time_zone_makes_no_other_secret() -> None:
    flow = linked()
    assert flow.link_until is not None
    flow.link_until = flow.link_until.astimezone(timezone(timedelta(hours=8)))
    assert secret_of(flow) == secret_of(linked())


def test_how_a_link_stands() -> None:
    assert link_state(Flow(landing_digest="x"), NOW) is LinkState.NONE
    assert link_state(linked(), NOW) is LinkState.WAITING
    assert link_state(linked(), NOW + LINK_LIFE) is LinkState.OVER
    used = linked()
    used.link_used_at = NOW
    assert link_state(used, NOW + LINK_LIFE) is LinkState.OPENED


def test_a_link_from_under_an_earlier_key_is_over() -> None:
    flow = linked()
    with override_settings(SECRET_KEY="k" * 50, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert secret_of(flow) == ""
        assert link_state(flow, NOW) is LinkState.OVER


@pytest.mark.parametrize("text", ["", "x", "A" * 22 + "." + "B" * 43, "é" * 22])
def test_a_made_up_link_is_refused_without_a_query(text: str) -> None:
    assert find_link(text) is None  # there is no database here to ask


def test_a_nonce_is_what_the_page_made() -> None:
    assert is_nonce(secrets.token_urlsafe(16))
    assert not any(is_nonce(text) for text in ("", "x" * 21, "x" * 22 + "\n", "\x1f" * 22))


@pytest.mark.parametrize(
    ("step", "outcome", "offered"),
    [
        (Step.VERIFY, Outcome.OPEN, False),
        (Step.PATH, Outcome.OPEN, True),
        (Step.LEVEL, Outcome.OPEN, True),
        (Step.STATUS, Outcome.OPEN, True),
        (Step.DONE, Outcome.IN_REVIEW, True),
        (Step.DONE, Outcome.REGISTERED, False),
        (Step.DONE, Outcome.PASSED, False),
        (Step.PROBLEM, Outcome.REFUSED, False),
    ],
)
def test_another_device_is_offered_while_it_is_of_use(step: Step, outcome: Outcome, offered: bool) -> None:
    assert may_hand_over(step, outcome) is offered
