"""`manage.py purge`: deletes personal data past retention, what customers asked to delete, what is left of old flows,
old webhook events, and sessions of the console that are over.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils import timezone

from onboarding import housekeeping, limits, pumping, webhooks


class Command(BaseCommand):
    help = "Deletes personal data of flows past retention, and old flows."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on every 10 minutes until stopped")
        parser.add_argument("--pause", type=float, default=600.0, help="seconds between rounds of the loop")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            while True:
                now = timezone.now()
                self.stdout.write(f"{housekeeping.purge(now=now)} flows purged")
                if forgotten := housekeeping.forget_flows(now=now):
                    self.stdout.write(f"{forgotten} old flows deleted")
                webhooks.forget(now=now)
                limits.forget(now=now)
                pumping.forget(now=now)
                housekeeping.forget_sign_ins(now=now)
                housekeeping.forget_pages()
                if not options["loop"]:
                    return
                close_old_connections()
                time.sleep(options["pause"])
        except KeyboardInterrupt:
            return
