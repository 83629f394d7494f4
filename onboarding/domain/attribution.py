"""Which marketing parameters we take from a link, in what shape, and what is kept of the first and the last visit.

An allow-list: nothing else of a query string is read, kept or passed on. A value that looks like somebody's e-mail
address or phone number is not taken: such links exist, and a campaign report is no place for it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

UTM_KEYS = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id")
# Identifiers of single clicks, by which an advertiser can tell persons apart: taken only where the operator says so.
CLICK_KEYS = (
    "gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id", "yclid",
)  # fmt: skip
KEYS = (*UTM_KEYS, *CLICK_KEYS)
MAX_LENGTH = 255  # characters; the upstream's columns
MAX_PATH = 100

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, bidi and zero-width, lone surrogates, separators
_EMAIL = re.compile(r"[^\s@/?&=]+(?:@|%40)[^\s@/?&=]+\.\w{2,}", re.IGNORECASE)
_SEPARATORS = r"[\s().\-/\u2010-\u2015]"
_INTERNATIONAL = re.compile(rf"(?:\+|(?<!\d)00|^\s|tel:){_SEPARATORS}*\d(?:{_SEPARATORS}*\d){{8,14}}(?!\d)")
_GROUPED = re.compile(rf"\(?\d{{2,5}}\)?{_SEPARATORS}+\d{{3,4}}{_SEPARATORS}*\d{{3,4}}(?:{_SEPARATORS}+\d{{2,4}})?")
# A national number in one piece: with its leading zero, or a Chinese mobile one. Other bare digits number campaigns.
_NATIONAL = re.compile(r"0[1-9]\d{7,10}|1[3-9]\d{9}")
_NUMBERS = frozenset({"utm_id", *CLICK_KEYS})  # made of digits as a rule


class Dropped(StrEnum):
    """Why a value was not taken."""

    EMAIL = "email"
    PHONE = "phone"
    OBJECTION = "objection"  # the browser's Sec-GPC header


@dataclass(frozen=True, slots=True)
class Taken:
    """What a link gave, and how often something was dropped for which reason."""

    values: Mapping[str, str]
    dropped: Mapping[Dropped, int] = field(default_factory=dict)


def visible(value: str) -> str:
    """The value as NFC, without control, bidi and zero-width characters."""
    return unicodedata.normalize("NFC", "".join(ch for ch in value if unicodedata.category(ch) not in _INVISIBLE))


def clean(value: str) -> str:
    """The visible value, at most 255 characters, never cut between a letter and its accents."""
    text = visible(value)
    if len(text) <= MAX_LENGTH:
        return text
    end = MAX_LENGTH
    while end and unicodedata.category(text[end]).startswith("M"):
        end -= 1
    return text[: end or MAX_LENGTH]


def personal(key: str, value: str) -> Dropped | None:
    """What kind of personal datum a visible value looks like, if any."""
    text = unicodedata.normalize("NFKC", value)  # full-width signs and digits are signs and digits
    if _EMAIL.search(text):
        return Dropped.EMAIL
    if _INTERNATIONAL.search(text):
        return Dropped.PHONE
    if key in _NUMBERS:
        return None
    text = text.strip()
    digits = sum(ch.isdigit() for ch in text)
    looks = _NATIONAL.fullmatch(text) or (9 <= digits <= 15 and _GROUPED.fullmatch(text))
    return Dropped.PHONE if looks else None


def read(query: Iterable[tuple[str, str]], *, clicks: bool = False, objects: bool = False) -> Taken:
    """The values of a query string's pairs, decoded once before: keys in any case, the first of duplicates wins.

    `clicks`: the operator wants click identifiers. `objects`: this visitor does not (Global Privacy Control).
    """
    first: dict[str, str] = {}
    for key, value in query:
        first.setdefault(key.lower(), visible(value))
    values: dict[str, str] = {}
    dropped: Counter[Dropped] = Counter()
    for key in KEYS if clicks else UTM_KEYS:
        value = first.get(key, "")
        reason = Dropped.OBJECTION if objects and key in CLICK_KEYS else personal(key, value)
        if value and reason:
            dropped[reason] += 1
        elif value:
            values[key] = clean(value)
    return Taken(values, dropped)


@dataclass(frozen=True, slots=True)
class Touch:
    """One visit to the first page: when (ISO 8601, UTC), at which path of ours, by which link."""

    at: str = ""
    path: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Any) -> Touch:
        """From a mapping that comes back from outside (a signed field, a row), checked again."""
        if not isinstance(stored, Mapping):
            return cls()
        values = stored.get("values")
        pairs = values.items() if isinstance(values, Mapping) else ()
        texts = [(str(key), value) for key, value in pairs if isinstance(value, str)]
        at, path = (str(stored.get(name) or "") for name in ("at", "path"))
        return cls(at[:32], clean(path)[:MAX_PATH], read(texts, clicks=True).values)

    def stored(self) -> dict[str, Any]:
        return {"at": self.at, "path": self.path, "values": dict(self.values)}


@dataclass(frozen=True, slots=True)
class Touches:
    """The first and the last visit that we know of. The last one is what the upstream is told."""

    first: Touch = Touch()
    last: Touch = Touch()

    @classmethod
    def of(cls, stored: Any) -> Touches:
        """From a row or a signed field; a row of an earlier release holds the values alone."""
        if not isinstance(stored, Mapping) or not ({"first", "last"} & set(stored)):
            touch = Touch.of({"values": stored})
            return cls(touch, touch)
        first = Touch.of(stored.get("first"))
        return cls(first, Touch.of(stored["last"]) if "last" in stored else first)

    def stored(self) -> dict[str, Any]:
        same = {} if self.last == self.first else {"last": self.last.stored()}
        return {"first": self.first.stored(), **same}

    @property
    def is_empty(self) -> bool:
        return not self.first.values and not self.last.values

    def then(self, visit: Touch) -> Touches:
        """After another visit. One without values, or by the same link, is no new touch: nothing is overwritten."""
        if self == Touches():
            return Touches(visit, visit)
        return self if not visit.values or visit.values == self.last.values else Touches(self.first, visit)

    def without_clicks(self) -> Touches:
        """For a visitor who objects to being told apart."""

        def bare(touch: Touch) -> Touch:
            return Touch(touch.at, touch.path, {k: v for k, v in touch.values.items() if k in UTM_KEYS})

        return Touches(bare(self.first), bare(self.last))
