"""The WSGI application. A configuration that contradicts itself ends the start with one sentence.

`python -m onboarding.wsgi` says that sentence without serving: a server with several workers would say it
once for each, and again for each that it starts anew.
"""

from __future__ import annotations

import os
import sys

import django
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "onboarding.settings")
try:
    django.setup()
except ImproperlyConfigured as exc:
    sys.exit(f"Configuration: {exc}")

from onboarding.checks import sentences  # only now: it reads the settings

if wrong := sentences(run_checks()):
    sys.exit(f"Configuration: {wrong}")

application = get_wsgi_application()
