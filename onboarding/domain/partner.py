"""A site that embeds us: which origins may frame it, and what it wants to be different on its pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import idna

DEFAULT = "default"  # the built-in partner, whose origins come from the settings

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"(?:{_LABEL}\.)*{_LABEL}"
_PORT = r"(?::(?!443$)[1-9]\d{0,4})?"  # browsers leave the usual port out, so a list that names it matches nothing
_ORIGIN = re.compile(
    rf"https://{_HOST}{_PORT}|http://(?:{_HOST}\.)?localhost(?::\d{{1,5}})?|http://127\.0\.0\.1(?::\d{{1,5}})?"
)
_SPELT = re.compile(r"[a-z0-9_*.-]+|\[[0-9a-f:.]+\]")  # whatever it is worth; what may frame is for the patterns above
_LONGEST_HOST = 253  # characters, as in the DNS
_WILDCARD = re.compile(rf"https://\*\.{_LABEL}\.(?:{_LABEL}\.)*{_LABEL}{_PORT}")


@dataclass(frozen=True, slots=True)
class Partner:
    slug: str
    name: str = ""
    origins: tuple[str, ...] = ()
    language: str = ""
    country: str = ""  # proposed
    channel: str = ""  # offered first
    customer_group: int | None = None  # instead of the country's in CUSTOMER_GROUPS
    trade_types: tuple[Any, ...] = ()  # likewise; as in CUSTOMER_GROUPS
    agent: str = ""  # referrer agent's number, where the link names none
    theme: str = ""  # "light", "dark", or "" for the visitor's own
    continue_url: str = ""  # instead of the settings' addresses
    sign_in_url: str = ""
    webhook: bool = False  # whether it wants to be told of milestones


def origin_of(address: str) -> str:
    """Scheme, host and port of a web address as browsers spell them; "" for anything else."""
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return ""
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    if not host or usual is None or len(host) > _LONGEST_HOST:
        return ""
    with suppress(idna.IDNAError):  # not Python's own codec, whose ß is ss: with browsers that is another host
        host = host if host.isascii() else idna.encode(host, uts46=True).decode()
    host = f"[{host}]" if ":" in host else host
    if not _SPELT.fullmatch(host):  # urlsplit takes whole sentences for hosts, and pages repeat what this gives
        return ""
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual else "")


def is_allowed(origin: str, origins: Iterable[str]) -> bool:
    """Whether one of these origins is meant, a leftmost `*` standing for any subdomains."""
    return any(
        own == origin or (own.startswith("https://*.") and origin.startswith("https://") and origin.endswith(own[9:]))
        for own in origins
    )


def wrong_origins(origins: Iterable[str], *, wildcards: bool = False) -> list[str]:
    """Those that are no exact origin. Plain http is allowed on loopback only, for trying things out.

    With `wildcards` a leftmost `*` may stand for the subdomains of a host of at least three labels' length, the star
    counted: `https://*.partner.example`. It covers whoever may put a page under that host.
    """
    return [
        origin
        for origin in origins
        if not _ORIGIN.fullmatch(origin) and not (wildcards and _WILDCARD.fullmatch(origin))
    ]
