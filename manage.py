#!/usr/bin/env python
"""Django's command line; bad configuration ends it with one sentence instead of a traceback."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys

# What `manage.py demo` (and so `make run`) needs to start with nothing configured; the environment wins.
DEMO_DEFAULTS = {
    "DEBUG": "true",
    "ALLOWED_HOSTS": "127.0.0.1,localhost",
    "UPSTREAM_BASE_URL": "http://127.0.0.1:{SANDBOX_PORT}/api",
    "UPSTREAM_COMPANY_ID": "1",
    "PUBLIC_URL": "http://127.0.0.1:{PORT}",
    "EMBED_ORIGINS": "http://localhost:{PARTNER_PORT}",
    "DEFAULT_COUNTRY": "GB",
    "LIMIT_ADDRESS": "300/10m",  # whoever tries it out comes from one address
}
DEMO_PORTS = {"PORT": "8000", "SANDBOX_PORT": "8100", "PARTNER_PORT": "8200"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "onboarding.settings")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as process 1 of a container it would change nothing
    if sys.argv[1:2] == ["demo"]:
        ports = {name: os.environ.setdefault(name, port) for name, port in DEMO_PORTS.items()}
        os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))  # one for all the processes that it starts
        for name, value in DEMO_DEFAULTS.items():
            os.environ.setdefault(name, value.format(**ports))
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as exc:
        sys.exit(f"Configuration: {exc}")
    except Exception:  # the outermost handler: the log leaves out texts that may quote a customer, Python would not
        logging.getLogger("onboarding").critical("the command ended with an error", exc_info=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
