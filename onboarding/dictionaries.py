"""The upstream's dictionaries: countries, document kinds, where companies may register.

Kept per process and language, and refreshed by threads of their own; served stale when the upstream cannot be asked,
and from built-in data (phone numbers' metadata and CLDR names) when it never could, so that the first page always
renders. In a language that the upstream does not speak, its English lists get the names that we have ourselves.
"""

from __future__ import annotations

import logging
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import phonenumbers
from babel import Locale
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import override

from onboarding.domain.flow import AccountType
from onboarding.domain.levels import COMPANY_TYPES, COUNTRIES, DOCUMENT_KINDS
from onboarding.gateway import is_spoken, upstream, upstream_language
from onboarding.upstream import budget
from onboarding.upstream.client import Call
from onboarding.upstream.errors import OutcomeUnknown, UpstreamError, UpstreamUnavailable
from onboarding.upstream.wire import Country, DictionaryItem

log = logging.getLogger("onboarding.dictionaries")
T = TypeVar("T")

FRESH_SECONDS = 600.0
RETRY_SECONDS = 10.0  # after a failure, or while the upstream is in doubt, before it is asked again
FIRST_WAIT = 2.5  # seconds that a page waits for a list which nobody has yet
REST_SECONDS = 15.0  # after one that did not come in time, before a page waits for any again
AT_A_TIME = max(1, min(4, settings.UPSTREAM_MAX_IN_FLIGHT // 4))  # refreshes: places are for customers
_ENGLISH = "en"
COMPANY_COUNTRIES = "company countries"  # our own name for the countries in which companies may register
NO_COUNTRY = "other"  # an item of the list of countries that is none (docs/upstream.md 2.5)
OWN_DICTIONARIES = frozenset({DOCUMENT_KINDS, COMPANY_TYPES, "Business_Nature"})
MOST_DICTIONARIES = 200  # others that are kept; their names come from the upstream's elements


@dataclass(frozen=True, slots=True)
class _Kept:
    """A list as it was last had (None: never), when that was tried, and until when it is good."""

    value: object
    tried: float
    until: float


_kept: dict[tuple[str, str], _Kept] = {}  # by (what, language)
_renamed: dict[str, tuple[object, tuple[Country, ...]]] = {}  # by language: the countries as listed, and by our names
_refreshes: dict[tuple[str, str], threading.Event] = {}  # under way
_others: OrderedDict[str, None] = OrderedDict()  # dictionaries that elements name, the one asked for last at the end
_room = threading.Lock()
_places = threading.BoundedSemaphore(AT_A_TIME)


class _Rest:
    """The upstream gave no answer in time: until this moment no page waits for a list that we have not."""

    until = 0.0


_rest = _Rest()


class _Edition:
    """Counts how often any list was fetched anew."""

    number = 0


_edition = _Edition()


def edition(lang: str) -> int:
    """What was made of the lists may be kept as long as this number stays. Those of a first page are looked at."""
    countries(lang)
    company_countries()
    return _edition.number


def _cached(what: str, lang: str, fetch: Callable[[Call], T], fallback: Callable[[str], T]) -> T:
    """The kept value, however old; a thread of its own fetches another when it is time to. Else the built-in one.

    No page waits for the upstream, but for a list that nobody has yet, and then not for long.
    """
    key = (what, lang)
    kept = _kept.get(key)
    refresh = _refresh(key, fetch) if _is_due(kept) else None
    if kept is None or kept.value is None:
        if refresh is not None and time.monotonic() >= _rest.until:
            _await_first(refresh)
        kept = _kept.get(key)
    return fallback(lang) if kept is None or kept.value is None else kept.value  # type: ignore[return-value]


def _is_due(kept: _Kept | None) -> bool:
    """In doubt lists are asked for sooner: nobody is harmed by that, and so each process learns how things stand."""
    now = time.monotonic()
    if kept is None or now >= kept.until:
        return True
    return now >= kept.tried + RETRY_SECONDS and upstream().gate.is_doubtful()


def _refresh(key: tuple[str, str], fetch: Callable[[Call], object]) -> threading.Event | None:
    """The refresh that is under way for this list; begun unless there is one. None: enough others are under way."""
    with _room:
        if key in _refreshes:
            return _refreshes[key]
        if not _places.acquire(blocking=False):
            return None
        done = _refreshes[key] = threading.Event()
    upstream()  # made by one thread before several use it
    threading.Thread(target=_fetch, args=(key, fetch, done), daemon=True, name=f"dictionary {key[0]}").start()
    return done


def _await_first(refresh: threading.Event) -> None:
    """One list that does not come is enough: the others of the page, and the next pages, do without."""
    if not refresh.wait(max(0.0, min(FIRST_WAIT, budget.left()))):
        _rest.until = time.monotonic() + REST_SECONDS


def _fetch(key: tuple[str, str], fetch: Callable[[Call], object], done: threading.Event) -> None:
    """The whole of a refreshing thread. Nobody waits for it, so it has the time that tells a hanging upstream."""
    what, lang = key
    before = _kept.get(key)
    try:
        value = fetch(Call(lang=upstream_language(lang), read_timeout=settings.UPSTREAM_READ_TIMEOUT / 2))
        now = time.monotonic()
        _keep(key, _Kept(value, now, now + FRESH_SECONDS), done)
    except UpstreamError as exc:
        log.warning("dictionary %s not refreshed: %s", what, exc)
        now = time.monotonic()
        until = now + max(RETRY_SECONDS, exc.retry_after or 0.0)
        counts = _keep(key, _Kept(before.value if before else None, now, until), done)
        if counts and isinstance(exc, UpstreamUnavailable | OutcomeUnknown):
            _rest.until = now + REST_SECONDS
    finally:
        with _room:
            if _refreshes.get(key) is done:
                del _refreshes[key]
        _places.release()
        done.set()


def _keep(key: tuple[str, str], kept: _Kept, done: threading.Event) -> bool:
    """False: it came too late, the lists have been forgotten meanwhile."""
    with _room:
        if _refreshes.get(key) is not done:
            return False
        _kept[key] = kept
        _edition.number += 1
        return True


def warm() -> None:
    """Has the lists of the first page fetched, if it is time to, and waits for nothing."""
    for language, _name in settings.LANGUAGES:
        if is_spoken(language):
            _warm("countries", language, lambda call: upstream().countries(call))
    if AccountType.ENTERPRISE in settings.ACCOUNT_TYPES:
        _warm("company_countries", "en", lambda call: upstream().company_countries(call))


def _warm(what: str, lang: str, fetch: Callable[[Call], object]) -> None:
    if _is_due(_kept.get((what, lang))):
        _refresh((what, lang), fetch)


def forget() -> None:
    """Empties the cache (tests, and operators' shells). What is under way comes too late to be kept."""
    _kept.clear()
    _renamed.clear()
    _refreshes.clear()
    _others.clear()
    _rest.until = 0.0
    _edition.number += 1


def countries(lang: str) -> tuple[Country, ...]:
    """All countries with their names in our language `lang`, in the upstream's order or in that of our names."""
    if not is_spoken(lang):
        return _by_our_names(countries(_ENGLISH), lang)
    found = _cached("countries", lang, lambda call: upstream().countries(call), _builtin_countries)
    return found or _builtin_countries(lang)


def _by_our_names(listed: tuple[Country, ...], lang: str) -> tuple[Country, ...]:
    """Named as CLDR names them, and what it does not know at the end; done once for each list."""
    kept = _renamed.get(lang)
    if kept is None or kept[0] is not listed:
        names = _country_names(lang)
        known = [replace(each, name=names[each.alpha2.upper()]) for each in listed if each.alpha2.upper() in names]
        with override(lang):
            none = _("Other")
        others = [
            replace(each, name=none) if each.code == NO_COUNTRY else each
            for each in listed
            if each.alpha2.upper() not in names
        ]
        kept = _renamed[lang] = (listed, (*_sorted(known), *others))
    return kept[1]


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
    theirs = lang if is_spoken(lang) else _ENGLISH
    # A list called like one of ours is still another list.
    items = _cached(f"dictionary {dictionary}", theirs, lambda call: upstream().dictionary(dictionary, call), fallback)
    items = items or fallback(theirs)
    if theirs != lang and dictionary == DOCUMENT_KINDS:
        names = _document_names(lang)
        items = tuple(replace(item, name=names.get(item.code, item.name)) for item in items)
    return items


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


def _nothing(lang: str) -> tuple[DictionaryItem, ...]:
    return ()


@cache
def _country_names(lang: str) -> dict[str, str]:
    """Alpha-2 → CLDR's name."""
    return {code: name for code, name in Locale.parse(lang.replace("-", "_")).territories.items() if code.isalpha()}


def _sorted(found: Iterable[Country]) -> tuple[Country, ...]:
    """By their names, where Å stands beside A: near enough to every language's own order."""

    def bare(country: Country) -> str:
        letters = unicodedata.normalize("NFKD", country.name.casefold().replace("đ", "d").replace("ı", "i"))
        return "".join(letter for letter in letters if not unicodedata.combining(letter))

    return tuple(sorted(found, key=bare))


@cache
def _builtin_countries(lang: str) -> tuple[Country, ...]:
    names = _country_names(lang)
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
    return _sorted(found)


def _document_names(lang: str) -> dict[str, str]:
    """By the upstream's codes, misspelt as they are."""
    with override(lang):
        return {"identity_card": _("Identity card"), "passport": _("Passport"), "drving_license": _("Driving licence")}


def _builtin_documents(lang: str) -> tuple[DictionaryItem, ...]:
    return tuple(DictionaryItem(code=code, name=name, pattern="") for code, name in _document_names(lang).items())
