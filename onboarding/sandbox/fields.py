"""Strict readers of request fields. A wrong JSON type is GATEWAY_CODE_015, an empty required one the code
given.

Strict, because the real server is a typed one and a client should learn its mistakes here. Imports nothing of
this project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from . import dictionaries
from .protocol import Failure

EMPTY = "CUSTOMER_API_0000501"
ILLEGAL = "GATEWAY_CODE_015"

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_AREA = re.compile(r"\+\d{1,5}")
_HEX = re.compile(r"[0-9a-f]{32}")
_LANG = re.compile(r"[a-z]{2}-[A-Z]{2}")


def only(body: Mapping[str, Any], allowed: Iterable[str]) -> None:
    """Only fields that are documented or were seen on the wire; `timestamp` and `companyId` always are."""
    if set(body) - set(allowed) - {"timestamp", "companyId"}:
        raise Failure(ILLEGAL)


def text(body: Mapping[str, Any], name: str, *, required: bool = False, empty: str = EMPTY, limit: int = 500) -> str:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Failure(ILLEGAL)
    if required and not (value and value.strip()):
        raise Failure(empty)
    if value and len(value) > limit:
        raise Failure(ILLEGAL)
    return value or ""


def number(
    body: Mapping[str, Any],
    name: str,
    low: int,
    high: int,
    *,
    required: bool = False,
    default: int | None = None,
) -> int:
    value = body.get(name)
    if value is None:
        if required:
            raise Failure(EMPTY)
        return low if default is None else default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Failure(ILLEGAL)
    return value


def flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Failure(ILLEGAL)
    return value


def password(body: Mapping[str, Any], name: str, *, required: bool = False) -> str | None:
    """MD5 in 32 lower-case hex digits; a plain password must never travel."""
    value = text(body, name, required=required, empty="CUSTOMER_API_0000125")
    if value and not _HEX.fullmatch(value):
        raise Failure(ILLEGAL)
    return value or None


def locale(body: Mapping[str, Any], name: str = "lang") -> str:
    value = text(body, name)
    if value and not _LANG.fullmatch(value):
        raise Failure(ILLEGAL)
    return value or "en-US"


def country(body: Mapping[str, Any], name: str = "country", *, required: bool = True) -> str:
    value = text(body, name, required=required)
    if value and not dictionaries.is_open(value):
        raise Failure("CUSTOMER_API_0001003")
    return value


def area(value: str) -> str:
    """`+86`; anything else has a code of its own."""
    if not value:
        raise Failure("CUSTOMER_API_0000505")
    if len(value) > 6:
        raise Failure("CUSTOMER_API_0000506")
    if not _AREA.fullmatch(value) or not dictionaries.patterns_of_area(value):
        raise Failure("CUSTOMER_API_0000507")
    return value


def national_number(value: str, phone_area: str) -> str:
    if not value:
        raise Failure("CUSTOMER_API_0000502")
    if not 4 <= len(value) <= 15:
        raise Failure("CUSTOMER_API_0000503")
    if not (value.isascii() and value.isdigit()):
        raise Failure("CUSTOMER_API_0000504")
    # Several countries share +1, +7 and +44: the number is right when it is right in one of them.
    if not any(re.search(pattern, value) for pattern in dictionaries.patterns_of_area(phone_area)):
        raise Failure("CUSTOMER_API_0000504")
    return value


def email(value: str) -> str:
    if not value:
        raise Failure("CUSTOMER_API_0000508")
    if len(value) > 254:
        raise Failure("CUSTOMER_API_0000509")
    if not _EMAIL.fullmatch(value):
        raise Failure("CUSTOMER_API_0000510")
    return value


def recipient(kind: int, login_name: str, phone_area: str) -> str:
    """The address a code goes to, as verifyCodeSend names it: bare e-mail, or area, one blank, national
    number.
    """
    if kind == 1:
        return email(login_name).lower()
    known_area = area(phone_area)
    return f"{known_area} {national_number(login_name, known_area)}"


def mobile_recipient(value: str) -> str:
    """`+86 13800138000` as `toUser`: exactly one blank, one plus, digits."""
    phone_area, blank, national = value.partition(" ")
    if not blank:
        raise Failure("CUSTOMER_API_0000504")
    return recipient(2, national, phone_area)
