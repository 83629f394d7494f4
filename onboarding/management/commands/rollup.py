"""`manage.py rollup`: counts the funnel that the operator's console shows."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from onboarding import rollup

log = logging.getLogger("onboarding.rollup")


class Command(BaseCommand):
    help = "Counts every day whose flows have changed since the last run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on every minute until stopped")
        parser.add_argument("--pause", type=float, default=60.0, help="seconds between rounds of the loop")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            while options["loop"]:
                self.one_round(options["pause"])
            self.stdout.write(f"{rollup.run(now=timezone.now()).counted} days counted")
        except KeyboardInterrupt:
            return

    def one_round(self, pause: float) -> None:
        try:
            rollup.run(now=timezone.now())
        except DatabaseError as exc:  # its restart must not end this process; the next round counts what this one left
            log.warning("the database does not answer: %s", type(exc).__name__)
        close_old_connections()
        time.sleep(pause)
