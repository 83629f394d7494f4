"""The application with every line that its libraries can say, for tests of what must not stand in any."""

from __future__ import annotations

import logging

from django.conf import settings

from onboarding.wsgi import application

for name in ("", "django", "onboarding", "urllib3", "PIL", "pypdf"):
    logging.getLogger(name).setLevel(logging.DEBUG)
if settings.LOG_FORMAT == "json":  # a traceback for every variable that is not there: one log of them is enough
    logging.getLogger("django.template").setLevel(logging.INFO)

__all__ = ["application"]
