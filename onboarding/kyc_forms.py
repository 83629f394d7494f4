"""The form of a level, built from what the upstream asks: a table from kind to how it is asked, checked and encoded.

A new level needs no code here. A new kind needs one line in `KINDS` and one test. An unknown kind becomes a text field
with its pattern, and one log line: nothing is ever silently missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.datastructures import MultiValueDict
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from onboarding.domain.levels import Element, Kind, applicable
from onboarding.patterns import matches
from onboarding.pictures import picture_type
from onboarding.upstream.wire import DictionaryItem

log = logging.getLogger("onboarding.kyc_forms")

MAX_TEXT = 500  # characters of one answer
EARLIEST = date(1900, 1, 1)
YEARS_AHEAD = 50  # an expiry date lies in the future

Text = str | Promise


@dataclass(eq=False)
class Question:
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
class KindOfQuestion:
    """How one kind is asked (`template`), filled from what is saved upstream, checked, and encoded for the upstream."""

    template: str
    prefill: Callable[[Element], dict[str, str]]
    check: Callable[[Question], None]
    encode: Callable[[Question], list[tuple[str, str]]]
    parts: tuple[str, ...] = ("",)


# -- Text --------------------------------------------------------------------------------------------------------------


def _check_text(question: Question) -> None:
    value = question.value
    if not value:
        question.errors[""] = _("Fill this in.")
    elif len(value) > MAX_TEXT:
        question.errors[""] = _("This answer is too long: at most %(most)d characters.") % {"most": MAX_TEXT}
    elif "\x00" in value or not matches(question.element.pattern, value):
        question.errors[""] = _("This does not have the right form. Write it as it stands on your document.")


def _encode_text(question: Question) -> list[tuple[str, str]]:
    return [(question.element.code, question.value)]


# -- Dates: epoch milliseconds of midnight UTC, as a string ------------------------------------------------------------


def _prefill_date(element: Element) -> dict[str, str]:
    try:
        moment = datetime.fromtimestamp(int(element.saved) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return {}
    return {"": moment.date().isoformat()}


def _latest(today: date) -> date:
    return today + timedelta(days=YEARS_AHEAD * 365)


def _check_date(question: Question) -> None:
    if not question.value:
        question.errors[""] = _("Enter a date.")
        return
    try:
        entered = date.fromisoformat(question.value)
    except ValueError:
        question.errors[""] = _("Enter the date as year-month-day, such as 1990-05-17.")
        return
    if not EARLIEST <= entered <= _latest(date.today()):
        question.errors[""] = _("This year does not look right. Check the date.")
    elif not matches(question.element.pattern, entered.isoformat()):
        question.errors[""] = _("This date is not accepted here. Check it against your document.")


def _encode_date(question: Question) -> list[tuple[str, str]]:
    entered = date.fromisoformat(question.value)
    midnight = datetime(entered.year, entered.month, entered.day, tzinfo=UTC)
    return [(question.element.code, str(int(midnight.timestamp()) * 1000))]


# -- Document: kind and number, sent under the kind's own code ---------------------------------------------------------


def _prefill_document(element: Element) -> dict[str, str]:
    return {"-kind": element.saved_group, "-number": element.saved_group_number}


def _check_document(question: Question) -> None:
    chosen = next((item for item in question.options if item.code == question.kind_value), None)
    if chosen is None:
        question.errors["-kind"] = _("Choose the kind of document.")
    if not question.number_value:
        question.errors["-number"] = _("Enter the number of the document.")
    elif len(question.number_value) > MAX_TEXT or "\x00" in question.number_value:
        question.errors["-number"] = _("This answer is too long: at most %(most)d characters.") % {"most": MAX_TEXT}
    elif chosen and not matches(chosen.pattern, question.number_value):
        question.errors["-number"] = _(
            "This number does not match the kind of document. Check it character by character."
        )


def _encode_document(question: Question) -> list[tuple[str, str]]:
    return [(question.kind_value, question.number_value)]


# -- Pictures ----------------------------------------------------------------------------------------------------------


def _check_picture(question: Question) -> None:
    if question.file is None:
        if not question.upload:
            question.errors[""] = _("Add this picture.")
        return
    most = settings.UPLOAD_MAX_BYTES
    if (question.file.size or 0) > most:
        question.errors[""] = _("This picture is too large: %(size)s MB. The limit is %(most)d MB.") % {
            "size": number_format((question.file.size or 0) / 1048576, 1),
            "most": most // 1048576,
        }
    elif not question.file.size:
        question.errors[""] = _("This file is empty. Choose the picture again.")
    elif picture_type(question.file) is None:
        question.errors[""] = _("This file is not a picture that we can read. Use a photo as JPEG, PNG or WebP.")


def _encode_picture(question: Question) -> list[tuple[str, str]]:
    return [(question.element.code, question.upload["url"])]


# -- The table ---------------------------------------------------------------------------------------------------------


def _prefill_text(element: Element) -> dict[str, str]:
    return {"": element.saved}


_TEXT = KindOfQuestion("text", _prefill_text, _check_text, _encode_text)
_PICTURE = KindOfQuestion("picture", lambda _element: {}, _check_picture, _encode_picture)
KINDS: Mapping[Kind, KindOfQuestion] = {
    Kind.INPUT: _TEXT,
    Kind.DATE: KindOfQuestion("date", _prefill_date, _check_date, _encode_date),
    Kind.INPUT_GROUP: KindOfQuestion(
        "document", _prefill_document, _check_document, _encode_document, ("-kind", "-number")
    ),
    Kind.IMAGE: _PICTURE,
    Kind.FACE_PHOTO: KindOfQuestion("face", lambda _element: {}, _check_picture, _encode_picture),
    Kind.UNKNOWN: _TEXT,
}


class LevelForm:
    """The questions of one path through a level, with what was entered and what is wrong with it."""

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
        self.questions = [self._question(i, element, documents, uploads or {}) for i, element in enumerate(elements)]
        if data:
            for question in self.questions:
                parts = KINDS[question.element.kind].parts
                question.entered = {part: data.get(question.name + part, "").strip() for part in parts}
                question.file = files.get(question.name) if files else None

    def _question(
        self,
        number: int,
        element: Element,
        documents: Sequence[DictionaryItem],
        uploads: Mapping[str, Mapping[str, str]],
    ) -> Question:
        if element.kind is Kind.UNKNOWN:
            log.warning("element %r has the unknown kind %r: asked as text", element.code[:200], element.show_type[:60])
        kind = KINDS[element.kind]
        earlier = sum(1 for other in self._elements[:number] if other.code == element.code)
        return Question(
            element=element,
            number=number,
            name=f"el-{element.code}" + (f"-{earlier}" if earlier else ""),
            template=f"partials/question_{kind.template}.html",
            entered=kind.prefill(element),
            options=documents if element.kind is Kind.INPUT_GROUP else (),
            upload=uploads.get(element.code, {}),
        )

    @property
    def entered(self) -> dict[str, str]:
        """What was entered, by form field; pictures are kept by the upstream, not here."""
        return {q.name + part: value for q in self.questions for part, value in q.entered.items() if value}

    @property
    def document(self) -> str:
        """The kind of document chosen."""
        return next((q.kind_value for q in self.questions if q.element.kind is Kind.INPUT_GROUP), "")

    @property
    def applicable(self) -> list[Question]:
        """The questions that apply to the chosen document."""
        wanted = set(applicable(self._elements, self.document))
        return [question for question in self.questions if question.element in wanted]

    @property
    def has_files(self) -> bool:
        return any(question.template.endswith(("_picture.html", "_face.html")) for question in self.questions)

    def check(self) -> bool:
        """Checks every applicable answer and notes what is wrong with it."""
        applicable = self.applicable
        for question in self.questions:
            if question in applicable or (question.file is not None and not self._document_chosen):
                KINDS[question.element.kind].check(question)
        return not self.errors

    @property
    def _document_chosen(self) -> bool:
        return all(
            any(item.code == q.kind_value for item in q.options)
            for q in self.questions
            if q.element.kind is Kind.INPUT_GROUP
        )

    @property
    def errors(self) -> list[tuple[str, Text]]:
        """(id of the field, text) of all that is wrong, in the order of the page; the text names the question."""
        return [
            (q.id + part, format_lazy("{}: {}", q.element.name or q.element.code, text))
            for q in self.questions
            for part, text in q.errors.items()
        ]

    def new_pictures(self) -> list[Question]:
        """The questions with a checked picture that still has to go to the upstream.

        While no document is chosen that is every picture given: a customer who forgot to choose must not lose it.
        """
        asked = self.applicable if self._document_chosen else self.questions
        return [q for q in asked if q.file is not None and not q.errors]

    def answers(self) -> list[tuple[str, str]]:
        """(element code, value) as the upstream wants them. Checked forms only; pictures must have been sent on."""
        return [pair for question in self.applicable for pair in KINDS[question.element.kind].encode(question)]
