"""The application with the catalogues of tests/pseudo.py alone."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from onboarding.wsgi import application

settings.LOCALE_PATHS = [Path(os.environ["PSEUDO_LOCALE"])]

__all__ = ["application"]
