"""The WSGI application. A configuration that contradicts itself ends the start with one sentence."""

from __future__ import annotations

import os
import sys

import django
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "onboarding.settings")
try:
    django.setup()
except ImproperlyConfigured as exc:
    sys.exit(f"Configuration: {exc}")
_errors = [message for message in checks.run_checks() if message.level >= checks.ERROR]
if _errors:
    sys.exit("Configuration: " + " ".join(str(error.msg) for error in _errors))

application = get_wsgi_application()
