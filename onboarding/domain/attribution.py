"""Which marketing parameters we take from a link, and in what shape.

An allow-list: nothing else of a query string is read, kept or passed on. Values stay exactly as the visitor's link
had them, except that control characters go and 255 characters are the limit (the upstream's columns).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

UTM_KEYS = ("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "utm_id")
MAX_LENGTH = 255


def clean(value: str) -> str:
    """The value without control characters (Unicode category Cc), at most 255 characters."""
    return "".join(ch for ch in value if unicodedata.category(ch) != "Cc")[:MAX_LENGTH]


def read(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The UTM values of a query string's pairs: keys in any case, the first of duplicates wins, no empty ones."""
    found: dict[str, str] = {}
    for key, value in query:
        name = key.lower()
        if name in UTM_KEYS and name not in found:
            found[name] = clean(value)
    return {key: found[key] for key in UTM_KEYS if found.get(key)}


def keep(stored: Mapping[str, object]) -> dict[str, str]:
    """The UTM values of a mapping that comes back from outside (a signed field, a row), checked again."""
    return read((key, value) for key, value in stored.items() if isinstance(value, str))
