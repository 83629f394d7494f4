"""The table from kind of element to how it is asked, filled from what is saved, checked, and encoded for the upstream.

A new level needs no code here. A new kind needs one line in `KINDS` and one test. An unknown kind becomes a text field
with its pattern, and one log line (kyc_forms.py): nothing is ever silently missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from onboarding import i18n
from onboarding.domain.levels import Element, Kind, for_page, readable
from onboarding.patterns import matches
from onboarding.pictures import Picture, Refusal, prepare
from onboarding.upstream.wire import DictionaryItem

MAX_TEXT = 500  # characters of one answer
MAX_LONG_TEXT = 2000  # of one with several lines
EARLIEST = date(1900, 1, 1)
YEARS_AHEAD = 50  # an expiry date lies in the future

Text = str | Promise


@dataclass(eq=False)
class AskedElement:
    """One element as the page shows it; errors and entered values are put in by its kind."""

    element: Element
    id: str  # plain, whatever characters the element's code is made of
    name: str  # of the form field
    rule: KindRule
    entered: dict[str, str] = field(default_factory=dict)  # by part of the name: "", "-kind", "-number"
    errors: dict[str, Text] = field(default_factory=dict)  # likewise
    options: Sequence[DictionaryItem] = ()
    upload: Mapping[str, str] = field(default_factory=dict)  # {url, name} of a file that the upstream has
    receipt: str = ""  # what the page calls that file: it moves with its row, and no late answer can take its place
    file: UploadedFile[Any] | None = None
    picture: Picture | None = None  # the clean copy of the file, once checked

    @property
    def template(self) -> str:
        return f"partials/element_{self.rule.template}.html"

    @property
    def label(self) -> Text:
        """What the element is called; never nothing, whatever the upstream calls it."""
        return readable(self.element.name, self.element.code) or _("Further details")

    @property
    def value(self) -> str:
        return self.entered.get("", "")

    @property
    def shown(self) -> Text:
        """The answer in words, for a last look at it."""
        chosen = next((item.name for item in self.options if item.code in (self.value, self.kind_value)), "")
        match self.element.kind:
            case Kind.IMAGE | Kind.FACE_PHOTO | Kind.FILE:
                return (self.upload["name"] or _("sent earlier")) if self.upload else ""
            case Kind.YES_NO:
                return {"true": _("Yes"), "false": _("No")}.get(self.value, "")
            case Kind.DATE:
                return _shown_date(self.value)
            case Kind.INPUT_GROUP:
                return f"{chosen} {self.number_value}"
            case _:
                return chosen or self.value

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
        """A keypad for numbers helps. One without letters must not stand where letters may be asked for."""
        return self.is_phone or ("number" in self.element.code.lower() and _is_for_digits(self.element.pattern))

    @property
    def is_phone(self) -> bool:
        """A telephone number, as its code says."""
        code = self.element.code.lower()
        return "phone" in code or "mobile" in code

    @property
    def latest(self) -> str:
        return _latest(date.today()).isoformat()

    @property
    def earliest(self) -> str:
        return EARLIEST.isoformat()

    @property
    def size_limit(self) -> int:
        """Megabytes of one file."""
        return int(settings.UPLOAD_MAX_BYTES // 1048576)


_DIGITS_ONLY = re.compile(r"(?:\\d|[0-9 ^$()\[\]{}?*+,|/:-])+")  # of patterns that match digits and signs alone


def _is_for_digits(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return "[^" not in pattern and _DIGITS_ONLY.fullmatch(pattern) is not None


@dataclass(frozen=True, slots=True)
class KindRule:
    """How one kind is asked (`template`), filled from what is saved upstream, checked, and encoded for the upstream."""

    template: str
    prefill: Callable[[Element], dict[str, str]]
    check: Callable[[AskedElement], None]
    encode: Callable[[AskedElement], list[tuple[str, str]]]
    parts: tuple[str, ...] = ("",)

    def clean(self, text: str) -> str:
        """What is saved or entered as the field can hold it: one of one line has no line breaks."""
        found = for_page(text)
        return found if self.template == "textarea" else " ".join(found.splitlines())


def _prefill(element: Element) -> dict[str, str]:
    return {"": element.saved}


def _encode(asked: AskedElement) -> list[tuple[str, str]]:
    return [(asked.element.code, asked.value)]


# -- Text --------------------------------------------------------------------------------------------------------------


def _check_text(asked: AskedElement) -> None:
    _check_words(asked, MAX_TEXT)


def _check_long_text(asked: AskedElement) -> None:
    asked.entered[""] = asked.value.replace("\r\n", "\n")  # browsers send the lines of a form with both
    _check_words(asked, MAX_LONG_TEXT)


def _check_words(asked: AskedElement, most: int) -> None:
    if not asked.value:
        asked.errors[""] = _("Fill this in.")
    elif len(asked.value) > most:
        asked.errors[""] = _("This answer is too long: at most %(most)d characters.") % {"most": most}
    elif not matches(asked.element.pattern, asked.value):
        asked.errors[""] = _("The format is not right. Check what you wrote.")


# -- Choices: a dictionary's code, a country's code, "true" or "false" -------------------------------------------------


def _check_choice(asked: AskedElement) -> None:
    if not asked.options:
        _check_text(asked)  # the upstream has no list of it: asked as text
    elif not any(item.code == asked.value for item in asked.options):
        asked.errors[""] = _("Choose from the list.")


def _check_yes_no(asked: AskedElement) -> None:
    if asked.value not in ("true", "false"):
        asked.errors[""] = _("Choose yes or no.")


def _prefill_yes_no(element: Element) -> dict[str, str]:
    meant = {"true": "true", "1": "true", "false": "false", "0": "false"}
    return {"": meant.get(element.saved.lower(), "")}


# -- Dates: epoch milliseconds of midnight UTC, as a string ------------------------------------------------------------


def _prefill_date(element: Element) -> dict[str, str]:
    try:
        moment = datetime.fromtimestamp(int(element.saved) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return {}
    return {"": moment.date().isoformat()}


def _shown_date(value: str) -> str:
    try:
        return i18n.day_in_words(date.fromisoformat(value))
    except ValueError:
        return value


def _latest(today: date) -> date:
    return date(today.year + YEARS_AHEAD, today.month, min(today.day, 28) if today.month == 2 else today.day)


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
    elif len(asked.number_value) > MAX_TEXT:
        asked.errors["-number"] = _("This answer is too long: at most %(most)d characters.") % {"most": MAX_TEXT}
    elif chosen and not matches(chosen.pattern, asked.number_value):
        asked.errors["-number"] = WRONG_NUMBER


WRONG_NUMBER = _("This number does not match the kind of document. Check it character by character.")


def _encode_document(asked: AskedElement) -> list[tuple[str, str]]:
    return [(asked.kind_value, asked.number_value)]


# -- Pictures and documents: the address that the upstream gave the file -----------------------------------------------


_PICTURE_REFUSALS: Mapping[Refusal, Promise] = {
    Refusal.EMPTY: _("This file is empty. Choose the picture again."),
    Refusal.NOT_AN_IMAGE: _("This file is not a picture that we can read. Use a photo as JPEG, PNG, WebP or HEIC."),
    Refusal.WRONG_TYPE: _("This kind of file is not taken here. Use a photo as JPEG, PNG, WebP or HEIC."),
    Refusal.DAMAGED: _("This picture is damaged, or was cut off on the way. Choose it again, or take a new one."),
    Refusal.BUSY: _("Too many files are coming in just now. Please send this one again in a moment."),
    Refusal.TOO_MANY_PIXELS: _("This picture has too many pixels. Take it again with a lower resolution."),
}
_DOCUMENT_REFUSALS: Mapping[Refusal, Promise] = {
    **_PICTURE_REFUSALS,
    Refusal.EMPTY: _("This file is empty. Choose it again."),
    Refusal.NOT_AN_IMAGE: _("We cannot read this file. Use a photo as JPEG, PNG, WebP or HEIC, or a PDF."),
    Refusal.WRONG_TYPE: _("This kind of file is not taken here. Use a photo as JPEG, PNG, WebP or HEIC, or a PDF."),
    Refusal.BAD_PDF: _("This PDF is damaged, or too complicated for us. Save it again, or send a photo instead."),
    Refusal.ENCRYPTED_PDF: _("This PDF is protected. Print it into a new PDF, or send a photo instead."),
    Refusal.UNSAFE_PDF: _("This PDF contains more than pages. Print it into a new PDF, or send a photo instead."),
    Refusal.TOO_MANY_PAGES: _("This PDF has too many pages. Send only the pages that are asked for."),
}


def _check_file(asked: AskedElement) -> None:
    if asked.file is None:
        if not asked.upload:
            asked.errors[""] = _("Add this picture.") if asked.element.kind is not Kind.FILE else _("Add this file.")
        return
    size, most, pdf = asked.file.size or 0, settings.UPLOAD_MAX_BYTES, asked.element.takes_documents
    found = prepare(cast(BinaryIO, asked.file), size=size, most=most, pdf=pdf)
    if isinstance(found, Picture):
        asked.picture = found
    elif found is Refusal.TOO_LARGE and size > most:
        asked.errors[""] = _("This file is too large: %(size)s MB. The limit is %(most)s MB.") % {
            "size": number_format(size / 1048576, 1),
            "most": most // 1048576,
        }
    elif found is Refusal.TOO_LARGE:  # the file is not, but a clean copy of it would be
        asked.errors[""] = _PICTURE_REFUSALS[Refusal.TOO_MANY_PIXELS]
    else:
        refusals = _DOCUMENT_REFUSALS if pdf else _PICTURE_REFUSALS
        asked.errors[""] = refusals.get(found, refusals[Refusal.WRONG_TYPE])


def _encode_file(asked: AskedElement) -> list[tuple[str, str]]:
    return [(asked.element.code, asked.upload["url"])]


def _no_prefill(element: Element) -> dict[str, str]:
    return {}


# -- The table ---------------------------------------------------------------------------------------------------------

_TEXT = KindRule("text", _prefill, _check_text, _encode)
_CHOICE = KindRule("choice", _prefill, _check_choice, _encode)
_FILE = KindRule("picture", _no_prefill, _check_file, _encode_file, ("", "-file"))
KINDS: Mapping[Kind, KindRule] = {
    Kind.INPUT: _TEXT,
    Kind.TEXTAREA: KindRule("textarea", _prefill, _check_long_text, _encode),
    Kind.DATE: KindRule("date", _prefill_date, _check_date, _encode_date),
    Kind.CHOICE: _CHOICE,
    Kind.COUNTRY: _CHOICE,
    Kind.YES_NO: KindRule("yes_no", _prefill_yes_no, _check_yes_no, _encode),
    Kind.INPUT_GROUP: KindRule("document", _prefill_document, _check_document, _encode_document, ("-kind", "-number")),
    Kind.IMAGE: _FILE,
    Kind.FACE_PHOTO: KindRule("face", _no_prefill, _check_file, _encode_file, ("", "-file")),
    Kind.FILE: _FILE,
    Kind.COMPANY: _TEXT,  # reached only outside its own part, which no path leads to
    Kind.UNKNOWN: _TEXT,
}
