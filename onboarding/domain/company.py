"""The forms that a company is asked for: each is one element whose answer is the JSON text of a whole form.

Pure values. The keys are the upstream's, with its spellings (`opertion`, `websit`); docs/upstream.md 4 has the table.
A form is taken apart into ordinary elements, so that they are asked, checked and kept like any other, and put together
again when it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onboarding.domain.levels import DOCUMENT_KINDS, Element, Kind

MAX_PEOPLE = 200  # of one list, however they came there
MAX_ADDED = 20  # as many can be added here


@dataclass(frozen=True, slots=True)
class Datum:
    """One key of a form. `name_key` is the key beside it that holds the name of the chosen code."""

    key: str
    kind: Kind = Kind.INPUT
    choices_from: str = ""
    name_key: str = ""
    optional: bool = False
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Keys that stand together: in an object of their own (`key`), once for each person of `list`, or at the top."""

    key: str
    data: tuple[Datum, ...]
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A group as it is asked: the elements of one object, or of one person (`row` counts from 0)."""

    key: str
    elements: tuple[Element, ...]
    row: int | None = None


def _address(prefix: str) -> tuple[Datum, ...]:
    country = Datum(f"{prefix}Country", Kind.COUNTRY, name_key=f"{prefix}CountryName")
    return (country, Datum(f"{prefix}City"), Datum(f"{prefix}Street"))


_PERSON = (
    Datum("firstName"),
    Datum("lastname"),
    Datum("birthDay", Kind.DATE),
    Datum("address", Kind.COUNTRY, name_key="addressName"),
    Datum("email"),
    Datum("idType", Kind.CHOICE, DOCUMENT_KINDS, name_key="idTypeName"),
    Datum("idNo"),
    Datum("issued", Kind.COUNTRY, name_key="issuedName"),
    Datum("documents", Kind.FILE),
    Datum("photo", Kind.IMAGE),
)
_FILES = (
    "regCertificate", "policy", "directorsList", "directorsList2", "structure", "sanctionsQues",
    "authorizationLetter", "businessConditions", "intermediateShareholders",
)  # fmt: skip
FORMS: Mapping[str, tuple[Group, ...]] = {
    "company_basic_info": (
        Group(
            "accountInfo",
            (
                Datum("companyName"),
                Datum("regNo"),
                Datum("createTime", Kind.DATE),
                Datum("area", pattern=r"^\+[0-9]{1,4}$"),
                Datum("phone", pattern=r"^[0-9][0-9 ()/.-]{3,19}$"),
                Datum("resource"),
                Datum("nature", Kind.CHOICE, "Business_Nature", name_key="natureName"),
                Datum("reason", Kind.TEXTAREA),
            ),
        ),
        Group("regAddress", _address("reg")),
        Group("opertion", _address("opertion")),
    ),
    "company_upload_file": (
        Group(
            "",
            (
                *(Datum(key, Kind.FILE) for key in _FILES),
                Datum("furtherInfo", Kind.FILE, optional=True),
                Datum("websit"),
            ),
        ),
    ),
    "company_auth_director": (Group("list", _PERSON, repeats=True),),
    "company_auth_owner": (Group("list", _PERSON, repeats=True),),
    "company_account_owner": (
        Group("list", (*_PERSON, Datum("main", Kind.YES_NO)), repeats=True),
        Group("", (Datum("mainAccount", Kind.IMAGE),)),
    ),
}


def _code(form: str, group: Group, row: int | None, key: str) -> str:
    """The element's code: the path of keys to it; people are counted and `list` itself is not named."""
    middle = str(row) if group.repeats else group.key
    return "-".join(part for part in (form, middle, key) if part)


def has_people(form: str) -> bool:
    return any(group.repeats for group in FORMS[form])


def sections(form: str, people: int, labels: Mapping[str, str], saved: Mapping[str, str]) -> tuple[Section, ...]:
    """The form taken apart. `labels` by key, `saved` by the element's code (`saved_answers`)."""

    def element(group: Group, row: int | None, datum: Datum) -> Element:
        code = _code(form, group, row, datum.key)
        return Element(
            code,
            labels.get(datum.key, datum.key),
            datum.kind,
            pattern=datum.pattern,
            saved=saved.get(code, ""),
            choices_from=datum.choices_from,
            optional=datum.optional,
        )

    def rows(group: Group) -> Iterable[int | None]:
        return range(min(max(people, 1), MAX_PEOPLE)) if group.repeats else (None,)

    return tuple(
        Section(group.key, tuple(element(group, row, datum) for datum in group.data), row)
        for group in FORMS[form]
        for row in rows(group)
    )


def assemble(form: str, people: int, answers: Mapping[str, str], names: Mapping[str, str]) -> str:
    """The JSON text of the form from the answers by element code; what was not answered is left out.

    Moments are numbers there, not text as in an element of its own; `names` are the names of the chosen codes.
    """
    whole: dict[str, Any] = {}
    for section in sections(form, people, {}, {}):
        group = next(group for group in FORMS[form] if group.key == section.key)
        found: dict[str, Any] = {}
        for datum, element in zip(group.data, section.elements, strict=True):
            if element.code in answers:
                found[datum.key] = _value(datum, answers[element.code])
                if datum.name_key:
                    found[datum.name_key] = names.get(element.code, "")
        if group.repeats:
            whole.setdefault(group.key, []).append(found)
        elif group.key:
            whole[group.key] = found
        else:
            whole |= found
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _value(datum: Datum, answer: str) -> Any:
    match datum.kind:
        case Kind.DATE:
            return int(answer)
        case Kind.YES_NO:
            return answer == "true"
        case _:
            return answer


def saved_answers(form: str, saved: str) -> tuple[int, dict[str, str]]:
    """How many people, and the answers by element code, in the JSON text that the upstream keeps."""
    try:
        whole = json.loads(saved or "{}")
    except (ValueError, RecursionError):
        return 1, {}
    if not isinstance(whole, dict):
        return 1, {}
    answers: dict[str, str] = {}
    people = 1
    for group in FORMS[form]:
        found = whole.get(group.key) if group.key else whole
        if group.repeats:
            rows = [row for row in found if isinstance(row, dict)][:MAX_PEOPLE] if isinstance(found, list) else []
            people = max(people, len(rows))
        else:
            rows = [found] if isinstance(found, dict) else []
        for row, values in enumerate(rows):
            for datum in group.data:
                if text := _text(values.get(datum.key)):
                    answers[_code(form, group, row, datum.key)] = text
    return people, answers


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if isinstance(value, str | int) else ""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")  # half a character can be no answer
