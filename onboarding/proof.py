"""Proof of work: challenges given and checked. A solved one counts, and so does one that was waited for.

The challenge speaks ALTCHA's protocol (version 2, made and checked by the library `altcha`) and is solved by
static/js/proof.js. Around it stands a ticket, signed like a landing: for whom it is, until when, and how long to wait
where no script solves it. Whichever way is gone, a ticket counts once. Never sees a request.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import altcha
from django.core import signing

from onboarding.domain.risk import Effort, Sign
from onboarding.metrics import CHALLENGES_FAILED, CHALLENGES_GIVEN, CHALLENGES_PASSED
from onboarding.models import Once
from onboarding.sealing import derived_keys, fingerprint

LIFE = timedelta(minutes=10)  # of a challenge: long enough to wait for it and to read the page once more
ITERATIONS = 5000  # of PBKDF2 in one derivation: about 2 ms here, once per challenge given
_SALT = "onboarding.challenge"
_LONGEST = 4096  # characters of a ticket or a solution that are worth reading


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge as it was given."""

    work: dict[str, Any]  # ALTCHA's challenge
    bound: str  # whose it is: a landing's or a flow's fingerprint
    given: float  # seconds since 1970
    wait: int  # seconds after which it counts unsolved
    reason: str

    @property
    def digest(self) -> str:
        return fingerprint("challenge", str(self.work["parameters"]["nonce"]))

    @property
    def until(self) -> datetime:
        return datetime.fromtimestamp(self.work["parameters"]["expiresAt"], tz=UTC)

    @property
    def ticket(self) -> str:
        return signing.dumps(asdict(self), salt=_SALT, compress=True)

    def left(self, now: datetime) -> int:
        """Seconds still to be waited."""
        left = self.given + self.wait - now.timestamp()
        return max(0, int(left) + (left > int(left)))


@dataclass(frozen=True, slots=True)
class Proof:
    """An effort that was made. It has to be used, and can be once."""

    digest: str
    until: datetime

    def use(self) -> bool:
        """Whether it had not been used yet; inside the transaction of what it is for."""
        first = Once.use(self.digest, self.until)
        if not first:
            CHALLENGES_FAILED.labels("used").inc()
        return first


def bound_to(*what: str) -> str:
    """The fingerprint of the landing or flow that a challenge is for."""
    return fingerprint("challenge for", *what)


def give(*, bound: str, effort: Effort, reason: Sign, now: datetime) -> Challenge:
    """A new challenge. The work has an end: the key is that of a counter that lies below `effort.most`."""
    sign, sign_key = derived_keys("challenge")[0]
    work = altcha.create_challenge(
        "PBKDF2/SHA-256",
        ITERATIONS,
        counter=secrets.randbelow(effort.most),
        expires_at=int((now + LIFE).timestamp()),
        hmac_secret=sign,
        hmac_key_secret=sign_key,
    )
    CHALLENGES_GIVEN.labels(reason.value).inc()
    return Challenge(work.to_dict(), bound, now.timestamp(), effort.wait, reason.value)


def check(*, ticket: str, solution: str, bound: str, now: datetime) -> Proof | Challenge | None:
    """The proof; or the challenge while it has to be waited for; None when a new one has to be given."""
    if not ticket:
        return None
    challenge = _read(ticket)
    if challenge is None or challenge.bound != bound:
        CHALLENGES_FAILED.labels("wrong").inc()
        return None
    if challenge.until <= now:
        CHALLENGES_FAILED.labels("expired").inc()
        return None
    solved = _is_solved(challenge, solution)
    if not solved and challenge.left(now):
        CHALLENGES_FAILED.labels("wrong" if solution else "early").inc()
        return challenge
    CHALLENGES_PASSED.labels(challenge.reason, "work" if solved else "wait").inc()
    return Proof(challenge.digest, challenge.until)


def _read(ticket: str) -> Challenge | None:
    if len(ticket) > _LONGEST:
        return None
    try:
        return Challenge(**signing.loads(ticket, salt=_SALT))
    except (signing.BadSignature, TypeError, ValueError):
        return None


def _is_solved(challenge: Challenge, solution: str) -> bool:
    """Whether this is the solution of this very challenge, under any of our keys."""
    if not solution or len(solution) > _LONGEST:
        return False
    try:
        payload = altcha.Payload.from_base64(solution)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    if payload.challenge.to_dict() != challenge.work:
        return False
    return any(
        altcha.verify_solution(payload, sign, hmac_key_secret=sign_key).verified
        for sign, sign_key in derived_keys("challenge")
    )
