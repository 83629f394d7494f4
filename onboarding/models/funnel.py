"""What the funnel page reads: counts made by `onboarding.rollup`, so that its time does not grow with the flows.

Nothing here refers to a flow, and nothing is personal: these rows outlive what they count.
"""

from __future__ import annotations

from django.db import models


class Funnel(models.Model):
    """How many flows begun on this day (UTC), with this value in this dimension, reached each stage (`domain.funnel`).

    A row holds all stages: a row for each would be eight times as many, to write and to add up.
    """

    partner = models.CharField(max_length=60, blank=True)  # empty: flows of all partners
    dimension = models.CharField(max_length=12)  # domain.funnel.Dimension
    day = models.DateField()
    value = models.CharField(max_length=255, blank=True)
    flows = models.JSONField()  # stage → number
    gone = models.JSONField(null=True)  # ... of those among them whose rows are deleted; null: none is

    class Meta:
        verbose_name = "funnel"
        verbose_name_plural = "funnel"
        default_permissions = ()  # whoever may see flows may see how many there are
        constraints = [
            # In this order it serves the page too: one partner, one dimension, a range of days.
            models.UniqueConstraint(fields=["partner", "dimension", "day", "value"], name="one_count_of_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.partner} {self.dimension} {self.value}"


class FunnelRound(models.Model):
    """The one row that says until when everything is counted. Whoever counts a day holds it."""

    counted_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"counted at {self.counted_at}"
