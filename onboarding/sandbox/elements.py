"""Are the answers of a submission what the path asked for, no more and no less, in the upstream's encodings?

A wrong format is 0000620 whichever element it is; something missing is 0000501. Imports nothing of this
project.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

from .company import check_company
from .dictionaries import accepts_document, codes_of, is_open
from .levels import BOUND_IMAGES, KIND_IMAGES, Element, Path
from .protocol import Failure
from .state import Answers, Customer, State

MISSING = "CUSTOMER_API_0000501"
WRONG = "CUSTOMER_API_0000620"
TWICE = "GATEWAY_CODE_015"
TEXT_LIMIT = 2000
_DAY_MS = 86_400_000


def check_answers(path: Path, answers: Answers, customer: Customer, state: State, *, final: bool) -> None:
    """A draft may leave things out, but what it holds must be right."""

    def is_own_file(url: str) -> bool:
        parts = urlsplit(url)
        name = parts.path.removeprefix("/files/")
        stored = state.files.get(name)
        return parts.scheme in ("http", "https") and stored is not None and stored.owner == customer.number

    wanted = _wanted(path, answers)
    if any(len(values) > max(1, len(wanted.get(code, ()))) for code, values in answers.items()):
        raise Failure(TWICE)
    if set(answers) - set(wanted):
        raise Failure(WRONG)
    if final and any(len(answers.get(code, ())) < len(elements) for code, elements in wanted.items()):
        raise Failure(MISSING)
    if final and not all(all(values) for values in answers.values()):
        raise Failure(MISSING)
    for code, values in answers.items():
        for element, value in zip(wanted[code], values, strict=False):
            if value:
                _check(code, element, value, is_own_file, final)


def _wanted(path: Path, answers: Iterable[str]) -> dict[str, list[Element]]:
    """The element codes to be sent: a document's number under its kind's code, and the images of that kind
    only. Elements that share a code are answered in their order.
    """
    kinds = codes_of("id_card_type")
    has_group = any(element.show == "inputGroup" for element in path.elements)
    given = [code for code in answers if code in kinds]
    if has_group and len(given) > 1:
        raise Failure(WRONG)
    chosen = given[0] if has_group and given else None
    wanted: dict[str, list[Element]] = {}
    for element in path.elements:
        if element.show == "inputGroup":
            wanted.setdefault(chosen or element.code, []).append(element)
        elif not (has_group and element.code in BOUND_IMAGES) or (chosen and element.code in KIND_IMAGES[chosen]):
            wanted.setdefault(element.code, []).append(element)
    return wanted


def _check(code: str, element: Element, value: str, is_own_file: Callable[[str], bool], final: bool) -> None:
    match element.show:
        case None:
            check_company(code, value, is_own_file, final=final)
            return
        case "date":
            right = _is_date(value)
        case "inputGroup":
            right = code != element.code and accepts_document(code, value)
        case "image" | "face_photo" | "file":
            right = is_own_file(value)
        case "select":
            right = value in codes_of(code)
        case "country":
            right = is_open(value)
        case "switch":
            right = value in ("true", "false")
        case "textarea":
            right = bool(value.strip()) and len(value) <= TEXT_LIMIT and _fits(element, value)
        case _:
            right = _fits(element, value)
    if not right:
        raise Failure(WRONG)


def _fits(element: Element, value: str) -> bool:
    return re.search(element.accept or element.extend or "", value) is not None


def _is_date(value: str) -> bool:
    """Milliseconds since 1970 at midnight UTC, as text; before 1970 with a minus."""
    if not re.fullmatch(r"-?\d{1,14}", value, re.ASCII) or int(value) % _DAY_MS:
        return False
    try:
        day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(value))
    except OverflowError:
        return False
    return date(1900, 1, 1) <= day.date() <= date(2100, 1, 1)
