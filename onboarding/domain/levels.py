"""What the upstream asks of a registered customer: levels, the paths through them, and their elements.

Pure values. They are read from the upstream by `onboarding.upstream`, kept with the flow as plain JSON
(`to_json`, `from_json`) and turned into forms by `onboarding.kyc_forms`. Spellings such as `drving_license` and
`proof_of_passpord` are the upstream's own and must stay as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

# Elements whose answer is the JSON text of a whole form (domain/company.py): they carry no `showType`.
COMPANY_CODES = (
    "company_basic_info", "company_upload_file", "company_auth_director", "company_auth_owner", "company_account_owner",
)  # fmt: skip
COUNTRIES = "-1"  # the dictionary of countries, by the upstream's name for it
DOCUMENT_KINDS = "id_card_type"  # the dictionary of identity documents
COMPANY_TYPES = "EnterpriseType"  # the dictionary of company types


class Kind(StrEnum):
    """How an element is asked for: the upstream's `showType`, read into a closed set.

    The upstream sends `input`, `date`, `inputGroup`, `image` and `face_photo` today; the others wait for the day it
    begins to, under the names that such things usually have.
    """

    INPUT = "input"
    TEXTAREA = "textarea"
    DATE = "date"
    CHOICE = "select"
    COUNTRY = "country"
    YES_NO = "switch"
    INPUT_GROUP = "inputGroup"
    IMAGE = "image"
    FACE_PHOTO = "face_photo"
    FILE = "file"
    COMPANY = "company"
    UNKNOWN = "unknown"

    @classmethod
    def read(cls, show_type: str, code: str = "") -> Kind:
        found = _SHOW_TYPES.get(show_type.strip().lower(), cls.UNKNOWN)
        return cls.COMPANY if found is cls.UNKNOWN and code in COMPANY_CODES else found


_SHOW_TYPES: Mapping[str, Kind] = {
    "input": Kind.INPUT, "text": Kind.INPUT, "number": Kind.INPUT,
    "textarea": Kind.TEXTAREA, "multiline": Kind.TEXTAREA,
    "date": Kind.DATE,
    "select": Kind.CHOICE, "radio": Kind.CHOICE, "choice": Kind.CHOICE, "dropdown": Kind.CHOICE,
    "country": Kind.COUNTRY,
    "switch": Kind.YES_NO, "boolean": Kind.YES_NO, "yesno": Kind.YES_NO,
    "inputgroup": Kind.INPUT_GROUP,
    "image": Kind.IMAGE,
    "face_photo": Kind.FACE_PHOTO,
    "file": Kind.FILE, "upload": Kind.FILE,
}  # fmt: skip
UPLOADS = frozenset({Kind.IMAGE, Kind.FACE_PHOTO, Kind.FILE})

# Which pictures belong to which kind of document (docs/upstream.md, "Document kinds").
DOCUMENT_PICTURES: Mapping[str, tuple[str, ...]] = {
    "identity_card": ("front_identity_card", "back_identity_card"),
    "passport": ("proof_of_passpord",),
    "drving_license": ("proof_of_drive",),
}
DOCUMENT_OF_PICTURE: Mapping[str, str] = {
    picture: document for document, pictures in DOCUMENT_PICTURES.items() for picture in pictures
}


@dataclass(frozen=True, slots=True)
class Element:
    """One datum asked for. `pattern` is a third party's regular expression source, searched unanchored."""

    code: str
    name: str
    kind: Kind
    show_type: str = ""
    pattern: str = ""
    saved: str = field(default="", repr=False)  # answer saved upstream; for a date: epoch milliseconds as text
    saved_group: str = field(default="", repr=False)  # document kind saved upstream
    saved_group_number: str = field(default="", repr=False)
    choices_from: str = ""  # the dictionary with its choices, where that is not the one its kind says
    optional: bool = False  # the upstream has no such mark: parts of the company forms only

    @property
    def document(self) -> str:
        """The document kind this picture belongs to, or "" when it belongs to none."""
        return DOCUMENT_OF_PICTURE.get(self.code, "") if self.kind in UPLOADS else ""

    @property
    def takes_documents(self) -> bool:
        """Whether a PDF will do: a file, or a picture that proves something; never a photo of a person."""
        return self.kind is Kind.FILE or (
            self.kind is Kind.IMAGE and (bool(self.document) or self.code.startswith("proof_of_"))
        )

    @property
    def dictionary(self) -> str:
        """The upstream's dictionary that holds the choices, "" when there is nothing to choose.

        A choice has the dictionary of its own code, as the upstream does for documents: element and dictionary
        are both called `id_card_type`.
        """
        match self.kind:
            case Kind.INPUT_GROUP:
                return DOCUMENT_KINDS
            case Kind.COUNTRY:
                return COUNTRIES
            case Kind.CHOICE:
                return self.choices_from or self.code
            case _:
                return ""


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a level."""

    code: str
    name: str
    elements: tuple[Element, ...]


# What no page can hold: control characters other than tabs and the ends of lines, and what is no character or half one.
_NOT_FOR_PAGES = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
    + "]"
)


def for_page(text: str) -> str:
    """The text without what no page can hold."""
    return _NOT_FOR_PAGES.sub("", text)


def readable(*texts: str) -> str:
    """The first of the texts of which anything can be seen, for a page; "" when there is none."""
    return next((for_page(text) for text in texts if any(unicodedata.category(ch)[0] not in "ZC" for ch in text)), "")


_STEERING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def unsteered(text: str) -> str:
    """The text without what decides the direction of the words behind it too: for a sentence with words of ours."""
    return _STEERING.sub("", text)


def plain(code: str) -> str:
    """A code as it is after a browser has sent it: some of them change line breaks, and some characters get lost."""
    return " ".join(for_page(code).split())


# Parts of a level, each a screen of its own. An ordinary level has one, without a name; a company's has several.
WHOLE = ""
COMPANY = "company"  # in which country, and of which type
DETAILS = "details"  # all elements that are no form of their own
DECLARATION = "declaration"  # everything together, before it is sent


@dataclass(frozen=True, slots=True)
class Level:
    """One group of requirements; all its elements along one path are submitted together."""

    code: str
    name: str
    paths: tuple[Path, ...]
    account_type: int = 0  # the upstream's `openAccountType`
    known: bool = True  # False: the upstream named it without its elements, which must be fetched

    def path(self, code: str | None) -> Path | None:
        """The path with this code; without a choice to make, the only one."""
        if len(self.paths) == 1:
            return self.paths[0]
        return next((path for path in self.paths if code is not None and plain(path.code) == plain(code)), None)

    @property
    def has_elements(self) -> bool:
        return any(path.elements for path in self.paths)

    @property
    def is_company(self) -> bool:
        return self.account_type == 1


def parts_of(level: Level, path: Path) -> tuple[str, ...]:
    """The parts that a path is filled in by, in this order."""
    forms = tuple(dict.fromkeys(e.code for e in path.elements if e.kind is Kind.COMPANY))
    first = (COMPANY,) if level.is_company else ()
    if not forms:
        return (*first, WHOLE)
    others = (DETAILS,) if any(e.kind is not Kind.COMPANY for e in path.elements) else ()
    return (*first, *forms, *others, DECLARATION)


def elements_of(path: Path, part: str) -> tuple[Element, ...]:
    """The elements that are asked for in this part."""
    match part:
        case "":
            return path.elements
        case "company" | "declaration":
            return ()
        case "details":
            return tuple(e for e in path.elements if e.kind is not Kind.COMPANY)
        case _:
            return tuple(e for e in path.elements if e.code == part and e.kind is Kind.COMPANY)


def asked_once(elements: Iterable[Element]) -> tuple[Element, ...]:
    """The same question twice (code, kind and name are one) is one; one code under two names is two questions.

    Decided when the level is read, so that a language in which two names are alike takes no question away.
    """
    found: dict[tuple[str, Kind, str], Element] = {}
    for element in elements:
        found.setdefault((element.code, element.kind, element.name), element)
    return tuple(found.values())


def arranged(elements: Iterable[Element]) -> tuple[Element, ...]:
    """The elements as a page shows them: pictures of a document right behind the choice of the document."""
    elements = tuple(elements)
    group = next((e for e in elements if e.kind is Kind.INPUT_GROUP), None)
    if group is None:
        return elements
    pictures = tuple(e for e in elements if e.document)
    others = tuple(e for e in elements if not e.document)
    at = others.index(group) + 1
    return (*others[:at], *pictures, *others[at:])


def applicable(elements: Iterable[Element], documents: Iterable[str]) -> tuple[Element, ...]:
    """The elements that apply once the customer chose a document kind.

    A picture applies when no document is asked for at all, when it belongs to the chosen kind, or to no kind.
    Pictures of other kinds are neither asked for nor sent.
    """
    elements, chosen = tuple(elements), {"", *documents}
    if not any(element.kind is Kind.INPUT_GROUP for element in elements):
        return elements
    return tuple(element for element in elements if element.document in chosen)


def group(entries: Iterable[tuple[str, str, int, Path]]) -> tuple[Level, ...]:
    """Levels from the upstream's flat list of (level code, level name, account type, path).

    In the order of first appearance. Entries with one path code are one path; one without elements names the level
    only.
    """
    names: dict[str, str] = {}
    types: dict[str, int] = {}
    paths: dict[str, dict[str, Path]] = {}
    for code, name, account_type, path in entries:
        names[code] = names.get(code) or name
        types.setdefault(code, account_type)
        found = paths.setdefault(code, {})
        if path.elements:
            before = found.get(plain(path.code), Path(path.code, path.name, ()))
            found[plain(path.code)] = replace(before, elements=asked_once((*before.elements, *path.elements)))
    return tuple(
        Level(code, names[code], tuple(found.values()), types[code], known=bool(found)) for code, found in paths.items()
    )


def renamed(level: Level, other: Level) -> Level:
    """The level with the names that the other one has for the same codes (the same level in another language)."""
    names = {(path.code, *key): element.name for path in other.paths for key, element in _counted(path)}
    path_names = {path.code: path.name for path in other.paths}
    return replace(
        level,
        name=other.name or level.name,
        paths=tuple(
            Path(
                path.code,
                path_names.get(path.code) or path.name,
                tuple(replace(e, name=names.get((path.code, *key)) or e.name) for key, e in _counted(path)),
            )
            for path in level.paths
        ),
    )


def _counted(path: Path) -> list[tuple[tuple[str, int], Element]]:
    """Each element with its code and how often that code came before: codes may repeat."""
    seen: Counter[str] = Counter()
    found = []
    for element in path.elements:
        found.append(((element.code, seen[element.code]), element))
        seen[element.code] += 1
    return found


def to_json(levels: Iterable[Level]) -> list[dict[str, Any]]:
    """Plain JSON of the levels, as kept with a flow."""
    return [
        {
            "code": level.code,
            "name": level.name,
            "account_type": level.account_type,
            "known": level.known,
            "paths": [
                {
                    "code": path.code,
                    "name": path.name,
                    "elements": [
                        {
                            "code": e.code,
                            "name": e.name,
                            "show_type": e.show_type or e.kind.value,
                            "pattern": e.pattern,
                            "saved": [e.saved, e.saved_group, e.saved_group_number],
                        }
                        for e in path.elements
                    ],
                }
                for path in level.paths
            ],
        }
        for level in levels
    ]


def from_json(stored: Iterable[Mapping[str, Any]]) -> tuple[Level, ...]:
    """The inverse of `to_json`."""
    return tuple(
        Level(
            level["code"],
            level["name"],
            tuple(Path(path["code"], path["name"], _elements(path["elements"])) for path in level["paths"]),
            level.get("account_type", 0),  # absent in what an earlier release kept
            level.get("known", True),
        )
        for level in stored
    )


def _elements(stored: Iterable[Mapping[str, Any]]) -> tuple[Element, ...]:
    return tuple(
        Element(e["code"], e["name"], Kind.read(e["show_type"], e["code"]), e["show_type"], e["pattern"], *e["saved"])
        for e in stored
    )
