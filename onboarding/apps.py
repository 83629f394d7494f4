"""The application as Django knows it."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from onboarding.checks import check_settings


class OnboardingConfig(AppConfig):
    name = "onboarding"
    verbose_name = "Onboarding"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        checks.register(check_settings)
