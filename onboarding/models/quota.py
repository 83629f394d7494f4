"""What was done lately, by subjects that nobody can read out of it: the memory of `onboarding.limits`."""

from __future__ import annotations

from django.db import models


class Quota(models.Model):
    """When codes were sent to one recipient, or asked for from one address. Nothing personal stands in clear."""

    subject = models.CharField(max_length=64, primary_key=True)  # keyed digest
    recent = models.JSONField(default=list)  # moments, in seconds since 1970
    expires_at = models.DateTimeField(db_index=True)  # nothing counts any more from here on

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.subject[:8]
