"""Contradictory settings stop the start with one sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from pydantic import TypeAdapter, ValidationError

from onboarding.domain.partner import wrong_origins
from onboarding.upstream.signing import load_public_key
from onboarding.upstream.wire import CustomerGroup

_HOST = re.compile(r"[\w.-]+|[0-9a-f:]*:[0-9a-f:.]*")  # a name or an IP address, without port and brackets


class OnboardingConfig(AppConfig):
    name = "onboarding"
    verbose_name = "Onboarding"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        checks.register(check_settings)


def check_settings(**_kwargs: Any) -> list[checks.CheckMessage]:
    """Every contradiction between settings, as Django system check errors E001 and on."""
    return [checks.Error(text, id=f"onboarding.E{number:03}") for number, text in _contradictions()]


def _contradictions() -> Iterator[tuple[int, str]]:
    base = urlsplit(settings.UPSTREAM_BASE_URL)
    if base.scheme not in ("http", "https") or not base.hostname:
        yield 1, "UPSTREAM_BASE_URL must be set to the upstream's address, such as https://host/api."
    elif base.scheme == "http" and base.hostname not in ("127.0.0.1", "localhost", "::1"):
        yield 2, "UPSTREAM_BASE_URL must use https outside loopback: it carries identities."
    if not settings.UPSTREAM_COMPANY_ID:
        yield 3, "UPSTREAM_COMPANY_ID must be set: the upstream refuses every call without it."
    if settings.CAPTCHA_PROVIDER and not settings.CAPTCHA_SITE_KEY:
        yield 4, "CAPTCHA_SITE_KEY must be set when CAPTCHA_PROVIDER is."
    if not settings.DEBUG and not settings.ALLOWED_HOSTS:
        yield 5, "ALLOWED_HOSTS must name the hosts that this front end answers for."
    if not urlsplit(settings.PUBLIC_URL).hostname or urlsplit(settings.PUBLIC_URL).path:
        yield 6, "PUBLIC_URL must be an origin such as https://onboarding.example, without a path."
    offered = {code.upper() for code in settings.COUNTRIES}
    if settings.DEFAULT_COUNTRY and offered and settings.DEFAULT_COUNTRY.upper() not in offered:
        yield 7, "DEFAULT_COUNTRY must be one of COUNTRIES."
    yield from _contradictions_in_values()


def _contradictions_in_values() -> Iterator[tuple[int, str]]:
    wrong = wrong_origins(settings.EMBED_ORIGINS)
    if wrong:
        yield 8, f"EMBED_ORIGINS must list exact origins such as https://partner.example, not {wrong[0]!r}."
    if settings.UPSTREAM_PUBLIC_KEY:
        try:
            load_public_key(settings.UPSTREAM_PUBLIC_KEY)
        except ValueError as exc:
            yield 9, f"UPSTREAM_PUBLIC_KEY cannot be read: {exc}"
    try:
        TypeAdapter(dict[str, CustomerGroup]).validate_python(settings.CUSTOMER_GROUPS)
    except ValidationError as exc:
        where = ".".join(str(part) for part in exc.errors()[0]["loc"])
        yield 10, f"CUSTOMER_GROUPS is wrong at {where or 'its top'}: {exc.errors()[0]['msg']}."
    for name in ("TERMS_URL", "PRIVACY_URL", "SUPPORT_URL", "SIGN_IN_URL", "CONTINUE_URL"):
        address = getattr(settings, name)
        if address and urlsplit(address).scheme not in ("http", "https"):
            yield 11, f"{name} must be an address that begins with https://."
    wrong_hosts = [host for host in settings.WEBHOOK_PRIVATE_HOSTS if not _HOST.fullmatch(host)]
    if wrong_hosts:
        yield 12, f"WEBHOOK_PRIVATE_HOSTS must list hosts such as crm.internal, not {wrong_hosts[0]!r}."
