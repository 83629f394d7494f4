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
from urllib.parse import unquote

UTM_KEYS = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id")
# Identifiers of single clicks, by which an advertiser can tell persons apart: taken only where the operator says so.
CLICK_KEYS = (
    "gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id", "yclid",
)  # fmt: skip
KEYS = (*UTM_KEYS, *CLICK_KEYS)
MAX_LENGTH = 255  # characters; the upstream's columns
MAX_PATH = 100
LOOKED_AT = 2000  # characters of a value: a link is somebody else's text and may be of any length

# Control and bidi characters, zero-width ones, lone surrogates, separators of lines and paragraphs …
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# … and what Unicode tells programs not to show, but files under marks, letters or nothing: fillers and variation
# selectors. Emoji made of several fall into their parts, and nobody can hide a text in the rest.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_HANGING = frozenset("\uff9e\uff9f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")  # kana's accents, skin tones
_VIRAMA = 9  # its combining class: the letter after it is written as one with the letter before

# Every pattern below reads a text in one go: what may repeat excludes what comes next, or has a bound.
_EMAIL = re.compile(r"[^\s@/?&=](?:@|%(?:25)*40)[^\s@/?&=%]*\.[^\W\d_][^\s\d@/?&=%.]", re.IGNORECASE)
_DAY = r"(?:[12]\d|3[01]|0?[1-9])"
_MONTH = r"(?:1[0-2]|0?[1-9])"
_NO_PHONE = re.compile(  # made of digits and dashes all the same: identifiers and dates
    r"(?<!\w)(?:[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}"
    rf"|(?:19|20)\d\d([-./]){_MONTH}\1{_DAY}|{_DAY}([-./]){_MONTH}\2(?:19|20)\d\d|{_MONTH}/{_DAY}/(?:19|20)\d\d)(?!\d)",
    re.ASCII | re.IGNORECASE,
)
_SEPARATORS = r"[\s().\-/\u2010-\u2015]"
_DIGITS = rf"{_SEPARATORS}*(?!0)\d(?:{_SEPARATORS}*\d){{8,14}}"
_INTERNATIONAL = re.compile(
    rf"(?:\+|^\s|tel:){_DIGITS}(?!\d)|(?<![\w\-./])00{_DIGITS}(?!\w)",  # a "+" that nobody encoded came as a blank
    re.IGNORECASE,
)
_GROUPED = re.compile(rf"\(?\d{{2,5}}\)?{_SEPARATORS}+\d{{3,4}}{_SEPARATORS}*\d{{3,4}}(?:{_SEPARATORS}+\d{{2,4}})?")
# A national number, in groups of any kind or in one piece: with its leading zero, or a Chinese mobile one.
_NATIONAL = re.compile(rf"\(?0{_SEPARATORS}*[1-9](?:{_SEPARATORS}*\d){{7,10}}")
_CHINESE = re.compile(r"1[3-9]\d{9}")
_NUMBERS = frozenset({"utm_id", "b_superiorAgent", *CLICK_KEYS})  # made of digits as a rule
_NUMBERED = frozenset({"utm_campaign"})  # advertisers put a campaign's number here, of eleven digits with some of them


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
    """The value as NFC, without control, bidi and zero-width characters; of a very long one its beginning."""
    shown = "".join(ch for ch in value[:LOOKED_AT] if unicodedata.category(ch) not in _INVISIBLE)
    return unicodedata.normalize("NFC", _IGNORABLE.sub("", shown))


def clean(value: str) -> str:
    """The visible value, at most 255 characters, never cut inside what people read as one."""
    text = visible(value)
    if len(text) <= MAX_LENGTH:
        return text
    end = MAX_LENGTH
    while end and _is_inside(text, end):
        end -= 1
    return text[: end or MAX_LENGTH]  # a letter with 255 accents is nobody's


def _is_inside(text: str, at: int) -> bool:
    """Whether a cut here would part a letter from its accents, a hand from its colour, or the halves of a flag."""
    before, after = text[at - 1], text[at]
    if unicodedata.category(after).startswith("M") or after in _HANGING:
        return True
    if unicodedata.combining(before) == _VIRAMA:
        return after.isalpha()
    halves = 0
    while _is_half_flag(after) and halves < at and _is_half_flag(text[at - 1 - halves]):
        halves += 1
    return halves % 2 == 1


def _is_half_flag(ch: str) -> bool:
    return "\U0001f1e6" <= ch <= "\U0001f1ff"


def personal(key: str, value: str) -> Dropped | None:
    """What kind of personal datum a visible value looks like, if any.

    An e-mail address counts wherever it stands; a phone number wherever it says so itself (`+44 …`), else only as the
    whole value: campaigns have numbers and dates, and losing those costs more. Both also encoded more than once.
    """
    text = unicodedata.normalize("NFKC", _decoded(value))  # full-width signs and digits are signs and digits
    if _EMAIL.search(text):
        return Dropped.EMAIL
    text = _NO_PHONE.sub("x", text)
    if _INTERNATIONAL.search(text):
        return Dropped.PHONE
    if key in _NUMBERS:
        return None
    text = text.strip()
    digits = sum(ch.isdigit() for ch in text)
    looks = _NATIONAL.fullmatch(text) or (9 <= digits <= 15 and _GROUPED.fullmatch(text))
    looks = looks or (key not in _NUMBERED and _CHINESE.fullmatch(text))
    return Dropped.PHONE if looks else None


def _decoded(value: str) -> str:
    """Without the encoding that a link has too much when it was made from a link; a dot of IMEs is a dot."""
    for _layer in range(3):
        value = unquote(value)
    return value.replace("\u3002", ".")


def read(query: Iterable[tuple[str, str]], *, clicks: bool = False, objects: bool = False) -> Taken:
    """The values of a query string's pairs, decoded once before: keys in any case, the first of duplicates wins.

    Also an empty first one: so a page that puts its own value before those of its address can say "none" (embed.js).
    `clicks`: the operator wants click identifiers. `objects`: this visitor does not (Global Privacy Control).
    """
    first: dict[str, str] = {}
    for key, value in query:
        first.setdefault(key.lower(), value)
    values: dict[str, str] = {}
    dropped: Counter[Dropped] = Counter()
    for key in KEYS if clicks else UTM_KEYS:
        value = visible(first[key]) if first.get(key) else ""
        if not value:
            continue
        kept = clean(value)
        # What is cut off must not have made it look personal, or harmless: it is read again from a signed field.
        reason = Dropped.OBJECTION if objects and key in CLICK_KEYS else personal(key, value) or personal(key, kept)
        if reason:
            dropped[reason] += 1
        else:
            values[key] = kept
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


def last_values(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last touch's values of a row of ours, not checked again: for counting a million of them."""
    touch = stored.get("last") or stored.get("first")
    return (touch.get("values") or {}) if touch is not None else stored


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
