"""The company forms: each is one element whose value is the JSON text of a whole form.

The keys are the upstream's, with its spellings (`opertion`, `websit`). Imports nothing of this project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from .dictionaries import codes_of, is_open
from .protocol import Failure

WRONG = "CUSTOMER_API_0000620"
MISSING = "CUSTOMER_API_0000501"

# A leaf is named by the rule for its value; "label" is the display name of a code beside it and may be empty.
_ADDRESS = ("Country", "CountryName", "City", "Street")
_ADDRESS_RULES = ("country", "text", "text", "text")
_PERSON = {
    "lastname": "text",
    "firstName": "text",
    "birthDay": "time",
    "address": "text",
    "addressName": "label",
    "email": "email",
    "idType": "document",
    "idTypeName": "label",
    "idNo": "text",
    "issued": "text",
    "issuedName": "label",
    "documents": "file",
    "photo": "file",
}
_FILES = (
    "regCertificate", "policy", "directorsList", "directorsList2", "structure", "sanctionsQues",
    "authorizationLetter", "businessConditions", "intermediateShareholders",
)  # fmt: skip
_FORMS: dict[str, dict[str, Any]] = {
    "company_basic_info": {
        "accountInfo": {
            "companyName": "text",
            "regNo": "text",
            "createTime": "time",
            "area": "text",
            "phone": "text",
            "resource": "text",
            "nature": "nature",
            "natureName": "text",
            "reason": "text",
        },
        "regAddress": {f"reg{name}": rule for name, rule in zip(_ADDRESS, _ADDRESS_RULES, strict=True)},
        "opertion": {f"opertion{name}": rule for name, rule in zip(_ADDRESS, _ADDRESS_RULES, strict=True)},
    },
    "company_upload_file": {**dict.fromkeys(_FILES, "file"), "furtherInfo": "file?", "websit": "text"},
    "company_auth_director": {"list": [_PERSON]},
    "company_auth_owner": {"list": [_PERSON]},
    "company_account_owner": {"list": [{**_PERSON, "main": "flag"}], "mainAccount": "file"},
}


def check_company(code: str, value: str, is_own_file: Callable[[str], bool], *, final: bool) -> None:
    """0000620 for a wrong shape or value, 0000501 for something missing; a draft may leave things out."""
    try:
        form = json.loads(value)
    except (ValueError, RecursionError) as exc:
        raise Failure(WRONG) from exc
    _walk(_FORMS[code], form, is_own_file, final)


def _walk(shape: Any, value: Any, is_own_file: Callable[[str], bool], final: bool) -> None:
    match shape:
        case dict():
            if not isinstance(value, dict) or set(value) - set(shape):
                raise Failure(WRONG)
            for name, inner in shape.items():
                if name in value:
                    _walk(inner, value[name], is_own_file, final)
                elif final and not (isinstance(inner, str) and inner.endswith("?")):
                    raise Failure(MISSING)
        case list():
            if not isinstance(value, list):
                raise Failure(WRONG)
            if final and not value:
                raise Failure(MISSING)
            for item in value:
                _walk(shape[0], item, is_own_file, final)
        case _:
            _leaf(shape, value, is_own_file, final)


def _leaf(rule: str, value: Any, is_own_file: Callable[[str], bool], final: bool) -> None:
    if rule == "flag":
        if not isinstance(value, bool):
            raise Failure(WRONG)
        return
    if value is None or value == "":
        if final and rule not in ("label", "file?"):
            raise Failure(MISSING)
        return
    if rule == "time":
        if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,14}", str(value), re.ASCII):
            raise Failure(WRONG)
        return
    if not isinstance(value, str):
        raise Failure(WRONG)
    if not _is_right(rule, value, is_own_file):
        raise Failure(WRONG)


def _is_right(rule: str, value: str, is_own_file: Callable[[str], bool]) -> bool:
    match rule:
        case "country":
            return is_open(value)
        case "nature":
            return value in codes_of("Business_Nature")
        case "document":
            return value in codes_of("id_card_type")
        case "email":
            return re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value) is not None
        case "file" | "file?":
            return is_own_file(value)
    return True
