"""Flows and their submissions, with constraints that make duplicates impossible.

Personal data, the upstream token and request bodies are sealed (`SealedField`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, models
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Upper

from onboarding.domain import flow as domain
from onboarding.domain import levels as domain_levels
from onboarding.models.fenced import Fenced
from onboarding.models.fields import SealedField

_REFERENCE_ALPHABET = "23456789BCDFGHJKMNPQRTVWXY"  # no vowels, nothing that sounds or looks alike


def new_reference() -> str:
    """A short text that a customer can read out to support: nine letters and digits in threes."""
    letters = "".join(secrets.choice(_REFERENCE_ALPHABET) for _ in range(9))
    return f"{letters[:3]}-{letters[3:6]}-{letters[6:]}"


def release_connection() -> None:
    """Hands the database connection back before something slow: a few of them serve all threads."""
    if not connection.in_atomic_block:
        connection.close()


_LISTED = {
    "sqlite": "(SELECT json_group_array(json_array(s.kind, s.level, s.state))"
    " FROM onboarding_submission s WHERE s.flow_id = onboarding_flow.id)",
    "postgresql": "(SELECT json_agg(json_build_array(s.kind, s.level, s.state))::text"
    " FROM onboarding_submission s WHERE s.flow_id = onboarding_flow.id)",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A submission of a flow as it was seen, without what it carries."""

    kind: str
    level: str
    progress: domain.Progress


class Flow(Fenced):
    """One person's attempt. Its address (the handle) is stored as a digest only."""

    reference = models.CharField(max_length=11, unique=True, default=new_reference, editable=False)
    # Where it is: the current handle; the one that the code in flight will lead to; the one before the registration.
    handle_digest = models.CharField(max_length=64, unique=True)
    next_handle_digest = models.CharField(max_length=64, null=True, unique=True)
    previous_handle_digest = models.CharField(max_length=64, null=True, unique=True)
    replay_misses = models.PositiveSmallIntegerField(default=0)
    landing_digest = models.CharField(max_length=64, unique=True)  # one landing and one answer make one flow
    # The newest link to another device, and the address that the other device has since it opened one.
    link_digest = models.CharField(max_length=64, null=True, unique=True)
    link_until = models.DateTimeField(null=True)
    link_used_at = models.DateTimeField(null=True)
    second_digest = models.CharField(max_length=64, null=True, unique=True)

    partner = models.CharField(max_length=60)
    language = models.CharField(max_length=12)
    channel = models.CharField(max_length=10, choices=[(c.value, c.value) for c in domain.Channel])
    account_type = models.CharField(max_length=12, choices=[(a.value, a.value) for a in domain.AccountType])
    country = models.CharField(max_length=20)
    attribution = models.JSONField(default=dict)  # first and last touch: domain.attribution.Touches
    campaign = models.CharField(max_length=255, blank=True)  # the last touch's utm_campaign, to search by
    device = models.CharField(max_length=10, blank=True)  # domain.flow.Device of the one who began
    agent = models.CharField(max_length=64, blank=True)  # referrer agent's number

    personal = SealedField(default=dict)  # identity, password digest, ticket, token, levels, answers
    password_open = models.BooleanField(default=False)
    consent_at = models.DateTimeField()
    consent_language = models.CharField(max_length=12)
    consent_terms_url = models.CharField(max_length=500, blank=True)
    consent_privacy_url = models.CharField(max_length=500, blank=True)

    sends = models.PositiveSmallIntegerField(default=0)
    code_sent_at = models.DateTimeField(null=True)
    code_attempts = models.PositiveSmallIntegerField(default=0)
    notice = models.CharField(max_length=20, blank=True)  # domain.flow.Notice
    notice_code = models.CharField(max_length=60, blank=True)  # the upstream's code behind it
    outcome = models.CharField(max_length=12, blank=True)  # domain.flow.Outcome
    customer_no = models.CharField(max_length=64, blank=True, db_index=True)

    created_at = models.DateTimeField(db_index=True)
    touched_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    registered_at = models.DateTimeField(null=True)
    look_at = models.DateTimeField(null=True, db_index=True)  # when `settle` asks next how the checks stand
    purge_at = models.DateTimeField(db_index=True)
    delete_asked = models.BooleanField(default=False)
    purged_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "flow"
        verbose_name_plural = "flows"
        indexes = [  # the console lists the newest first, whatever it was asked for
            models.Index(fields=["partner", "created_at"]),
            models.Index(fields=["outcome", "created_at"], name="flow_by_outcome"),
            models.Index(Upper("campaign"), "created_at", name="flow_by_campaign"),  # as `iexact` compares
        ]

    # In memory only: its submissions as they were when it was read, or later; None when they were not looked at.
    seen: Sequence[Seen] | None = None

    def __str__(self) -> str:
        return self.reference

    def refresh_from_db(self, using: Any = None, fields: Any = None, from_queryset: Any = None) -> None:
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        self.seen = None

    @classmethod
    def with_submissions(cls, flows: models.QuerySet[Flow]) -> Flow | None:
        """The first of these, together with how its submissions are: one query, one moment."""
        listing = RawSQL(_LISTED[connection.vendor], (), models.TextField())  # noqa: S611 (nobody's text is in it)
        flow = flows.annotate(listed=listing).first()
        if flow is not None:
            listed = json.loads(flow.__dict__.pop("listed") or "[]")
            flow.seen = [Seen(kind, level, domain.Progress(state)) for kind, level, state in listed]
        return flow

    def look(self) -> Sequence[Seen]:
        """Its submissions: one query, the first time for this row as it was read."""
        if self.seen is None:
            rows = self.submissions.values_list("kind", "level", "state")
            self.seen = [Seen(kind, level, domain.Progress(state)) for kind, level, state in rows]
        return self.seen

    def has_no(self, *kinds: str, level: str = "") -> bool:
        """Whether it had no such submission when it was looked at; False when it was not."""
        return self.seen is not None and not any(s.kind in kinds and s.level == level for s in self.seen)

    def touch(self, now: datetime) -> None:
        """A POST keeps the flow alive; does not save."""
        self.touched_at = now
        self.expires_at = domain.expires_at(
            created=self.created_at,
            touched=now,
            idle=timedelta(minutes=settings.FLOW_IDLE_MINUTES),
            longest=timedelta(hours=settings.FLOW_MAX_HOURS),
        )
        self.purge_at = self._due(now)

    def end(self, outcome: domain.Outcome, now: datetime) -> None:
        """Sets how the flow ended. After a final outcome nothing waits for the expiry; does not save."""
        self.outcome = outcome
        self.purge_at = min(self.purge_at, self._due(now))

    def _due(self, now: datetime) -> datetime:
        """RETENTION_HOURS after the end, but never while the last page still opens: it leads the customer on."""
        ended = now if self.outcome in domain.FINAL else self.expires_at
        return max(self.expires_at, ended + timedelta(hours=settings.RETENTION_HOURS))

    @property
    def identity(self) -> domain.Identity:
        kept = dict(self.personal.get("identity") or {})
        channel = domain.Channel(kept.pop("channel", self.channel))
        account_type = domain.AccountType(kept.pop("account_type", self.account_type))
        return domain.Identity(channel, account_type, kept.pop("country", self.country), **kept)

    @property
    def levels(self) -> tuple[domain_levels.Level, ...]:
        return domain_levels.from_json(self.personal.get("levels") or [])


class SubmissionKind(models.TextChoices):
    CODE = "code"  # a verification code sent
    REGISTER = "register"
    LEVEL = "level"


class Submission(models.Model):
    """One intended upstream write, committed before anything is sent.

    A definite answer followed by another try reuses the row with a new key; `history` keeps what was before.
    """

    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="submissions")
    kind = models.CharField(max_length=10, choices=SubmissionKind.choices)
    level = models.CharField(max_length=200, blank=True)
    key = models.CharField(max_length=64, unique=True)  # idempotency key upstream
    state = models.CharField(
        max_length=10, default=domain.Progress.PLANNED, choices=[(p.value, p.value) for p in domain.Progress]
    )
    payload = SealedField(default=dict)
    code = models.CharField(max_length=60, blank=True)  # the upstream's code of the last definite answer
    field = models.CharField(max_length=20, blank=True)  # the field it concerns
    trace = models.CharField(max_length=80, blank=True)
    tries = models.PositiveIntegerField(default=0)
    planned_at = models.DateTimeField()  # since when the upstream may know the key; of a code: when limits counted it
    sent_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    history = models.JSONField(default=list)

    class Meta:
        verbose_name = "submission"
        verbose_name_plural = "submissions"
        constraints = [
            models.UniqueConstraint(fields=["flow", "kind", "level"], name="one_submission_per_intent"),
        ]
        indexes = [
            models.Index(fields=["state", "sent_at"]),
            models.Index(fields=["trace"], name="submission_by_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.level} {self.state}".replace("  ", " ")

    # In memory only: this process holds the right to send it, from the plan or from a claim.
    claimed = False
    is_planned_here = False  # ... from the plan: its flow is what was stored with it
    is_answered_here = False  # its flow is what was stored with the answer
    question = False  # ... and asks what an earlier call under the same key did

    @property
    def progress(self) -> domain.Progress:
        return domain.Progress(self.state)

    def claim(self, now: datetime, *, lease: timedelta, pause: timedelta) -> domain.Progress | None:
        """Takes the right to send: the state before, or None when somebody else has it. Atomic on every database.

        `lease`: a submission that was sent so long ago belongs to a process that died. `pause`: how long an unknown
        outcome is left alone before it is asked about again.
        """
        same = Submission.objects.filter(pk=self.pk, key=self.key, flow__purged_at=None)
        # Under an older key it would be done again. A code is sent again gladly.
        known = Q(planned_at__gt=now - domain.ASKED_FOR) | Q(kind=SubmissionKind.CODE)
        free = {
            domain.Progress.PLANNED: Q(),
            domain.Progress.UNKNOWN: known & Q(sent_at__lte=now - pause),
            domain.Progress.SENT: known & Q(sent_at__lte=now - lease),
        }
        for before, condition in free.items():
            # A code's limits know it by the moment it was planned, and nobody asks how old its key is.
            is_first = before is domain.Progress.PLANNED and self.kind != SubmissionKind.CODE
            first = {"planned_at": now} if is_first else {}
            taken = same.filter(condition, state=before).update(
                state=domain.Progress.SENT, sent_at=now, tries=F("tries") + 1, **first
            )
            if taken:
                self.state, self.sent_at, self.claimed = domain.Progress.SENT, now, True
                self.question = before.is_pending
                return before
        return None
