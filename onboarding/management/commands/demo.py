"""`manage.py demo`: everything for a first look in one process tree (what `make run` starts)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from onboarding.sandbox.partner import PartnerSite
from onboarding.sandbox.server import Sandbox


class Command(BaseCommand):
    help = "Starts the front end, the sandbox upstream with its inbox, and a demo partner page on another site."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo brings a sandbox upstream: it starts with DEBUG=true only.")
        port, sandbox_port, partner_port = (int(os.environ[n]) for n in ("PORT", "SANDBOX_PORT", "PARTNER_PORT"))
        call_command("migrate", verbosity=0, interactive=False)
        try:
            sandbox = Sandbox(port=sandbox_port).start()
            partner = PartnerSite(port=partner_port, onboarding_url=os.environ["PUBLIC_URL"]).start()
        except OSError as exc:
            raise CommandError(
                f"A port is taken ({exc}). Set PORT, SANDBOX_PORT and PARTNER_PORT to free ones."
            ) from exc
        server = subprocess.Popen(serve_command(port), start_new_session=True)  # noqa: S603 (our own arguments)
        others = [
            subprocess.Popen([sys.executable, "manage.py", name, "--loop"], start_new_session=True)  # noqa: S603
            for name in ("settle", "webhooks", "rollup")
        ]
        self.stdout.write(
            f"\n  The front end       http://127.0.0.1:{port}/\n"
            f"  Sandbox and inbox   http://127.0.0.1:{sandbox_port}/inbox   (scenarios: /scenarios)\n"
            f"  Demo partner page   http://localhost:{partner_port}/?utm_source=demo\n\n  Ctrl-C stops all of it.\n"
        )
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            while server.poll() is None:
                time.sleep(0.5)
            raise CommandError(f"The front end ended with status {server.returncode}.")
        except KeyboardInterrupt:
            self.stdout.write("\n")
        finally:
            for process in (server, *others):
                process.terminate()
            for process in (server, *others):
                process.wait(timeout=10)
            sandbox.stop()
            partner.stop()


def serve_command(port: int) -> list[str]:
    """The production server with one worker: twice as many threads as calls in flight (docs/operations.md)."""
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--blocking-threads", "128", "--log-level", "error", "--no-access-log",
        "onboarding.wsgi:application",
    ]  # fmt: skip
