"""The upstream's dictionaries: countries, document kinds, where companies may register.

Kept per process and language; served stale when the upstream cannot be asked, and from built-in data (phone numbers'
metadata and CLDR names) when it never could, so that the first page always renders.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import phonenumbers
from babel import Locale
from django.conf import settings

from onboarding.domain.flow import AccountType
from onboarding.domain.levels import COUNTRIES, DOCUMENT_KINDS
from onboarding.gateway import upstream, upstream_language
from onboarding.upstream.client import Call
from onboarding.upstream.errors import UpstreamError
from onboarding.upstream.wire import Country, DictionaryItem

log = logging.getLogger("onboarding.dictionaries")
T = TypeVar("T")

FRESH_SECONDS = 600.0
RETRY_SECONDS = 15.0  # after a failure, before the upstream is asked again
READ_TIMEOUT = 2.5  # seconds: a customer is waiting for the page
COMPANY_COUNTRIES = "company countries"  # our own name for the countries in which companies may register
NO_COUNTRY = "other"  # an item of the list of countries that is none (docs/upstream.md 2.5)
MOST_DICTIONARIES = 100  # kept; their names come from the upstream's elements

_kept: dict[tuple[str, str], tuple[float, object]] = {}  # (what, language) → (good until, value)
_known: set[str] = set()  # dictionaries asked for by name
_lock = threading.Lock()


def _cached(what: str, lang: str, fetch: Callable[[Call], T], fallback: Callable[[str], T]) -> T:
    """The kept value while it is fresh; else one thread fetches while the others use what there is."""
    key = (what, lang)
    now = time.monotonic()
    until, value = _kept.get(key, (0.0, None))
    if value is not None and now < until:
        return value  # type: ignore[return-value]  # the key decides the type
    if not _lock.acquire(timeout=READ_TIMEOUT if value is None else 0):
        return value if value is not None else fallback(lang)  # type: ignore[return-value]
    try:
        until, value = _kept.get(key, (0.0, None))
        if value is None or time.monotonic() >= until:
            until, value = _refresh(what, lang, fetch, fallback, value)
            _kept[key] = (until, value)
        return value  # type: ignore[return-value]
    finally:
        _lock.release()


def _refresh(
    what: str, lang: str, fetch: Callable[[Call], T], fallback: Callable[[str], T], stale: object
) -> tuple[float, object]:
    try:
        return time.monotonic() + FRESH_SECONDS, fetch(Call(lang=upstream_language(lang), read_timeout=READ_TIMEOUT))
    except UpstreamError as exc:
        log.warning("dictionary %s not refreshed: %s", what, exc)
        return time.monotonic() + RETRY_SECONDS, stale if stale is not None else fallback(lang)


def forget() -> None:
    """Empties the cache (tests, and operators' shells)."""
    _kept.clear()
    _known.clear()


def countries(lang: str) -> tuple[Country, ...]:
    """All countries with their names in our language `lang`, in the upstream's order."""
    found = _cached("countries", lang, lambda call: upstream().countries(call), _builtin_countries)
    return found or _builtin_countries(lang)


def registrable(lang: str) -> tuple[Country, ...]:
    """The countries whose residents may register here."""
    if not settings.COUNTRIES:
        return countries(lang)
    wanted = {code.upper() for code in settings.COUNTRIES}
    return tuple(country for country in countries(lang) if country.code.upper() in wanted)


def company_countries() -> frozenset[str]:
    """Dictionary codes of the countries in which companies may register here; none when the upstream does not say."""
    if AccountType.ENTERPRISE not in settings.ACCOUNT_TYPES:
        return frozenset()
    return _cached(
        "company_countries", "en", lambda call: upstream().company_countries(call), lambda _lang: frozenset[str]()
    )


def options(dictionary: str, lang: str) -> tuple[DictionaryItem, ...]:
    """The choices of a dictionary, by the upstream's name for it; none when it has no such list or cannot be asked."""
    if dictionary in (COUNTRIES, COMPANY_COUNTRIES):
        open_to = company_countries() if dictionary == COMPANY_COUNTRIES else frozenset[str]()
        found = [item for item in countries(lang) if item.code != NO_COUNTRY and (not open_to or item.code in open_to)]
        return tuple(DictionaryItem(item.code, item.name) for item in found)
    if dictionary not in _known and len(_known) >= MOST_DICTIONARIES:
        return ()
    _known.add(dictionary)
    fallback = _builtin_documents if dictionary == DOCUMENT_KINDS else _nothing
    return _cached(dictionary, lang, lambda call: upstream().dictionary(dictionary, call), fallback)


def _nothing(lang: str) -> tuple[DictionaryItem, ...]:
    return ()


def _builtin_countries(lang: str) -> tuple[Country, ...]:
    names = Locale.parse(lang.replace("-", "_")).territories
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    found = [
        Country(
            code=region,
            name=names.get(region, region),
            alpha2=region,
            area=f"+{phonenumbers.country_code_for_region(region)}",
            pattern="",
        )
        for region in regions
    ]
    return tuple(sorted(found, key=lambda country: country.name))


def _builtin_documents(lang: str) -> tuple[DictionaryItem, ...]:
    names = {
        "zh": ("身份证", "护照", "驾驶证"),
        "es": ("Documento de identidad", "Pasaporte", "Permiso de conducir"),
    }.get(lang[:2], ("Identity card", "Passport", "Driving licence"))
    codes = ("identity_card", "passport", "drving_license")  # the upstream's spelling
    return tuple(DictionaryItem(code=code, name=name, pattern="") for code, name in zip(codes, names, strict=True))
