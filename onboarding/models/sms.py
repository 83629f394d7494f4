"""Text messages: how many codes were sent and used, and where none may go. No row knows a number."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class SmsCount(models.Model):
    """Codes sent by text message within one hour to numbers that begin so, and how many of them were then used."""

    hour = models.DateTimeField()
    country = models.CharField(max_length=3)  # alpha-2 by the number; "001" of numbers of no country
    prefix = models.CharField(max_length=12, blank=True)  # such as "+44 7400"; empty: all of the country
    sent = models.PositiveIntegerField(default=0)
    used = models.PositiveIntegerField(default=0)
    alarmed_at = models.DateTimeField("alarm", null=True)

    class Meta:
        verbose_name = "text message count"
        verbose_name_plural = "text messages sent and used"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["hour", "country", "prefix"], name="one_sms_count_of_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.country} {self.prefix}".strip()


class SmsStop(models.Model):
    """The operator's switch: while it is on, no code goes by text message to this country, or to any."""

    country = models.CharField(
        max_length=2,
        blank=True,
        unique=True,
        help_text="Whose numbers: not where a customer lives.",
    )
    stopped = models.BooleanField(
        "no text messages", default=True, help_text="Holds within seconds in all processes, for flows under way too."
    )
    reason = models.CharField(max_length=200, blank=True, help_text="For your colleagues; customers never see it.")
    changed_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_by = models.CharField(max_length=150, editable=False)

    class Meta:
        verbose_name = "stop of text messages"
        verbose_name_plural = "stops of text messages"
        default_permissions = ("add", "change", "view")  # never deleted: its history tells who stopped what when

    def __str__(self) -> str:
        return self.country or "every country"
