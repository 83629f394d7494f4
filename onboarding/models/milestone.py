"""How far flows came and when: what the funnel counts and what partners are told. Nothing personal."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import models

from onboarding.models.flow import Flow


class MilestoneKind(models.TextChoices):
    """In the order of the way; `detail` says which level, which outcome, which upstream code."""

    IDENTIFIED = "identified"
    CODE_SENT = "code_sent"
    VERIFIED = "verified"  # the upstream took the code for right, whatever it said next
    REGISTERED = "registered"
    SUBMITTED = "submitted"  # a level; detail: its code
    DONE = "done"  # detail: the outcome (registered, in_review, passed)
    REFUSED = "refused"  # a definite refusal met on the way; detail: the upstream's code


class Milestone(models.Model):
    """A flow reached this for the first time, or was refused so for the last time.

    Written in the transaction of what it tells.
    """

    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="milestones")
    kind = models.CharField(max_length=12, choices=MilestoneKind.choices)
    detail = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = "milestone"
        verbose_name_plural = "milestones"
        constraints = [
            models.UniqueConstraint(fields=["flow", "kind", "detail"], name="one_milestone_of_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()

    @classmethod
    def write(cls, rows: Sequence[Milestone]) -> None:
        """The first time counts; of a refusal the last time, because the funnel asks whether anything came after it."""
        first = [row for row in rows if row.kind != MilestoneKind.REFUSED]
        last = [row for row in rows if row.kind == MilestoneKind.REFUSED]
        if first:
            Milestone.objects.bulk_create(first, ignore_conflicts=True)
        if last:
            Milestone.objects.bulk_create(
                last, update_conflicts=True, unique_fields=["flow", "kind", "detail"], update_fields=["at"]
            )


class Delivery(models.Model):
    """One event that a partner's webhook is to be told, kept until it was taken."""

    partner = models.CharField(max_length=60)
    event = models.CharField(max_length=36, unique=True)  # the same at every try, so that a repetition is known
    kind = models.CharField(max_length=12)  # a MilestoneKind, or webhooks.TEST
    body = models.TextField()  # the very bytes that are signed and sent; nothing personal
    made_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True, db_index=True)  # null: taken, or given up
    tries = models.PositiveSmallIntegerField(default=0)
    taken_at = models.DateTimeField(null=True)
    answer = models.CharField(max_length=60, blank=True)  # what came of the last try

    class Meta:
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"

    def __str__(self) -> str:
        return f"{self.partner} {self.kind} {self.event}"

    @classmethod
    def write(cls, rows: Sequence[Delivery]) -> None:
        """An event that is there already is not told again."""
        Delivery.objects.bulk_create(rows, ignore_conflicts=True)
