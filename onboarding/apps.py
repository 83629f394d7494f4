"""The application as Django knows it."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core import checks
from django.core.signals import request_started

from onboarding.checks import check_settings
from onboarding.logs import follow_nobody


class OnboardingConfig(AppConfig):
    name = "onboarding"
    verbose_name = "Onboarding"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        checks.register(check_settings)
        request_started.connect(follow_nobody)


class ConsoleConfig(AdminConfig):
    default_site = "onboarding.console_site.ConsoleSite"
