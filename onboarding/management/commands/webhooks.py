"""`manage.py webhooks`: tells partners' webhooks what happened (docs/embedding.md)."""

from __future__ import annotations

import logging
import signal
import threading
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from onboarding import webhooks

log = logging.getLogger("onboarding.webhooks")

LAST_WAIT = 5.0  # seconds that an asked-to-stop process gives to what is on its way; the rest is sent again later


class Command(BaseCommand):
    help = "Sends due events to partners' webhooks; exit status 1 when some were not taken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--loop", action="store_true", help="go on until stopped")
        parser.add_argument("--pause", type=float, default=2.0, help="seconds between two looks of the loop")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["loop"]:
            return self.loop(options["pause"])
        ends = webhooks.run()
        self.stdout.write(
            f"{ends['taken']} taken, {ends['to be tried again']} to be tried again, {ends['given up']} given up"
        )
        raise SystemExit(1 if ends.total() > ends["taken"] else 0)

    def loop(self, pause: float) -> None:
        courier, asked_to_stop = webhooks.Courier(), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked_to_stop.set())
        while not asked_to_stop.is_set():
            self.one_look(courier, pause)
        end = time.monotonic() + LAST_WAIT
        while courier.is_busy and time.monotonic() < end:
            courier.collect(0.2)

    def one_look(self, courier: webhooks.Courier, pause: float) -> None:
        try:
            courier.send()
            courier.collect(pause)
        except DatabaseError as exc:  # its restart must not end this process
            log.warning("the database does not answer: %s", type(exc).__name__)
            time.sleep(pause)
        close_old_connections()
