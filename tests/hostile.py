"""UTM values as somebody would write them who wants to break a page, a log, a table or a report.

`links()` gives them as they stand in a link, percent-encoded; `meaning` says what one decodes to, and `expected` what
has to be left of it after cleaning. Both are written without a look at the product, with other libraries than its.
"""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from urllib.parse import quote, unquote_to_bytes

import regex
from hypothesis import strategies as st

TEXTS = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "</textarea><b>", "<!--",
    "&lt;b&gt;", "&#0;", "]]>", "\r\n", "\n", "\r", "\r\nSet-Cookie: a=b", "\nERROR onboarding: forged line",
    '"}\n{"level": "ERROR"', "=cmd|' /C calc'!A0", "+SUM(1)", "-2+3", "@SUM(1)", "\t=1", "'=1", "=HYPERLINK(\"x\")",
    "\u202eevil\u202c", "\u2066isolated", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u034f", "\ufe0f", "\u3164",
    "\U000e0041", "\u2028", "\x00", "\x1b[31m", "\x7f", "\x85", "' OR '1'='1", "'; DROP TABLE onboarding_flow; --",
    "\\", "\\u0000", "%s%n", "%(x)s", "{0.__class__}", "{{7*7}}", "{% debug %}", "${7*7}", "<%= 7*7 %>", "#{7*7}",
    "../../etc/passwd", "javascript:alert(1)", "__proto__", "null", "undefined", "NaN", "e\u0301", "\u0301", "é",
    "账户 開戶", "عربي", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\U0001f44b\U0001f3fd",
    "क्षि", "\ufffe", "\U0010ffff", "a" * 250, "e\u0301\u0302" * 90, "x;y,z", "a=b&c=d#e?f", "+", " ", "%41", "%2541",
)  # fmt: skip
# What is no text at all: invalid UTF-8, lone surrogates, overlong forms, more than there are characters for.
BYTES = ("%FF", "%C3%28", "%ED%A0%80", "%ED%BF%BF", "%C0%AF", "%F4%90%80%80", "%E2%82", "%80", "+", "%00", "%0D%0A")

_UNSEEN = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]")
# Only what both libraries know: they come with different editions of Unicode.
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn", "Co"])


def texts() -> st.SearchStrategy[str]:
    """Values as they are meant."""
    return st.lists(st.sampled_from(TEXTS) | st.text(CHARACTERS, max_size=8), max_size=8).map("".join)


def links() -> st.SearchStrategy[str]:
    """Values as they stand in a link."""
    pieces = (
        st.sampled_from(TEXTS).map(_encoded) | st.sampled_from(BYTES) | st.text(CHARACTERS, max_size=5).map(_encoded)
    )
    return st.lists(pieces, max_size=8).map("".join)


def _encoded(text: str) -> str:
    return quote(text, safe="")


def meaning(link: str) -> str:
    """Decoded once, as forms are; what is no UTF-8 shows as such."""
    return unquote_to_bytes(link.replace("+", " ")).decode("utf-8", "replace")


def expected(value: str) -> str:
    """The value without what cannot be seen, as NFC, cut at 255 characters before a letter that does not fit whole."""
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", value))
    kept = ""
    for letter in regex.findall(r"\X", text):
        if len(kept + letter) > 255:
            break
        kept += letter
    return kept or text[:255]


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        bad = [name for name in given if name.startswith("on")]
        bad += [name for name in ("href", "src", "action", "formaction") if _SCRIPT.match(given.get(name) or "")]
        if tag == "x-marked" or bad or (tag == "script" and not {"src", "type"} & given.keys()):
            self.found.append(self.get_starttag_text() or tag)


_SCRIPT = re.compile(r"[\x00-\x20]*(javascript|vbscript|data:text)", re.IGNORECASE)


def markup(page: str) -> list[str]:
    """The tags of a page that somebody smuggled in, as far as these texts and those of the fuzzing would show."""
    reader = _Markup()
    reader.feed(page)
    return reader.found
