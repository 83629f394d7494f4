"""Run the stand-in for the upstream in the foreground, for development.

It shows every code it "sends" to whoever asks, so it must never run beside a live front end: hence the
refusal when `DEBUG` is off. The sandbox itself knows no Django; this file is the only bridge.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from onboarding.sandbox.server import Sandbox


class Command(BaseCommand):
    help = "Runs the sandbox: a stand-in for the upstream, with an inbox for the codes that it sends."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8100)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--yes-really", action="store_true", help="run although DEBUG is off")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG and not options["yes_really"]:
            raise CommandError("The sandbox is for development only: set DEBUG=true, or add --yes-really.")
        sandbox = Sandbox(port=options["port"], host=options["host"])
        try:
            sandbox.bind()
        except OSError as exc:
            raise CommandError(f"Cannot listen on {options['host']}:{options['port']}: {exc.strerror}.") from exc
        for name, path in (("API", "/api"), ("Inbox", "/inbox"), ("Scenarios", "/scenarios")):
            self.stdout.write(f"{name + ':':<11}{sandbox.url}{path}")
        self.stdout.write("Stop with Ctrl-C.")
        self.stdout.flush()
        try:
            sandbox.serve_forever()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        finally:
            sandbox.stop()
