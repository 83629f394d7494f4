"""The parts of a company's level: where and of which type it is, and the forms of domain/company.py for people.

A form is taken apart into ordinary elements and asked by `LevelForm`; its answer is put together again as one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_email
from django.utils.datastructures import MultiValueDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from onboarding.dictionaries import COMPANY_COUNTRIES
from onboarding.domain import company
from onboarding.domain.levels import COMPANY, COMPANY_TYPES, DECLARATION, DETAILS, Element, Kind
from onboarding.kinds import WRONG_NUMBER, AskedElement, Text
from onboarding.kyc_forms import LevelForm, Options, Received
from onboarding.patterns import matches

ROWS = "rows"  # the form field that says how many people there are
ROWS_VERSION = "rows-version"  # ... and the one that says how often one was added or removed

# By the upstream's key; the comments of docs/upstream.md 4 say what is known of each.
LABELS: Mapping[str, Promise] = {
    "companyName": _("Name of the company"),
    "regNo": _("Registration number"),
    "createTime": _("Date of registration"),
    "area": _("Country code of the phone number, such as +44"),
    "phone": _("Phone number of the company"),
    "resource": _("Where the money comes from"),
    "nature": _("Kind of business"),
    "reason": _("What the account is for"),
    "regCountry": _("Country of the registered address"),
    "regCity": _("Town or city of the registered address"),
    "regStreet": _("Street and number of the registered address"),
    "opertionCountry": _("Country of the business address"),
    "opertionCity": _("Town or city of the business address"),
    "opertionStreet": _("Street and number of the business address"),
    "regCertificate": _("Certificate of registration"),
    "policy": _("Articles of association"),
    "directorsList": _("List of the directors"),
    "directorsList2": _("List of the directors (second file)"),
    "structure": _("Ownership structure"),
    "sanctionsQues": _("Questionnaire on sanctions"),
    "authorizationLetter": _("Letter of authorisation"),
    "businessConditions": _("Description of the business"),
    "intermediateShareholders": _("List of intermediate shareholders"),
    "furtherInfo": _("Other documents (may be left out)"),
    "websit": _("Website (N/A if there is none)"),
    "firstName": _("First name"),
    "lastname": _("Last name"),
    "birthDay": _("Date of birth"),
    "address": _("Country of residence"),
    "email": _("E-mail address"),
    "idType": _("Kind of document"),
    "idNo": _("Number of the document"),
    "issued": _("Country that issued the document"),
    "documents": _("Picture or PDF of the document"),
    "photo": _("Photo of this person"),
    "main": _("Is this the main account holder?"),
    "mainAccount": _("Photo of the main account holder holding the document"),
}
HEADINGS: Mapping[str, Promise] = {
    COMPANY: _("Country and type of the company"),
    "company_basic_info": _("About the company"),
    "company_upload_file": _("Documents of the company"),
    "company_auth_director": _("Directors"),
    "company_auth_owner": _("Owners"),
    "company_account_owner": _("Account holders"),
    DETAILS: _("Further details"),
    DECLARATION: _("Check and send"),
}
_SECTION_HEADINGS: Mapping[str, Promise] = {
    "accountInfo": _("The company"),
    "regAddress": _("Registered address"),
    "opertion": _("Business address"),
}
_PERSON_HEADINGS: Mapping[str, Promise] = {
    "company_auth_director": _("Director %(number)d"),
    "company_auth_owner": _("Owner %(number)d"),
    "company_account_owner": _("Account holder %(number)d"),
}


class CompanyChoice(LevelForm):
    """In which country the company is, and of which type: the upstream asks for other things by these two."""

    def __init__(
        self, *, options: Options, country: str, draft: Mapping[str, str] | None, data: Mapping[str, str] | None
    ) -> None:
        where, which = str(_("Country of the company")), str(_("Type of the company"))
        asked = (
            Element("country", where, Kind.CHOICE, saved=country, choices_from=COMPANY_COUNTRIES),
            Element("company_type", which, Kind.CHOICE, choices_from=COMPANY_TYPES),
        )
        super().__init__(asked, options=options, draft=draft, data=data)

    @property
    def chosen(self) -> tuple[str, str]:
        """(country, type) of a checked form."""
        country, company_type = (asked.value for asked in self.asked_elements)
        return country, company_type


class CompanyForm(LevelForm):
    """One of the five forms; people in it are rows that can be added and removed."""

    is_sectioned = True
    has_rows = True

    def __init__(
        self,
        element: Element,
        *,
        options: Options,
        received: Received,
        draft: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        files: MultiValueDict[str, UploadedFile[Any]] | None = None,
    ) -> None:
        self.code = element.code
        people, saved = company.saved_answers(element.code, element.saved)
        kept = draft if data is None else data
        self.people, self.version = _count(kept, people), _version(kept)
        labels = {key: str(label) for key, label in LABELS.items()}
        self._sections = company.sections(element.code, self.people, labels, saved)
        elements = [e for section in self._sections for e in section.elements]
        super().__init__(elements, options=options, received=received, draft=draft, data=data, files=files)

    @property
    def has_people(self) -> bool:
        return company.has_people(self.code)

    @property
    def may_add(self) -> bool:
        return self.has_people and self.people < company.MAX_ADDED

    @property
    def entered(self) -> dict[str, str]:
        return {**super().entered, ROWS: str(self.people), ROWS_VERSION: str(self.version)}

    @property
    def sections(self) -> Iterable[tuple[str, int | None, list[AskedElement]]]:
        """(heading, row of the person, elements) of each section of the page."""
        asked = iter(self.asked_elements)
        return [(self._heading(s), s.row, list(islice(asked, len(s.elements)))) for s in self._sections]

    def _heading(self, section: company.Section) -> str:
        return str(_SECTION_HEADINGS.get(section.key, "")) if section.row is None else self._person(section.row)

    def _person(self, row: int) -> str:
        return str(_PERSON_HEADINGS[self.code]) % {"number": row + 1}

    def named(self, asked: AskedElement) -> Text:
        """With the person: several are asked for the same."""
        row = asked.element.code.removeprefix(f"{self.code}-").partition("-")[0]
        return f"{self._person(int(row))}, {asked.label}" if self.has_people and row.isdecimal() else asked.label

    def first_of(self, row: int) -> int:
        """Where the elements of this person begin."""
        return sum(len(section.elements) for section in self._sections if section.row is not None and section.row < row)

    def check_one(self, asked: AskedElement) -> None:
        super().check_one(asked)
        if asked.errors or not asked.value:
            return
        key = asked.element.code.rpartition("-")[2]
        if key == "email":
            try:
                validate_email(asked.value)
            except ValidationError:
                asked.errors[""] = _("Enter an e-mail address, such as name@example.com.")
        elif key == "idNo" and not matches(self._document_pattern(asked), asked.value):
            asked.errors[""] = WRONG_NUMBER

    def _document_pattern(self, asked: AskedElement) -> str:
        """Of the kind of document that the same person has."""
        kind = self.find(asked.name.removesuffix("idNo") + "idType")
        return next((item.pattern for item in kind.options if item.code == kind.value), "") if kind else ""

    def answers(self) -> list[tuple[str, str]]:
        answers = super().answers()
        names = {
            asked.element.code: next((item.name for item in asked.options if item.code == asked.value), "")
            for asked in self.asked_elements
        }
        return [(self.code, company.assemble(self.code, self.people, dict(answers), names))]


def _count(data: Mapping[str, str] | None, saved: int) -> int:
    text = (data or {}).get(ROWS, "")
    people = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else saved if data is None else 1
    return min(max(people, 1), company.MAX_PEOPLE)


def _version(data: Mapping[str, str] | None) -> int:
    text = (data or {}).get(ROWS_VERSION, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def without_row(code: str, row: int, values: Mapping[str, str]) -> dict[str, str]:
    """The values by field without those of one person; whoever came behind moves up."""
    found, start = {}, f"el-{code}-"
    for name, value in values.items():
        number, dash, rest = name.removeprefix(start).partition("-")
        if name.startswith(start) and dash and number.isdecimal() and int(number) >= row:
            if int(number) > row:
                found[f"{start}{int(number) - 1}-{rest}"] = value
        else:
            found[name] = value
    return found
