"""Reading of reply data into values, tolerant of everything that does not change the meaning.

Unknown fields are ignored, missing and null ones get defaults, numbers may come as text and text as numbers,
items without a code are skipped. A reader raises `Unreadable` only when the answer makes no sense without
what is missing. Text loses NUL and lone surrogates: neither a database nor a page can hold them. Must not
import Django.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onboarding.domain.levels import Element, Kind, Level, Path, group

from .codes import IN_REVIEW_CODES, MANUAL_REVIEW, NO_LEVELS_SET_UP, PASSED_CODES, REJECTED_CODES
from .errors import Envelope
from .wire import Country, DictionaryItem, LevelStatus, Login, Registration, Review, ReviewStatus, phone_area

ENABLED = 1  # a dictionary item's `status`; 2 disabled, 3 deleted (docs/upstream.md 2.5)
KYC_REQUIRED = 1  # `companyKycStatus`
PASSWORD_NEEDED = 1  # `loginPassStatus`

# Codes of failure that answer the question how the checks stand. A tenant without levels counts as passed.
REVIEW_CODES: Mapping[str, ReviewStatus] = {
    **dict.fromkeys(IN_REVIEW_CODES, ReviewStatus.IN_REVIEW),
    **dict.fromkeys(PASSED_CODES | {NO_LEVELS_SET_UP}, ReviewStatus.PASSED),
    **dict.fromkeys(REJECTED_CODES, ReviewStatus.REJECTED),
}


class Unreadable(Exception):
    """The data of a successful answer has another shape than the contract says."""


def text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if isinstance(value, str):
        if value.isascii() and "\x00" not in value:
            return value
        return value.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def number(item: Mapping[str, Any], key: str) -> int | None:
    value = text(item, key).strip()
    return int(value) if 0 < len(value) < 20 and value.removeprefix("-").isdecimal() else None


def items(data: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; null is an empty list. Unreadable: anything else."""
    if data is None:
        return []
    if not isinstance(data, list):
        raise Unreadable
    return [item for item in data if isinstance(item, dict)]


def record(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise Unreadable
    return data


def registration(answer: Envelope, account_type: int | None) -> Registration:
    """Manual review may carry an object, the name of the service, or null (docs/upstream.md 2.1)."""
    in_review = answer.code == MANUAL_REVIEW
    data = answer.data if in_review and isinstance(answer.data, dict) else {} if in_review else record(answer.data)
    return Registration(
        customer_no=text(data, "customerNo"),
        token=text(data, "token"),
        levels=levels(_objects(data.get("list")), account_type),
        in_review=in_review,
        password_needed=number(data, "loginPassStatus") == PASSWORD_NEEDED,
        kyc_required=number(data, "companyKycStatus") == KYC_REQUIRED,
        trace=answer.trace,
    )


def login(answer: Envelope) -> Login:
    """Unreadable without a token. `kycAuditStatus` has the scale of `ReviewStatus`, `kycStatus` another."""
    data = record(answer.data)
    if not text(data, "token"):
        raise Unreadable
    status = _review_status(number(data, "kycAuditStatus"))
    return Login(
        customer_no=text(data, "customerNo"),
        token=text(data, "token"),
        review=None if status is None else Review(status, text(data, "kycAuditRemark")),
        password_needed=number(data, "loginPassStatus") == PASSWORD_NEEDED,
        kyc_required=number(data, "companyKycStatus") == KYC_REQUIRED,
        trace=answer.trace,
    )


def send_ticket(data: Any) -> str:
    return _needed(text(record(data), "token"))


def uploaded(data: Any) -> str:
    return _needed(text({"url": data}, "url"))


def proposal(data: Any) -> str:
    """kycLevelApply's number; "" when the reply has none: the application is in all the same."""
    return text({"id": data}, "id")


def review(answer: Envelope) -> Review:
    """`msg` is the reason of a rejection (an older server says "Success"); `msgParams` may hold a code on success.

    docs/upstream.md 2.10.
    """
    code = answer.code if answer.code in REVIEW_CODES else ""
    status = REVIEW_CODES.get(code) if code else _review_status(number({"status": answer.data}, "status"))
    if status is None:
        raise Unreadable
    if NO_LEVELS_SET_UP in answer.params:
        code = NO_LEVELS_SET_UP
    reason = text({"msg": answer.message}, "msg") if status is ReviewStatus.REJECTED else ""
    return Review(status, "" if reason.strip().lower() == "success" else reason, code)


def countries(data: Any) -> tuple[Country, ...]:
    found = {
        text(item, "code"): Country(
            code=text(item, "code"),
            name=text(item, "displayName") or text(item, "name") or text(item, "code"),
            alpha2=text(item, "nationalCode").upper(),
            area=phone_area(text(item, "countryCode")),
            pattern=text(item, "extend"),
        )
        for item in _enabled(items(data))
    }
    return tuple(found.values())


def dictionary(data: Any) -> tuple[DictionaryItem, ...]:
    return tuple(
        DictionaryItem(
            code=text(item, "code"),
            name=text(item, "displayName") or text(item, "name") or text(item, "code"),
            pattern=text(item, "extend"),
        )
        for item in _enabled(items(data))
    )


def company_countries(data: Any) -> frozenset[str]:
    """A comma-separated text, not a list (docs/upstream.md 2.8)."""
    found = text(record(data), "openCompanyCountry") if data is not None else ""
    return frozenset(code for part in found.split(",") if (code := part.strip()))


def address_country(data: Any) -> str:
    return text(data, "iso_code").upper() if isinstance(data, dict) else ""


def levels(entries: Iterable[Mapping[str, Any]], account_type: int | None, level_code: str = "") -> tuple[Level, ...]:
    """Levels from the flat list of paths (docs/upstream.md 4).

    Entries for another account type than `account_type` concern other customers and are dropped, unless nothing else
    is there. `level_code` stands in for a missing one.
    """
    own = account_type or 0
    typed = [(own if (found := number(entry, "openAccountType")) is None else found, entry) for entry in entries]
    ours = typed if account_type is None else [pair for pair in typed if pair[0] == account_type]
    return group(
        (code, text(entry, "levelName"), kind if kind in (0, 1) else own, _path(entry))
        for kind, entry in ours or typed
        if (code := text(entry, "levelCode") or level_code)
    )


def level_statuses(data: Any) -> tuple[LevelStatus, ...]:
    """findAllBizKycList in the upstream's order (docs/upstream.md 2.9); a level without a status is open."""
    found = [
        (
            number(item, "sort") or 0,
            LevelStatus(
                code=text(item, "levelCode"),
                name=text(item, "levelName"),
                status=_review_status(number(item, "status")) or ReviewStatus.OPEN,
                after=text(item, "preLevelName"),
            ),
        )
        for item in items(data)
        if text(item, "levelCode")
    ]
    return tuple(status for _sort, status in sorted(found, key=lambda pair: pair[0]))


def _path(entry: Mapping[str, Any]) -> Path:
    asked = (item for item in _objects(entry.get("elementList")) if text(item, "elementCode"))
    return Path(text(entry, "pathCode"), text(entry, "pathName"), tuple(_element(item) for item in asked))


def _element(item: Mapping[str, Any]) -> Element:
    code, show_type = text(item, "elementCode"), text(item, "showType")
    return Element(
        code=code,
        name=text(item, "elementName") or code,
        kind=Kind.read(show_type, code),
        show_type=show_type,
        pattern=text(item, "extend"),
        saved=_answer(item.get("elementValue")) or text(item, "elementValue"),
        saved_group=text(item, "elementCodeInputGroup"),
        saved_group_number=text(item, "elementValueInputGroup"),
    )


def _answer(saved: Any) -> str:
    """A yes or no may be kept as JSON has it."""
    return str(saved).lower() if isinstance(saved, bool) else ""


def _objects(data: Any) -> list[Mapping[str, Any]]:
    """As `items`, but for a part of a reply that is good without it."""
    return items(data) if isinstance(data, list) else []


def _enabled(found: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    return (item for item in found if text(item, "code") and number(item, "status") in (None, ENABLED))


def _review_status(value: int | None) -> ReviewStatus | None:
    return ReviewStatus(value) if value is not None and 0 <= value <= 3 else None


def _needed(value: str) -> str:
    if not value:
        raise Unreadable
    return value
