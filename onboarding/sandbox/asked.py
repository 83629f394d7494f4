"""Levels that a test made up (`Sandbox.ask`): they go out as they are, however senseless.

Imports nothing of this project. Of nonsense only so much is understood as the status of a level needs.
"""

from __future__ import annotations

from typing import Any

from .levels import Element, Path

TEXT_LIMIT = 1_000_000  # whatever a test made up must be able to come back


def key(recipient: str) -> str:
    """As a customer's recipient is written: an e-mail address in lower case, `+44 7400…`."""
    return recipient.lower() if "@" in recipient else recipient


def of_level(entries: list[Any] | None, level: str) -> list[Any]:
    """The entries of one level as they are, or all of them."""
    return [
        entry for entry in entries or () if not level or (isinstance(entry, dict) and entry.get("levelCode") == level)
    ]


def as_paths(entries: list[Any] | None, account_type: int) -> tuple[Path, ...]:
    """The entries that name a level. Without an account type of their own they belong to every customer."""
    paths = []
    for entry in entries or ():
        if not isinstance(entry, dict) or not _text(entry.get("levelCode")):
            continue
        kind = entry.get("openAccountType")
        name, path_name = _text(entry.get("levelName")), _text(entry.get("pathName"))
        paths.append(
            Path(
                entry["levelCode"],
                (name, name, name),
                _text(entry.get("pathCode")),
                (path_name, path_name, path_name),
                _elements(entry.get("elementList")),
                kind if kind in (0, 1) else account_type,
            )
        )
    return tuple(paths)


def _elements(value: Any) -> tuple[Element, ...]:
    items = value if isinstance(value, list) else []
    codes = [_text(item.get("elementCode")) for item in items if isinstance(item, dict)]
    return tuple(Element(code, (code, code, code), None) for code in codes if code)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
