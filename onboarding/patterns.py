r"""Patterns that a third party sends: JavaScript regular expressions, searched as `RegExp.test` does, in bounded time.

A pattern is read as JavaScript reads it (https://tc39.es/ecma262/#sec-patterns with annex B) and written anew for the
engine that runs it: google-re2, which cannot backtrack, or, for what RE2 cannot take (look-around, back-references,
very large programs), `regex`, which stops after `_TIME` seconds. A pattern that cannot be used, or was stopped, is
logged once and skipped from then on: the upstream has the last word anyway. A text is never logged.

Where we are kinder than JavaScript: `\p{…}` and `\u{…}` mean what they say without the flag `u` too, since whoever
wrote them meant it. Stricter: the flags `v` and `y` and modifiers other than `i` are not read (the pattern is skipped).
Different: what a group took in an earlier round of a repetition can still be referred to.
"""

from __future__ import annotations

import logging
import re
import time
from functools import lru_cache
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

import re2
import regex

log = logging.getLogger("onboarding.patterns")

_MAX_LENGTH = 2000  # characters of a pattern's source
_MAX_TEXT = 1000  # UTF-16 units of a text; longer ones are not judged
_MAX_DEPTH = 50  # groups within groups
_MAX_PROGRAM = 3000  # instructions of RE2: with the longest text about 30 ms; larger ones run against the clock
_TIME = 0.04  # seconds that one match may take; compiling, once, takes up to 10 ms more
_options = re2.Options()
_options.log_errors = False
_options.max_mem = 1 << 16  # bytes; keeps compiling below a few ms

Ranges = tuple[tuple[int, int], ...]  # of characters, ends included, ascending


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text, like JavaScript's `RegExp.test`; an unusable one always is.

    Takes at most about 50 ms, whatever the pattern and the text are. Never raises.
    """
    if not pattern:
        return True
    with _reading:
        matcher = _compile(pattern)
    return matcher is None or matcher.found(text)


class _Unusable(ValueError):
    """No engine of ours can run this, or JavaScript itself refuses it."""


class _NotLinear(ValueError):
    """RE2 cannot run this."""


class _Matcher(Protocol):
    def found(self, text: str) -> bool: ...


class _Linear:
    """A pattern on RE2."""

    def __init__(self, source: str, whole: bool) -> None:
        self._compiled = re2.compile(source, _options)
        if self._compiled.programsize > _MAX_PROGRAM:
            raise _NotLinear
        self._whole = whole

    def found(self, text: str) -> bool:
        text = text if self._whole else _units(text)
        # Bytes, because only they can hold the surrogates: RE2 takes them for characters like any other.
        return len(text) > _MAX_TEXT or self._compiled.search(text.encode("utf-8", "surrogatepass")) is not None


class _Timed:
    """A pattern on a backtracking engine, against the clock; once stopped it is not tried again."""

    def __init__(self, source: str, whole: bool, shown: str) -> None:
        self._compiled: Any = regex.compile(source, regex.V0, cache_pattern=False)
        self._whole = whole
        self._shown = shown
        self._stopped = False
        self._lock = Lock()

    def found(self, text: str) -> bool:
        text = text if self._whole else _units(text)
        if self._stopped or len(text) > _MAX_TEXT:
            return True
        started = time.thread_time()
        try:
            return self._compiled.search(text, timeout=_TIME, concurrent=True) is not None
        except (TimeoutError, MemoryError):
            # The engine's clock counts the whole process: one that only waited for other threads is not to blame.
            if time.thread_time() - started > _TIME / 4:
                self._give_up()
            return True

    def _give_up(self) -> None:
        with self._lock:
            if not self._stopped:
                self._stopped = True
                log.warning("a pattern is not used any more, it takes too long: %r", self._shown)


_reading = Lock()  # so that each pattern is compiled, and complained about, once


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> _Matcher | None:
    """The pattern, ready to run; None for one that cannot be used."""
    if len(pattern) > _MAX_LENGTH:
        log.warning("a pattern is not used, it is too long: %d characters", len(pattern))
        return None
    source, flags = _literal(pattern)
    whole = "u" in flags or re.search(r"\\(?:[pP]|u)\{", source) is not None
    source = source if whole else _units(source)
    try:
        try:
            return _Linear(_Translation(source, flags, linear=True).text, whole)
        except (_NotLinear, re2.error):
            return _Timed(_Translation(source, flags, linear=False).text, whole, pattern[:200])
    except (_Unusable, regex.error, OverflowError, RecursionError) as exc:
        log.warning("a pattern is not used, it cannot be compiled (%s): %r", type(exc).__name__, pattern[:200])
        return None


def _literal(pattern: str) -> tuple[str, str]:
    """(source, flags) of a pattern that may be written as a literal, `/source/flags`."""
    found = re.fullmatch(r"/(.+)/([dgimsuvy]*)", pattern, re.DOTALL)
    return (found[1], found[2]) if found else (pattern, "")


def _units(text: str) -> str:
    """The text as JavaScript without the flag `u` sees it: each character beyond U+FFFF is two surrogates."""
    if text.isascii():
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(raw[i] | raw[i + 1] << 8) for i in range(0, len(raw), 2))


# -- From JavaScript's syntax to that of our engines -------------------------------------------------------------------

_LAST = 0x10FFFF


def _others(ranges: Ranges) -> Ranges:
    """The complement."""
    edges = [(-1, -1), *ranges, (_LAST + 1, _LAST + 1)]
    return tuple((a[1] + 1, b[0] - 1) for a, b in pairwise(edges) if a[1] + 1 <= b[0] - 1)


_DIGITS: Ranges = ((0x30, 0x39),)
_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Ranges = (
    (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F),
    (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
_LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_ALL: Ranges = ((0, _LAST),)
# U+017F and U+212A are left out: our engines take them for s and k when case is ignored, JavaScript does not.
_NOT_WORD = _others((*_WORD, (0x17F, 0x17F), (0x212A, 0x212A)))
_SETS = {"d": _DIGITS, "w": _WORD, "s": _SPACE, "D": _others(_DIGITS), "W": _NOT_WORD, "S": _others(_SPACE)}
_CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_LITERAL = -1  # instead of the number of a group
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
_GROUP = re.compile(r"\((?!\?)|\(\?<([^=!>][^>]*)>")
_OPENING = re.compile(r"\((?:\?(?:(?P<look><?[=!])|(?P<modifier>i?:|-i:)|<(?P<name>[^=!>][^>]*)>))?")
_PROPERTY = re.compile(r"[pP]\{[\w=]{1,60}\}", re.ASCII)
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{0*([0-9a-fA-F]{1,6})\}")
_OCTAL = re.compile(r"[0-3][0-7]{0,2}|[4-7][0-7]?")
_REFERENCE = re.compile(r"[1-9]\d{0,3}|k<([^>]+)>")
_WORD_CLASS = "[0-9A-Za-z_]"


class _Translation:
    """One reading of a pattern's source from left to right; `text` is what the engine understands."""

    def __init__(self, source: str, flags: str, *, linear: bool) -> None:
        if "v" in flags or "y" in flags or len(set(flags)) < len(flags):
            raise _Unusable("flags")
        self._source = source
        self._at = 0
        self._flags = flags
        self._linear = linear
        names = [found[1] for found in _GROUP.finditer(_without_escapes_and_classes(source))]
        self._groups = len(names)
        self._begun = 0  # groups so far
        self._open: list[tuple[int, bool]] = []  # of each group around: its number (or 0), whether it may be repeated
        self._names = {name: number for number, name in enumerate(names, 1) if name}
        if len(self._names) < sum(1 for name in names if name):
            raise _Unusable("a name is given twice")
        self.text = ("(?i)" if "i" in flags else "") + self._pattern()

    def _take(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self._source, self._at)
        if found:
            self._at = found.end()
        return found

    def _pattern(self) -> str:
        out: list[str] = []
        repeatable = False
        while self._at < len(self._source):
            char = self._source[self._at]
            quantifier = self._take(_QUANTIFIER)
            if quantifier:
                if not repeatable:
                    raise _Unusable("nothing to repeat")
                out.append(quantifier[0])
                repeatable = False
            elif char == "(":
                out.append(self._opening())
                repeatable = False
            elif char == ")":
                if not self._open:
                    raise _Unusable("a closing parenthesis too many")
                self._at += 1
                out.append(")")
                _, repeatable = self._open.pop()
            else:
                text, repeatable = self._atom(char)
                out.append(text)
        if self._open:
            raise _Unusable("a group is not closed")
        return "".join(out)

    def _opening(self) -> str:
        found = self._take(_OPENING)
        if not found or self._source.startswith("?", self._at):
            raise _Unusable("a group of an unknown kind")
        if len(self._open) >= _MAX_DEPTH:
            raise _Unusable("too deep")
        look, modifier = found["look"], found["modifier"]
        if look or modifier:
            self._open.append((0, not (look or "").startswith("<")))
            return self._backtrack(f"(?{look}") if look else f"(?{modifier}"
        self._begun += 1
        self._open.append((self._begun, True))
        return "(?:" if self._linear else "("  # RE2 is only asked whether: without groups it is faster

    def _atom(self, char: str) -> tuple[str, bool]:
        self._at += 1
        many = "m" in self._flags
        match char:
            case "\\":
                return self._escape()
            case "[":
                return self._class(), True
            case ".":
                return self._set(_ALL) if "s" in self._flags else f"[^{self._ranges(_LINE_ENDS)}]", True
            case "|":
                return "|", False
            case "^" if many:
                return self._backtrack(rf"(?:\A|(?<={self._set(_LINE_ENDS)}))"), False
            case "$" if many:
                return self._backtrack(rf"(?:\Z|(?={self._set(_LINE_ENDS)}))"), False
            case "^":
                return r"\A", False
            case "$":
                return r"\z" if self._linear else r"\Z", False
            case _:
                return self._char(ord(char)), True

    def _backtrack(self, text: str) -> str:
        """The text, which only a backtracking engine understands."""
        if self._linear:
            raise _NotLinear
        return text

    def _escape(self) -> tuple[str, bool]:
        """What a backslash outside a class begins, and whether it may be repeated."""
        rest = self._source[self._at : self._at + 1]
        if rest in ("b", "B"):
            self._at += 1
            return self._edge(rest), False
        number = self._reference()
        if number != _LITERAL:
            # A group that took no part, or is still open, matches the empty text.
            empty = any(number == around for around, _ in self._open)
            return self._backtrack("(?:)" if empty else f"(?({number})\\{number})"), True
        if property_ := self._take(_PROPERTY):
            return f"\\{property_[0]}", True
        if rest and rest in _SETS:
            self._at += 1
            return f"[{'^' if rest.isupper() else ''}{self._ranges(_SETS[rest.lower()])}]", True
        return self._char(self._escaped_char()), True

    def _edge(self, kind: str) -> str:
        """Between an ASCII word and anything else (`b`), or anywhere else (`B`)."""
        if self._linear and kind == "b":
            return r"\b"  # not so \B, which RE2 finds between the bytes of one character
        word = _WORD_CLASS
        if kind == "b":
            return f"(?:(?<!{word})(?={word})|(?<={word})(?!{word}))"
        return self._backtrack(f"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))")

    def _reference(self) -> int:
        """The number of the group that is referred to here; `_LITERAL` where annex B reads something else."""
        start = self._at
        found = self._take(_REFERENCE)
        if not found:
            return _LITERAL
        number = self._names.get(found[1], _LITERAL) if found[1] else int(found[0])
        if found[1] and self._names and number == _LITERAL:
            raise _Unusable("a reference to no group")
        if number > self._groups or number == _LITERAL:
            self._at = start
            return _LITERAL
        return number

    def _escaped_char(self) -> int:
        """The one character that stands after a backslash."""
        if code := self._take(_CODE):
            return self._code(int(code[1] or code[2] or code[3], 16))
        if octal := self._take(_OCTAL):
            return int(octal[0], 8)
        if self._at >= len(self._source):
            raise _Unusable("ends with a backslash")
        char = self._source[self._at]
        following = self._source[self._at + 1 : self._at + 2]
        if char == "c" and not (following.isascii() and following.isalpha()):
            return ord("\\")  # and the c stands for itself
        self._at += 2 if char == "c" else 1
        return ord(following) % 32 if char == "c" else _CONTROLS.get(char, ord(char))

    def _code(self, code: int) -> int:
        """A code, with the second half of a surrogate pair where the pattern is read by whole characters."""
        if 0xD800 <= code <= 0xDBFF and "u" in self._flags:
            second = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})").match(self._source, self._at)
            if second:
                self._at = second.end()
                return 0x10000 + ((code - 0xD800) << 10) + int(second[1], 16) - 0xDC00
        if code > _LAST:
            raise _Unusable("no such character")
        return code

    def _class(self) -> str:
        negated = self._source.startswith("^", self._at)
        self._at += negated
        parts: list[str] = []
        while not self._source.startswith("]", self._at):
            low = self._member()
            high: int | str | None = None
            if self._source.startswith("-", self._at) and not self._source.startswith("-]", self._at):
                self._at += 1
                high = self._member()
            if isinstance(low, int) and isinstance(high, int):
                if low > high:
                    raise _Unusable("a range in the wrong order")
                parts.append(self._ranges(((low, high),)))
            else:  # a set at either end: the hyphen stands for itself
                parts += [self._text(low), *(() if high is None else (self._char(ord("-")), self._text(high)))]
        self._at += 1
        if not parts:
            return self._set(_ALL) if negated else f"[^{self._ranges(_ALL)}]"
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _member(self) -> int | str:
        """One member of a class: a character's code, or a set in the engine's syntax."""
        char = self._source[self._at : self._at + 1]
        if not char:
            raise _Unusable("a class is not closed")
        self._at += 1
        if char != "\\":
            return ord(char)
        if property_ := self._take(_PROPERTY):
            return f"\\{property_[0]}"
        rest = self._source[self._at : self._at + 1]
        if rest and rest in _SETS:
            self._at += 1
            return self._ranges(_SETS[rest])
        if rest == "b":
            self._at += 1
            return 0x08
        return self._escaped_char()

    def _text(self, member: int | str) -> str:
        return self._char(member) if isinstance(member, int) else member

    def _set(self, ranges: Ranges) -> str:
        return f"[{self._ranges(ranges)}]"

    def _ranges(self, ranges: Ranges) -> str:
        return "".join(self._char(a) + (f"-{self._char(b)}" if b > a else "") for a, b in ranges)

    def _char(self, code: int) -> str:
        """A character that means nothing but itself, in a class and outside."""
        char = chr(code)
        if char.isascii() and char.isalnum():
            return char
        return f"\\x{{{code:x}}}" if self._linear else f"\\U{code:08x}"


def _without_escapes_and_classes(source: str) -> str:
    """What is left to find the groups in."""
    return re.sub(r"\\.|\[(?:[^\]\\]|\\.)*\]", "_", source, flags=re.DOTALL)
