"""The process's one upstream client, made from the settings: one pool of connections, one TLS context."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from onboarding.metrics import observe_circuit, observe_upstream
from onboarding.upstream.client import UpstreamClient, UpstreamConfig
from onboarding.upstream.gate import REGISTRATION


@cache
def upstream() -> UpstreamClient:
    return UpstreamClient(
        UpstreamConfig(
            base_url=settings.UPSTREAM_BASE_URL,
            company_id=settings.UPSTREAM_COMPANY_ID,
            version=settings.UPSTREAM_VERSION,
            public_key=settings.UPSTREAM_PUBLIC_KEY,
            connect_timeout=settings.UPSTREAM_CONNECT_TIMEOUT,
            read_timeout=settings.UPSTREAM_READ_TIMEOUT,
            max_in_flight=settings.UPSTREAM_MAX_IN_FLIGHT,
            send_protocol=settings.UPSTREAM_SEND_PROTOCOL,
            captcha=bool(settings.CAPTCHA_PROVIDER),
            breaker_failures=settings.UPSTREAM_BREAKER_FAILURES,
        ),
        observe=observe_upstream,
        changed=observe_circuit,
    )


def registration_pause() -> float:
    """Seconds for which nobody can register, as far as this process knows by its own calls; 0: nothing is known."""
    gate = upstream().gate
    return max(gate.refuses_for(REGISTRATION), gate.mended_after(REGISTRATION))


# Django's language code → what the upstream reads (header and field `lang`). It knows no others: docs/upstream.md 1.2.
_LANGUAGES = {
    "en": "en-US", "zh-hans": "zh-CN", "zh-hant": "zh-HK", "es": "es-ES", "fr": "fr-FR", "tr": "tr-TR", "ko": "ko-KR",
    "th": "th-TH",
}  # fmt: skip


def upstream_language(language: str) -> str:
    """The upstream's spelling of one of our languages; English for those it does not know."""
    return _LANGUAGES.get(language, "en-US")


def is_spoken(language: str) -> bool:
    """Whether the upstream has texts of its own in this language."""
    return language in _LANGUAGES
