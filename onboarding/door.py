"""The door before everything that sends a code: open, unless signs of a program add up. Then work is asked for.

Nobody is turned away here. Whoever made the effort, by a script or by waiting, goes on with what was typed.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from onboarding import limits, proof, visitor
from onboarding.domain import risk
from onboarding.domain.risk import Signs
from onboarding.landing import Landing, seconds_open
from onboarding.models import Flow
from onboarding.proof import Challenge, Proof

TRAP = "website"  # programs fill it; no autofill knows it, and nobody sees it


class Challenged(Exception):
    """Work is asked for first."""

    def __init__(self, challenge: Challenge) -> None:
        super().__init__(challenge.reason)
        self.challenge = challenge


def signs_of_landing(request: HttpRequest, landing: Landing, *, reused: bool) -> Signs:
    """What is seen of the first answer."""
    fast = seconds_open(landing, timezone.now()) < settings.MIN_HUMAN_SECONDS
    return Signs(fast=fast, trap=is_trapped(request), reused=reused, pressure=_pressure(request))


def signs_of_flow(request: HttpRequest) -> Signs:
    """What is seen of an answer inside a flow: how fast it comes says nothing there."""
    return Signs(trap=is_trapped(request), pressure=_pressure(request))


def is_trapped(request: HttpRequest) -> bool:
    return bool(request.POST.get(TRAP))


def _pressure(request: HttpRequest) -> float:
    return limits.pressure(visitor.read(request).address, timezone.now())


def of_landing(landing: Landing) -> str:
    return proof.bound_to("landing", landing.nonce)


def of_flow(flow: Flow) -> str:
    return proof.bound_to("flow", flow.reference)


def admit(request: HttpRequest, bound: str, signs: Signs) -> Proof | None:
    """The proof that came with the answer, to be used; None when none is asked for. Raises Challenged."""
    if settings.PROOF_OF_WORK == "off":
        return None
    asked = risk.weigh(signs, always=settings.PROOF_OF_WORK == "always")
    if asked is None:
        return None
    now = timezone.now()
    given = proof.check(
        ticket=request.POST.get("ticket", ""), solution=request.POST.get("proof", ""), bound=bound, now=now
    )
    if isinstance(given, Proof):
        return given
    effort, reason = asked
    raise Challenged(given or proof.give(bound=bound, effort=effort, reason=reason, now=now))


def challenge_again(bound: str, signs: Signs) -> Challenge:
    """Another challenge, where the proof given has counted already."""
    effort, reason = risk.weigh(signs, always=True) or (risk.EFFORTS[0], risk.Sign.ALWAYS)
    return proof.give(bound=bound, effort=effort, reason=reason, now=timezone.now())
