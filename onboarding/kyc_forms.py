"""The form of a level, or of one part of it, built from what the upstream asks (kinds.py has the table).

Knows the elements and what was entered; neither the flow nor the request.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.text import format_lazy

from onboarding.domain.levels import UPLOADS, Element, Kind, applicable, arranged, unsteered
from onboarding.kinds import KINDS, AskedElement, Text
from onboarding.upstream.codes import Field
from onboarding.upstream.wire import DictionaryItem

log = logging.getLogger("onboarding.kyc_forms")

Options = Callable[[str], Sequence[DictionaryItem]]  # the choices of a dictionary, by the upstream's name for it
SAVED = "saved"  # receipt of the file that the upstream named itself
NONE = "none"  # what a page says where a file was taken back
LONGEST_NAME = 400  # bytes of a field's name; servers and libraries limit the headers of a part


@dataclass(frozen=True)
class Received:
    """The files that the upstream has taken: {url, name} by receipt, and the newest receipt by form field."""

    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    newest: Mapping[str, str] = field(default_factory=dict)


def _no_options(dictionary: str) -> Sequence[DictionaryItem]:
    return ()


@lru_cache(maxsize=1000)
def _tell_unknown(code: str, show_type: str) -> None:
    """Once for each in a process: the page is drawn again and again."""
    log.warning("element %r has the unknown kind %r: asked as text", code, show_type)


def field_key(code: str) -> str:
    """The element's code as a form field can be called: what browsers or servers would alter in a name is escaped."""
    safe = "".join(ch if ch.isprintable() and ch not in '"\\' else quote(ch) for ch in code)
    safe = safe[:-1] + "%20" if safe.endswith(" ") else safe
    return safe if len(safe.encode()) <= LONGEST_NAME else hashlib.sha256(code.encode()).hexdigest()


class LevelForm:
    """The elements of one path through a level, with what was entered and what is wrong with it."""

    is_sectioned = False  # headings of its own between the elements
    has_rows = False  # fields are counted, so a field's name may mean another person than when a file came for it

    def __init__(
        self,
        elements: Iterable[Element],
        *,
        options: Options = _no_options,
        received: Received = Received(),
        draft: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        files: MultiValueDict[str, UploadedFile[Any]] | None = None,
    ) -> None:
        self._elements = arranged(elements)
        self._taken: set[str] = set()
        self._repeats: Counter[str] = Counter()
        self.asked_elements = [self._ask(i, element, options) for i, element in enumerate(self._elements)]
        for asked in self.asked_elements:
            if asked.element.kind in UPLOADS:
                asked.file = files.get(asked.name) if files else None
                self._take_up(asked, received, data)
            else:
                self._fill_in(asked, draft, data)

    def _fill_in(self, asked: AskedElement, draft: Mapping[str, str] | None, data: Mapping[str, str] | None) -> None:
        """What was sent just now; else what was kept; else what the upstream has saved."""
        for part in asked.rule.parts:
            name = asked.name + part
            said = (draft or {}).get(name) if data is None else data.get(name, "")
            if said is not None:
                asked.entered[part] = asked.rule.clean(said).strip()

    def _take_up(self, asked: AskedElement, received: Received, data: Mapping[str, str] | None) -> None:
        """The file that the page showed counts; where it showed none, one that came since (from another device)."""
        newest = received.newest.get(asked.name, SAVED)
        said = data.get(f"{asked.name}-file") if data is not None else None
        asked.receipt = newest if said is None or (not said and not self.has_rows) else said
        saved = {"url": asked.element.saved, "name": ""} if asked.element.saved and asked.receipt == SAVED else {}
        asked.upload = received.files.get(asked.receipt, saved)
        if not asked.upload:
            asked.receipt = NONE if asked.receipt == NONE else ""

    def _ask(self, number: int, element: Element, options: Options) -> AskedElement:
        if element.kind is Kind.UNKNOWN:
            _tell_unknown(element.code[:200], element.show_type[:60])
        rule = KINDS[element.kind]
        key = self._free_key(element.code, rule.parts)
        return AskedElement(
            element=element,
            id=f"el-{number}",
            name=f"el-{key}",
            rule=rule,
            entered={part: rule.clean(value) for part, value in rule.prefill(element).items()},
            options=options(element.dictionary) if element.dictionary else (),
        )

    def _free_key(self, code: str, parts: tuple[str, ...]) -> str:
        """Codes may repeat, and one may be another's with a part's name behind it: each field has its own name."""
        wanted = key = field_key(code)
        while any(key + part in self._taken for part in parts):
            self._repeats[wanted] += 1
            key = f"{wanted}~{self._repeats[wanted] + 1}"
        self._taken |= {key + part for part in parts}
        return key

    @property
    def entered(self) -> dict[str, str]:
        """What was entered, by form field; files are kept by the upstream, not here."""
        return {
            q.name + part: value
            for q in self.asked_elements
            if q.element.kind not in UPLOADS
            for part, value in q.entered.items()
        }

    @property
    def receipts(self) -> dict[str, str]:
        """The receipt of each file, by form field."""
        return {q.name: q.receipt for q in self.asked_elements if q.receipt}

    @property
    def documents(self) -> set[str]:
        """The kinds of document chosen."""
        return {q.kind_value for q in self.asked_elements if q.element.kind is Kind.INPUT_GROUP} - {""}

    @property
    def applicable(self) -> list[AskedElement]:
        """The elements that apply to the chosen document."""
        wanted = set(applicable(self._elements, self.documents))
        return [asked for asked in self.asked_elements if asked.element in wanted]

    @property
    def group(self) -> AskedElement | None:
        """Where the kind of document is chosen that the pictures of documents depend on."""
        return next((q for q in self.asked_elements if q.element.kind is Kind.INPUT_GROUP), None)

    @property
    def has_bound(self) -> bool:
        """Whether other pictures are asked for when another kind of document is chosen."""
        return self.group is not None and any(q.element.document for q in self.asked_elements)

    @property
    def blocks(self) -> list[tuple[AskedElement, list[AskedElement]]]:
        """The applicable elements for the page, each with the pictures of the document that is chosen there."""
        bound = [q for q in self.applicable if q.element.document] if self.group else []
        return [(q, bound if q is self.group else []) for q in self.applicable if q not in bound]

    @property
    def sections(self) -> Iterable[tuple[str, int | None, list[AskedElement]]]:
        """(heading, row of a person, elements): all in one, unless a form has headings of its own."""
        return [("", None, self.applicable)]

    @property
    def has_files(self) -> bool:
        return any(asked.element.kind in UPLOADS for asked in self.asked_elements)

    def find(self, name: str) -> AskedElement | None:
        """The element whose form field has this name."""
        return next((asked for asked in self.asked_elements if asked.name == name), None)

    def check(self) -> bool:
        """Checks every applicable answer and notes what is wrong with it."""
        for asked in self._to_check():
            self.check_one(asked)
        return not self.errors

    def check_files(self) -> None:
        """Checks the files given, and nothing else: what is asked for may still change."""
        for asked in self._to_check():
            if asked.file is not None:
                self.check_one(asked)

    def check_one(self, asked: AskedElement) -> None:
        empty = not any(asked.entered.values()) and asked.file is None
        if not (asked.element.optional and empty):
            asked.rule.check(asked)

    def _to_check(self) -> list[AskedElement]:
        applicable = set(self.applicable)
        return [q for q in self.asked_elements if q in applicable or (q.file is not None and not self._document_chosen)]

    @property
    def _document_chosen(self) -> bool:
        return all(
            any(item.code == q.kind_value for item in q.options)
            for q in self.asked_elements
            if q.element.kind is Kind.INPUT_GROUP
        )

    @property
    def errors(self) -> list[tuple[str, Text]]:
        """(id of the field, text) of all that is wrong, in the order of the page; the text names the element."""
        return [
            (q.id + part, format_lazy("{}: {}", self.named(q), text))
            for q in self.asked_elements
            for part, text in q.errors.items()
        ]

    def named(self, asked: AskedElement) -> Text:
        """What the element is called in a list of errors, where nothing else says which one it is."""
        return unsteered(asked.label) if isinstance(asked.label, str) else asked.label

    def blame(self, field: str, text: Text) -> bool:
        """Puts the upstream's refusal beside the one element it can concern; whether there is exactly one.

        `field` is a `Field` of the upstream's codes.
        """
        found = [(q, "-number") for q in self.applicable if q.element.kind is Kind.INPUT_GROUP]
        if field == Field.LEVEL_PHONE:
            found = [(q, "") for q in self.applicable if q.element.kind is Kind.INPUT and q.is_phone]
        if field not in (Field.LEVEL_PHONE, Field.LEVEL_DOCUMENT) or len(found) != 1:
            return False
        ((asked, part),) = found
        asked.errors[part] = text
        return True

    def new_files(self) -> list[AskedElement]:
        """The elements with a checked file that still has to go to the upstream.

        While no document is chosen that is every file given: a customer who forgot to choose must not lose it.
        """
        asked = self.applicable if self._document_chosen else self.asked_elements
        return [q for q in asked if q.file is not None and not q.errors]

    def answers(self) -> list[tuple[str, str]]:
        """(element code, value) as the upstream wants them, of what is answered and right.

        After `check()`; files must have been sent on.
        """
        return [pair for q in self.applicable if not q.errors and _is_answered(q) for pair in q.rule.encode(q)]


def _is_answered(asked: AskedElement) -> bool:
    return bool(asked.upload) if asked.element.kind in UPLOADS else any(asked.entered.values())
