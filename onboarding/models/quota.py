"""What was done lately, by subjects that nobody can read out of it: the memory of `onboarding.limits`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.db import connection, models


class Quota(models.Model):
    """When codes were sent to one recipient, or asked for from one address. Nothing personal stands in clear."""

    subject = models.CharField(max_length=64, primary_key=True)  # keyed digest
    recent = models.JSONField(default=list)  # moments, in seconds since 1970
    expires_at = models.DateTimeField(db_index=True)  # nothing counts any more from here on

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.subject[:8]

    @classmethod
    def add(cls, rows: Sequence[Quota]) -> dict[str, list[float]]:
        """Makes these rows, or adds what they hold to those of the same subject; gives all moments, by subject.

        In SQL, because an upsert of Django's can put values in place only.
        """
        fields = cls._meta.concrete_fields
        values = [field.get_db_prep_save(getattr(row, field.attname), connection) for row in rows for field in fields]
        places = ", ".join(["(%s, %s, %s)"] * len(rows))
        with connection.cursor() as cursor:
            cursor.execute(_ADD.format(places=places, appended=_APPENDED[connection.vendor]), values)
            return {subject: json.loads(recent) for subject, recent in cursor.fetchall()}


_ADD = """
    INSERT INTO onboarding_quota (subject, recent, expires_at) VALUES {places}
    ON CONFLICT (subject) DO UPDATE SET expires_at = excluded.expires_at, recent = {appended}
    RETURNING subject, recent
"""
_APPENDED = {
    "sqlite": "json_insert(onboarding_quota.recent, '$[#]', json_extract(excluded.recent, '$[0]'))",
    "postgresql": "onboarding_quota.recent || excluded.recent",
}
