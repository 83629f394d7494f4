"""The form of a level, built from what the upstream asks: a table from kind to how it is asked, checked and encoded.

A new level needs no code here. A new kind needs one line in `KINDS` and one test. An unknown kind becomes a text field
with its pattern, and one log line: nothing is ever silently missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from onboarding.domain.levels import PICTURES, Element, Kind, applicable
from onboarding.patterns import matches
from onboarding.pictures import Picture, Refusal, prepare
from onboarding.upstream.wire import DictionaryItem

log = logging.getLogger("onboarding.kyc_forms")

MAX_TEXT = 500  # characters of one answer
EARLIEST = date(1900, 1, 1)
YEARS_AHEAD = 50  # an expiry date lies in the future

Text = str | Promise


@dataclass(eq=False)
class AskedElement:
    """One element as the page shows it; errors and entered values are put in by its kind."""

    element: Element
    number: int
    name: str  # of the form field
    template: str
    entered: dict[str, str] = field(default_factory=dict)  # by part of the name: "", "-kind", "-number"
    errors: dict[str, Text] = field(default_factory=dict)  # likewise
    options: Sequence[DictionaryItem] = ()
    upload: Mapping[str, str] = field(default_factory=dict)  # {url, name} of a picture the upstream has
    file: UploadedFile[Any] | None = None
    picture: Picture | None = None  # the clean copy of the file, once checked

    @property
    def id(self) -> str:
        """A plain id, whatever characters the element's code is made of."""
        return f"el-{self.number}"

    @property
    def value(self) -> str:
        return self.entered.get("", "")

    @property
    def kind_value(self) -> str:
        return self.entered.get("-kind", "")

    @property
    def number_value(self) -> str:
        return self.entered.get("-number", "")

    @property
    def kind_error(self) -> Text:
        return self.errors.get("-kind", "")

    @property
    def number_error(self) -> Text:
        return self.errors.get("-number", "")

    @property
    def numeric(self) -> bool:
        """A numeric keypad helps (the upstream's own clients do the same for these codes)."""
        return any(word in self.element.code.lower() for word in ("phone", "mobile"))

    @property
    def latest(self) -> str:
        return _latest(date.today()).isoformat()

    @property
    def earliest(self) -> str:
        return EARLIEST.isoformat()


@dataclass(frozen=True, slots=True)
class KindRule:
    """How one kind is asked (`template`), filled from what is saved upstream, checked, and encoded for the upstream."""

    template: str
    prefill: Callable[[Element], dict[str, str]]
    check: Callable[[AskedElement], None]
    encode: Callable[[AskedElement], list[tuple[str, str]]]
    parts: tuple[str, ...] = ("",)


# -- Text --------------------------------------------------------------------------------------------------------------


def _check_text(asked: AskedElement) -> None:
    value = asked.value
    if not value:
        asked.errors[""] = _("Fill this in.")
    elif len(value) > MAX_TEXT:
        asked.errors[""] = _("This answer is too long: at most %(most)d characters.") % {"most": MAX_TEXT}
    elif "\x00" in value or not matches(asked.element.pattern, value):
        asked.errors[""] = _("The format is not right. Check what you wrote.")


def _encode_text(asked: AskedElement) -> list[tuple[str, str]]:
    return [(asked.element.code, asked.value)]


# -- Dates: epoch milliseconds of midnight UTC, as a string ------------------------------------------------------------


def _prefill_date(element: Element) -> dict[str, str]:
    try:
        moment = datetime.fromtimestamp(int(element.saved) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return {}
    return {"": moment.date().isoformat()}


def _latest(today: date) -> date:
    return today + timedelta(days=YEARS_AHEAD * 365)


def _check_date(asked: AskedElement) -> None:
    if not asked.value:
        asked.errors[""] = _("Enter a date.")
        return
    try:
        entered = date.fromisoformat(asked.value)
    except ValueError:
        asked.errors[""] = _("Enter the date as year-month-day, such as 1990-05-17.")
        return
    if not EARLIEST <= entered <= _latest(date.today()):
        asked.errors[""] = _("This year does not look right. Check the date.")
    elif not matches(asked.element.pattern, entered.isoformat()):
        asked.errors[""] = _("This date is not accepted here. Check it.")


def _encode_date(asked: AskedElement) -> list[tuple[str, str]]:
    entered = date.fromisoformat(asked.value)
    midnight = datetime(entered.year, entered.month, entered.day, tzinfo=UTC)
    return [(asked.element.code, str(int(midnight.timestamp()) * 1000))]


# -- Document: kind and number, sent under the kind's own code ---------------------------------------------------------


def _prefill_document(element: Element) -> dict[str, str]:
    return {"-kind": element.saved_group, "-number": element.saved_group_number}


def _check_document(asked: AskedElement) -> None:
    chosen = next((item for item in asked.options if item.code == asked.kind_value), None)
    if chosen is None:
        asked.errors["-kind"] = _("Choose the kind of document.")
    if not asked.number_value:
        asked.errors["-number"] = _("Enter the number of the document.")
    elif len(asked.number_value) > MAX_TEXT or "\x00" in asked.number_value:
        asked.errors["-number"] = _("This answer is too long: at most %(most)d characters.") % {"most": MAX_TEXT}
    elif chosen and not matches(chosen.pattern, asked.number_value):
        asked.errors["-number"] = _("This number does not match the kind of document. Check it character by character.")


def _encode_document(asked: AskedElement) -> list[tuple[str, str]]:
    return [(asked.kind_value, asked.number_value)]


# -- Pictures ----------------------------------------------------------------------------------------------------------


_REFUSALS: Mapping[Refusal, Promise] = {
    Refusal.EMPTY: _("This file is empty. Choose the picture again."),
    Refusal.NOT_AN_IMAGE: _("This file is not a picture that we can read. Use a photo as JPEG, PNG, WebP or HEIC."),
    Refusal.WRONG_TYPE: _("This kind of file is not taken here. Use a photo as JPEG, PNG, WebP or HEIC."),
    Refusal.DAMAGED: _("This picture is damaged, or was cut off on the way. Choose it again, or take a new one."),
    Refusal.TOO_MANY_PIXELS: _("This picture has too many pixels. Take it again with a lower resolution."),
}


def _check_picture(asked: AskedElement) -> None:
    if asked.file is None:
        if not asked.upload:
            asked.errors[""] = _("Add this picture.")
        return
    size, most = asked.file.size or 0, settings.UPLOAD_MAX_BYTES
    found = prepare(cast(BinaryIO, asked.file), size=size, most=most)
    if isinstance(found, Picture):
        asked.picture = found
    elif found is Refusal.TOO_LARGE:
        asked.errors[""] = _("This picture is too large: %(size)s MB. The limit is %(most)d MB.") % {
            "size": number_format(size / 1048576, 1),
            "most": most // 1048576,
        }
    else:
        asked.errors[""] = _REFUSALS.get(found, _REFUSALS[Refusal.WRONG_TYPE])


def _encode_picture(asked: AskedElement) -> list[tuple[str, str]]:
    return [(asked.element.code, asked.upload["url"])]


# -- The table ---------------------------------------------------------------------------------------------------------


def _prefill_text(element: Element) -> dict[str, str]:
    return {"": element.saved}


_TEXT = KindRule("text", _prefill_text, _check_text, _encode_text)
_PICTURE = KindRule("picture", lambda _element: {}, _check_picture, _encode_picture)
KINDS: Mapping[Kind, KindRule] = {
    Kind.INPUT: _TEXT,
    Kind.DATE: KindRule("date", _prefill_date, _check_date, _encode_date),
    Kind.INPUT_GROUP: KindRule("document", _prefill_document, _check_document, _encode_document, ("-kind", "-number")),
    Kind.IMAGE: _PICTURE,
    Kind.FACE_PHOTO: KindRule("face", lambda _element: {}, _check_picture, _encode_picture),
    Kind.UNKNOWN: _TEXT,
}


class LevelForm:
    """The elements of one path through a level, with what was entered and what is wrong with it."""

    def __init__(
        self,
        elements: Sequence[Element],
        *,
        documents: Sequence[DictionaryItem] = (),
        uploads: Mapping[str, Mapping[str, str]] | None = None,
        data: Mapping[str, str] | None = None,
        files: MultiValueDict[str, UploadedFile[Any]] | None = None,
    ) -> None:
        self._elements = tuple(elements)
        self.asked_elements = [self._ask(i, element, documents, uploads or {}) for i, element in enumerate(elements)]
        if data:
            for asked in self.asked_elements:
                parts = KINDS[asked.element.kind].parts
                asked.entered = {part: data.get(asked.name + part, "").strip() for part in parts}
                asked.file = files.get(asked.name) if files else None

    def _ask(
        self,
        number: int,
        element: Element,
        documents: Sequence[DictionaryItem],
        uploads: Mapping[str, Mapping[str, str]],
    ) -> AskedElement:
        if element.kind is Kind.UNKNOWN:
            log.warning("element %r has the unknown kind %r: asked as text", element.code[:200], element.show_type[:60])
        kind = KINDS[element.kind]
        return AskedElement(
            element=element,
            number=number,
            name=f"el-{element.code}",
            template=f"partials/element_{kind.template}.html",
            entered=kind.prefill(element),
            options=documents if element.kind is Kind.INPUT_GROUP else (),
            upload=uploads.get(element.code, {}),
        )

    @property
    def entered(self) -> dict[str, str]:
        """What was entered, by form field; pictures are kept by the upstream, not here."""
        return {q.name + part: value for q in self.asked_elements for part, value in q.entered.items() if value}

    @property
    def document(self) -> str:
        """The kind of document chosen."""
        return next((q.kind_value for q in self.asked_elements if q.element.kind is Kind.INPUT_GROUP), "")

    @property
    def applicable(self) -> list[AskedElement]:
        """The elements that apply to the chosen document."""
        wanted = set(applicable(self._elements, self.document))
        return [asked for asked in self.asked_elements if asked.element in wanted]

    @property
    def has_files(self) -> bool:
        return any(asked.element.kind in PICTURES for asked in self.asked_elements)

    def check(self) -> bool:
        """Checks every applicable answer and notes what is wrong with it."""
        applicable = set(self.applicable)
        for asked in self.asked_elements:
            if asked in applicable or (asked.file is not None and not self._document_chosen):
                KINDS[asked.element.kind].check(asked)
        return not self.errors

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
            (q.id + part, format_lazy("{}: {}", q.element.name or q.element.code, text))
            for q in self.asked_elements
            for part, text in q.errors.items()
        ]

    def new_pictures(self) -> list[AskedElement]:
        """The elements with a checked picture that still has to go to the upstream.

        While no document is chosen that is every picture given: a customer who forgot to choose must not lose it.
        """
        asked = self.applicable if self._document_chosen else self.asked_elements
        return [q for q in asked if q.file is not None and not q.errors]

    def answers(self) -> list[tuple[str, str]]:
        """(element code, value) as the upstream wants them. Checked forms only; pictures must have been sent on."""
        return [pair for asked in self.applicable for pair in KINDS[asked.element.kind].encode(asked)]
