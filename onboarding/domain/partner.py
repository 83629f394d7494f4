"""A site that embeds us, and which origins may frame it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT = "default"  # the built-in partner, whose origins come from the settings

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ORIGIN = re.compile(
    rf"https://{_HOST}(?::\d{{1,5}})?|http://(?:{_HOST}\.)?localhost(?::\d{{1,5}})?|http://127\.0\.0\.1(?::\d{{1,5}})?"
)


@dataclass(frozen=True, slots=True)
class Partner:
    slug: str
    name: str = ""
    origins: tuple[str, ...] = ()
    language: str = ""
    country: str = ""


def wrong_origins(origins: Iterable[str]) -> list[str]:
    """Those that are no exact origin. Plain http is allowed on loopback only, for trying things out."""
    return [origin for origin in origins if not _ORIGIN.fullmatch(origin)]
