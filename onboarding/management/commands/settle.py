"""`manage.py settle`: asks the upstream again, with the same keys, about submissions whose outcome is unknown.

Also sends what was put off, and asks how the checks of those stand who have left the page.
"""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections
from django.utils import timezone

from onboarding import housekeeping
from onboarding.domain.flow import Progress
from onboarding.logs import following

log = logging.getLogger("onboarding.settle")

REVIEWS_SECONDS = 10.0  # of a round


class Command(BaseCommand):
    help = "Resolves submissions whose outcome is unknown; exit status 1 when some still are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on every 10 seconds until stopped")
        parser.add_argument("--pause", type=float, default=10.0, help="seconds between rounds of the loop")
        parser.add_argument("--left", type=float, default=300.0, help="seconds after which a customer has left")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            while True:
                left = self.one_round(quiet=options["loop"], left_for=timedelta(seconds=options["left"]))
                if not options["loop"]:
                    raise SystemExit(1 if left else 0)
                close_old_connections()
                time.sleep(options["pause"])
        except KeyboardInterrupt:
            return

    def one_round(self, *, quiet: bool, left_for: timedelta) -> int:
        """Gives the number of submissions that are still open."""
        submissions = housekeeping.pending_submissions()
        submissions += housekeeping.put_off_submissions(now=timezone.now(), left=left_for)
        left = given_up = put_off = 0
        for submission in submissions:
            with following(submission.flow.reference):
                try:
                    progress = housekeeping.settle(submission).progress
                    left += progress.is_pending
                    given_up += progress is Progress.GIVEN_UP
                    put_off += progress is Progress.PLANNED
                except Exception:  # the outermost handler: one bad row must not keep the others waiting
                    log.exception("a submission of reference %s is not settled", submission.flow.reference)
                    left += 1
        if submissions or not quiet:
            late = f", {given_up} given up" if given_up else ""
            self.stdout.write(f"{len(submissions) - left - given_up - put_off} settled, {left} still unknown{late}")
        self.look_after_reviews()
        return left

    def look_after_reviews(self) -> None:
        """As far as REVIEWS_SECONDS go: a platform that hangs must not hold up the unknown outcomes."""
        end = time.monotonic() + REVIEWS_SECONDS
        for pk, reference in housekeeping.reviews_due(now=timezone.now()):
            with following(reference):
                try:
                    housekeeping.look_after_review(pk, now=timezone.now())
                except Exception:  # likewise the outermost handler
                    log.exception("the review of reference %s is not looked at", reference)
            if time.monotonic() > end:
                return
