"""The upstream's dictionaries: countries, document kinds, where companies may register.

Kept per process and language; served stale when the upstream cannot be asked, and from built-in data (phone numbers'
metadata and CLDR names) when it never could, so that the first page always renders.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import phonenumbers
from babel import Locale
from django.conf import settings

from onboarding.domain.flow import AccountType
from onboarding.domain.levels import COMPANY_TYPES, COUNTRIES, DOCUMENT_KINDS
from onboarding.gateway import upstream, upstream_language
from onboarding.upstream.client import Call
from onboarding.upstream.errors import OutcomeUnknown, UpstreamError, UpstreamUnavailable
from onboarding.upstream.wire import Country, DictionaryItem

log = logging.getLogger("onboarding.dictionaries")
T = TypeVar("T")

FRESH_SECONDS = 600.0
RETRY_SECONDS = 15.0  # after a failure, before the upstream is asked again
READ_TIMEOUT = 2.5  # seconds: a customer is waiting for the page
COMPANY_COUNTRIES = "company countries"  # our own name for the countries in which companies may register
NO_COUNTRY = "other"  # an item of the list of countries that is none (docs/upstream.md 2.5)
OWN_DICTIONARIES = frozenset({DOCUMENT_KINDS, COMPANY_TYPES, "Business_Nature"})
MOST_DICTIONARIES = 200  # others that are kept; their names come from the upstream's elements

_kept: dict[tuple[str, str], tuple[float, object]] = {}  # (what, language) → (good until, value)
_locks: dict[tuple[str, str], threading.Lock] = {}
_others: OrderedDict[str, None] = OrderedDict()  # dictionaries that elements name, the one asked for last at the end
_room = threading.Lock()


class _Rest:
    """The upstream gave no answer: until this moment nobody waits for a list that we have not."""

    until = 0.0


_rest = _Rest()


def _cached(what: str, lang: str, fetch: Callable[[Call], T], fallback: Callable[[str], T]) -> T:
    """The kept value while it is fresh; else one thread fetches while the others use what there is."""
    key = (what, lang)
    now = time.monotonic()
    until, value = _kept.get(key, (0.0, None))
    if value is not None and now < until:
        return value  # type: ignore[return-value]  # the key decides the type
    if value is None and now < _rest.until:
        return fallback(lang)  # a page with many lists must not wait for each of them
    lock = _locks.setdefault(key, threading.Lock())
    if not lock.acquire(timeout=READ_TIMEOUT if value is None else 0):
        return value if value is not None else fallback(lang)  # type: ignore[return-value]
    try:
        until, value = _kept.get(key, (0.0, None))
        if value is None or time.monotonic() >= until:
            until, value = _refresh(what, lang, fetch, fallback, value)
            _kept[key] = (until, value)
        return value  # type: ignore[return-value]
    finally:
        lock.release()


def _refresh(
    what: str, lang: str, fetch: Callable[[Call], T], fallback: Callable[[str], T], stale: object
) -> tuple[float, object]:
    try:
        return time.monotonic() + FRESH_SECONDS, fetch(Call(lang=upstream_language(lang), read_timeout=READ_TIMEOUT))
    except UpstreamError as exc:
        log.warning("dictionary %s not refreshed: %s", what, exc)
        until = time.monotonic() + RETRY_SECONDS
        if isinstance(exc, UpstreamUnavailable | OutcomeUnknown):
            _rest.until = until
        return until, stale if stale is not None else fallback(lang)


def forget() -> None:
    """Empties the cache (tests, and operators' shells)."""
    _kept.clear()
    _others.clear()
    _rest.until = 0.0


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


def texted(lang: str) -> tuple[Country, ...]:
    """The countries to whose numbers codes may go by text message."""
    if not settings.SMS_COUNTRIES:
        return tuple(country for country in registrable(lang) if country.area)
    wanted = {code.upper() for code in settings.SMS_COUNTRIES}
    found = (c for c in countries(lang) if wanted & {c.code.upper(), c.alpha2.upper()})
    return tuple(country for country in found if country.area)


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
    if dictionary not in OWN_DICTIONARIES:
        _make_room(dictionary)
    fallback = _builtin_documents if dictionary == DOCUMENT_KINDS else _nothing
    # A list called like one of ours is still another list.
    return _cached(f"dictionary {dictionary}", lang, lambda call: upstream().dictionary(dictionary, call), fallback)


def needed_options(dictionary: str, lang: str) -> tuple[DictionaryItem, ...]:
    """The same of a list that must exist. Raises UpstreamUnavailable when it cannot be had: free text is no choice."""
    found = options(dictionary, lang)
    if not found:
        raise UpstreamUnavailable("NO_DICTIONARY", retry_after=RETRY_SECONDS)
    return found


def _make_room(dictionary: str) -> None:
    """Lists that elements name are kept in a limited number; the one not asked for longest goes."""
    with _room:
        _others[dictionary] = None
        _others.move_to_end(dictionary)
        while len(_others) > MOST_DICTIONARIES:
            oldest, _nothing_else = _others.popitem(last=False)
            for key in [key for key in list(_kept) if key[0] == f"dictionary {oldest}"]:
                _kept.pop(key, None)
                _locks.pop(key, None)


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
