"""`manage.py reseal`: seals everything that rests under an earlier key anew, so that the earlier key can be dropped."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from onboarding import housekeeping


class Command(BaseCommand):
    help = (
        "Seals under SECRET_KEY what rests under one of SECRET_KEY_FALLBACKS; exit status 1 when a value opens no more."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = housekeeping.reseal()
        self.stdout.write(f"{done.renewed} sealed anew, {done.kept} were already, {done.lost} open with no key")
        raise SystemExit(1 if done.lost else 0)
