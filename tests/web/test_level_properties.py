"""Whatever levels the upstream sends: every page is sound, can be filled in by its labels, and arrives as it should.

The lists are drawn as raw JSON, nonsense included. What they mean is read here once more and on its own, from
docs/upstream.md 4, so that the product meets another reading than its own.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.datastructures import MultiValueDict
from hypothesis import HealthCheck, Phase, assume, example, given, note, settings
from hypothesis import strategies as st
from PIL import Image

from onboarding.domain.levels import UPLOADS
from onboarding.kyc_forms import LevelForm
from onboarding.sandbox.server import Sandbox
from onboarding.upstream.reading import levels as levels_of
from onboarding.upstream.wire import DictionaryItem
from tests.form_reader import Field, faults, fields
from tests.support import Customer, Server, Shown, fresh_email, picture

# -- What the upstream may send ----------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [*"aZ09 _-~.:;=%&+#'\"\\/", "é", "中", "😀", "👩\u200d👩\u200d👧", "e\u0301", "א", "عربي", "\u202e", "\u2066",
     "\u200f", "\ufeff",
     "\n", "\r", "\r\n", "\t", "\0", "\x01", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\u2028", "\ud800", "\udfff",
     "\ufffe",
     "\U0001ffff", "<b>", "</form>", "<!--", "&amp;", "&#1;", "{{ x }}", "{% x %}", "' onclick='x", '" x="']
)  # fmt: skip
TEXTS = st.lists(PIECES, min_size=1, max_size=9).map("".join)
NONSENSE: st.SearchStrategy[Any] = st.sampled_from([None, "", " ", "x", 5, -1, 0.5, True, [], {}, [None], {"a": 1}])
NAMES = st.one_of(
    TEXTS, NONSENSE, st.sampled_from(["Full name", "<script>alert(1)</script>", "Név 名 שם", "\u202eeman", "n" * 300,
    "\u200b", 7])
)  # fmt: skip
COMPANY_CODES = [
    "company_basic_info", "company_upload_file", "company_auth_director", "company_auth_owner", "company_account_owner",
]  # fmt: skip
CODES = st.one_of(
    st.sampled_from(
        ["name", "name-kind", "name-number", "name~2", "twice", "phone", "occupation", "select_01", "id_card_type",
         "id_card_type-kind", "id_card_type-number", "handheld_identity_card", "proof_of_income", "level", "part",
         "rows",
         "draft", "-kind", "a" * 200, "中" * 200, "\n" * 200, 7, 12.0, "__proto__", "%0A", "\n"]
    ),
    TEXTS,
    NONSENSE,
)  # fmt: skip
PICTURES = {
    "front_identity_card": "identity_card", "back_identity_card": "identity_card", "proof_of_passpord": "passport",
    "proof_of_drive": "drving_license",
}  # fmt: skip
KINDS = {  # by `showType` in small letters
    "input": "text", "text": "text", "number": "text", "hologram": "text", "": "text", "textarea": "textarea",
    "multiline": "textarea", "date": "date", "select": "choice", "radio": "choice", "choice": "choice",
    "dropdown": "choice",
    "country": "country", "switch": "switch", "boolean": "switch", "yesno": "switch", "inputgroup": "group",
    "image": "upload", "face_photo": "upload", "file": "upload", "upload": "upload",
}  # fmt: skip
SHOW_TYPES = st.sampled_from([*KINDS, "inputGroup", "INPUT", " Date ", "hologram", "inputGroup", "image", None, 5])
SAMPLES = {  # a pattern, and what fits it; invalid and catastrophic ones must not keep anybody
    "": "", "^.+$": "", "([": "", "*": "", "a**": "", "(?#x)": "", "\\": "", "[z-a]": "", "(" * 2100: "",
    "^[A-Z]{2}\\d{4}$": "AB1234", "/^ab+$/i": "ABBB", "\\d": "a1", "^(?=.*\\d)(?!0)[a-z0-9]+$": "x1", "(?<=a)b": "ab",
    "^\\p{L}+$": "Äx", "^(a+)+$": "aaaa", "^(a|a)*\\1?$": "aaaa", "^(([a-z])+.)+[A-Z](\\2)+$": "abbAb",
}  # fmt: skip
DATE_PATTERNS = ["", "^\\d{4}-\\d{2}-\\d{2}$", "([", "^(?!0)[-0-9]+$", "^(\\d+-?)+$", "/^[0-9-]*$/i"]
DOCUMENTS = ["identity_card", "passport", "drving_license"]
SAVED: dict[str, list[Any]] = {  # right ones first
    "text": ["Saved <one> & \"two\" 'é' 😀", "שלום \u202e x", 7, "x" * 3000, "a\x01b\x7f", "\ud800", "a\nb"],
    "textarea": ["Saved\nline", "\n\nx", "</textarea><b>", "x" * 3000, "a\x01b\x0c"],
    "date": ["642902400000", -86400000, 642902400000, "x", "9" * 40, 10**15, "-" + "9" * 5000, "0.5", "1990-05-17"],
    "choice": ["student", "first", "nothing", 1],
    "country": ["ES", "XX", "other"],
    "switch": ["true", "false", "TRUE", 1, "0", "maybe"],
    "group": ["x"],
    "upload": ["https://up.example/<x>.png", 'https://up.example/" x="', "nonsense", "javascript:alert(1)"],
    "company": [
        json.dumps({"list": [{"firstName": "Sävéd <1>"}, {"firstName": "Saved 2", "birthDay": 642902400000}]}),
        json.dumps({"accountInfo": {"companyName": "Sävéd & Co", "createTime": 642902400000}, "websit": "N/A"}),
        '{"accountInfo": {"companyName": "\\ud800", "regNo": "\\u0000\\u0001"}, "websit": "\\ud800"}', "[1]", "{",
        "7" * 5000,
        '{"list": 7, "accountInfo": [], "regAddress": {"regCity": null, "regStreet": {}}}', "[" * 100_000,
        json.dumps({"list": [None, {"firstName": [], "main": 5, "birthDay": 10**400 // 10**385}] * 30}),
    ],
}  # fmt: skip


def said(value: Any) -> str:
    """What a value of the upstream's JSON says: text without what no database holds; whole numbers as text."""
    if isinstance(value, str):
        return "".join(ch for ch in value if ch != "\0" and unicodedata.category(ch) != "Cs")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(int(value)) if float(value).is_integer() else str(value)


def kind_of(show_type: Any, code: Any) -> str:
    word = said(show_type).strip().lower()
    known = word in KINDS and word not in ("", "hologram")
    return KINDS[word] if known else "company" if said(code) in COMPANY_CODES else "text"


@st.composite
def raw_elements(draw: st.DrawFn) -> dict[str, Any]:
    show = draw(SHOW_TYPES)
    code = draw(CODES)
    if kind_of(show, code) == "upload" and draw(st.integers(0, 2)):
        code = draw(st.sampled_from(sorted(PICTURES)))
    kind = kind_of(show, code)
    patterns = DATE_PATTERNS if kind == "date" else sorted(SAMPLES)
    item = {
        "elementCode": code,
        "elementName": draw(NAMES),
        "showType": show,
        "extend": draw(st.one_of(st.sampled_from(patterns), NONSENSE if kind not in ("date",) else st.none())),
        "elementValue": draw(st.one_of(st.sampled_from(SAVED[kind]), NONSENSE)),
        "elementCodeInputGroup": draw(st.sampled_from([None, "", "passport", "identity_card", "visa", 5, []])),
        "elementValueInputGroup": draw(st.sampled_from([None, "", "E7654321", "?" * 600, 5, {}])),
        "sort": 1,
    }
    if "extend" in item and said(item["extend"]) not in SAMPLES and kind != "date":
        item["extend"] = None
    for key in draw(
        st.sets(st.sampled_from(["elementName", "extend", "elementValue", "elementCodeInputGroup"]), max_size=1)
    ):
        del item[key]
    return item


def raw_company_elements() -> st.SearchStrategy[dict[str, Any]]:
    values = st.one_of(st.sampled_from(SAVED["company"]), NONSENSE)
    code = st.sampled_from(COMPANY_CODES)
    return st.fixed_dictionaries(
        {"elementCode": code, "showType": st.none(), "elementName": NAMES, "elementValue": values}
    )


ELEMENT_LISTS = st.one_of(
    st.lists(st.one_of(raw_elements(), raw_elements(), raw_elements(), NONSENSE), min_size=1, max_size=9),
    st.lists(st.one_of(raw_elements(), raw_elements()), min_size=2, max_size=6),
    st.lists(st.one_of(raw_company_elements(), raw_elements()), min_size=1, max_size=3),
    st.sampled_from([None, [], "x", {}, [None], [{}]]),
)
LEVEL_CODES = st.one_of(
    st.sampled_from(["level_1", "level_1", "level_2", "level_2", "L 3", "l\n3", 4, "x" * 200, "x" * 201]),
    TEXTS,
    NONSENSE,
)
PATH_CODES = st.one_of(st.sampled_from(["P1", "P2", "P\n2", 3, "/path"]), TEXTS, NONSENSE)


@st.composite
def raw_entries(draw: st.DrawFn) -> dict[str, Any]:
    item = {
        "levelCode": draw(LEVEL_CODES),
        "levelName": draw(NAMES),
        "openAccountType": draw(st.sampled_from([0, 0, 0, None, "0", "x", 1])),
        "pathCode": draw(PATH_CODES),
        "pathName": draw(NAMES),
        "elementList": draw(ELEMENT_LISTS),
    }
    if not draw(st.integers(0, 4)):
        del item[draw(st.sampled_from(["levelName", "openAccountType", "pathCode", "pathName", "elementList"]))]
    return item


LISTS = st.one_of(
    st.lists(st.one_of(raw_entries(), raw_entries(), raw_entries(), NONSENSE), min_size=1, max_size=4),
    st.lists(raw_entries(), min_size=1, max_size=3),
)


# -- What that means ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    code: str
    name: str
    kind: str
    raw: dict[str, Any]

    @property
    def sample(self) -> str:
        return SAMPLES.get(said(self.raw.get("extend")), "")

    @property
    def saved(self) -> str:
        return said(self.raw.get("elementValue"))

    @property
    def saved_kind(self) -> str:
        return said(self.raw.get("elementCodeInputGroup"))

    @property
    def document(self) -> str:
        return PICTURES.get(self.code, "") if self.kind == "upload" else ""


@dataclass
class Way:
    """A path through a level."""

    code: str
    name: str
    elements: list[Asked]


@dataclass
class Asks:
    """A level."""

    code: str
    account_type: int
    ways: list[Way]


def flat(code: str) -> str:
    """As a code comes back from a browser, or better: without all that could come back in another way."""
    kept = "".join(ch if not unpresentable(ch) else "" for ch in code)
    return " ".join(kept.split())


def unpresentable(ch: str) -> bool:
    """What a page cannot hold: control characters other than blanks and line breaks, and what is no character."""
    code = ord(ch)
    control = unicodedata.category(ch) == "Cc" and ch not in "\t\n\r"
    return control or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def type_of(entry: dict[str, Any], own: int) -> int:
    text = said(entry.get("openAccountType"))
    return int(text) if text in ("0", "1", "-1", "5") else own


def elements_of(entry: dict[str, Any]) -> list[Asked]:
    items = entry.get("elementList")
    found = []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and (code := said(item.get("elementCode"))):
            kind = kind_of(item.get("showType"), code)
            found.append(Asked(code, said(item.get("elementName")) or code, kind, item))
    return found


def read(entries: list[Any], own: int) -> list[Asks]:
    """The levels that this customer has to answer, in their order."""
    objects = [entry for entry in entries if isinstance(entry, dict)]
    ours = [entry for entry in objects if type_of(entry, own) == own] or objects
    levels: dict[str, Asks] = {}
    for entry in ours:
        code = said(entry.get("levelCode"))
        if code and len(code) <= 200:
            level = levels.setdefault(code, Asks(code, type_of(entry, own), []))
            if elements := elements_of(entry):
                way = next((w for w in level.ways if flat(w.code) == flat(said(entry.get("pathCode")))), None)
                if way is None:
                    way = Way(said(entry.get("pathCode")), said(entry.get("pathName")), [])
                    level.ways.append(way)
                way.elements += elements
    return list(levels.values())


def arranged(elements: list[Asked]) -> list[Asked]:
    """As the page asks: a question asked twice is asked once, pictures of documents stand behind the document."""
    found: dict[tuple[str, str, str], Asked] = {}
    for element in elements:
        found.setdefault((element.code, element.kind, element.name), element)
    once = list(found.values())
    group = next((one for one in once if one.kind == "group"), None)
    if group is None:
        return once
    others = [one for one in once if not one.document]
    at = others.index(group) + 1
    return others[:at] + [one for one in once if one.document] + others[at:]


def applying(elements: list[Asked], documents: set[str]) -> list[Asked]:
    has_group = any(one.kind == "group" for one in elements)
    return [one for one in elements if not has_group or one.document in {"", *documents}]


# -- Filling it in -----------------------------------------------------------------------------------------------------

Expected = tuple[str, Callable[[str], bool]]  # element code, and whether the value is the right one


@dataclass
class Walker:
    """Fills in whatever is asked, by the labels, and notes what has to arrive."""

    customer: Customer
    sandbox: Sandbox
    levels: list[Asks]
    chance: Any
    arrives: dict[str, list[Expected]]
    ways: dict[str, Way]
    pages: list[Shown]

    def __post_init__(self) -> None:
        self.numbers = itertools.count(1)

    @property
    def shown(self) -> Shown:
        return self.customer.shown

    def look(self) -> Shown:
        """What is on the page is sound."""
        shown = self.shown
        self.pages.append(shown)
        assert (shown.status, shown.problem) == (200, ""), (shown.status, shown.problem, shown.summary)
        assert faults(shown) == []
        return shown

    def walk(self) -> None:
        for _ in range(80):
            self.customer.wait()
            shown = self.look()
            if shown.step == "done":
                return
            level = next((one for one in self.levels if flat(one.code) == flat(shown.level)), None)
            assert level is not None and level.code not in self.arrives, (shown.step, shown.level)
            if shown.step == "path":
                self.choose_way(level)
            else:
                self.answer(level)
        raise AssertionError("there is no end to it")

    def post(self, step: str, data: dict[str, str], files: dict[str, Any]) -> Shown:
        sent = {name: value.replace("\r\n", "\n").replace("\n", "\r\n") for name, value in data.items()}
        return self.customer.post(f"{self.customer.flow_url}{step}/", sent, files=files or None)

    def choose_way(self, level: Asks) -> None:
        (choice,) = [one for one in fields(self.shown, "other") if one.name == "path"]
        assert len(choice.choices) == len(level.ways)
        number = self.chance.randrange(len(level.ways))
        self.ways[level.code] = level.ways[number]
        self.post("path", {"path": choice.choices[number]}, {})
        assert self.shown.step == "level"

    def answer(self, level: Asks) -> None:
        page = fields(self.shown)
        data = {one.name: one.value for one in page if one.type == "hidden"}
        if data["part"] == "company":
            names = {one.label: one for one in page}
            country, which = names["Country of the company"], names["Type of the company"]
            data |= {country.name: "ES", which.name: which.choices[-1]}
            self.post("level", data, {})
            assert fields(self.shown)[1:3] != page[1:3] or self.shown.step != "level", self.shown.summary
            return
        if level.code not in self.ways:
            (self.ways[level.code],) = level.ways
        asked = self.ways[level.code].elements
        expected = self.arrives.setdefault("?" + level.code, [])
        files: dict[str, Any] = {}
        if data["part"] == "declaration":
            (tick,) = [one for one in page if one.type == "checkbox"]
            data[tick.name] = "on"
        elif data["part"] in COMPANY_CODES:
            code = data["part"]
            element = next(one for one in asked if one.code == code and one.kind == "company")
            expected += [self.company(code, element, page, data, files)]
        else:
            asked = [one for one in asked if one.kind != "company"]
            expected += self.ordinary(arranged(asked), data, files)
        was = (self.shown.level, data["part"])
        shown = self.post("level", data, files)
        assert shown.status == 200, (shown.status, shown.problem, shown.summary, shown.errors)
        self.customer.wait()
        page = fields(self.shown)
        now = (self.shown.level, page[2].value if self.shown.step == "level" else "")
        assert self.shown.step in ("done", "path") or was != now, "the same page again"
        if data["part"] in ("", "declaration"):
            self.arrives[level.code] = self.arrives.pop("?" + level.code)

    def ordinary(self, asked: list[Asked], data: dict[str, str], files: dict[str, Any]) -> list[Expected]:
        """Fills in the elements; gives what has to arrive of them."""
        groups = [one for one in asked if one.kind == "group"]
        found = matched(applying(asked, {one.saved_kind for one in groups}), self.shown)
        for one, controls in found:
            check_prefilled(one, controls)
        chosen: dict[int, str] = {id(one): DOCUMENTS[self.chance.randrange(3)] for one in groups}
        if groups and any(one.document for one in asked):
            kinds = {controls[0].name: chosen[id(one)] for one, controls in found if one.kind == "group"}
            shown = self.post("level", {**data, **kinds, "choose": "1"}, {})
            assert shown.summary == []
            self.look()
        found = matched(applying(asked, set(chosen.values())), self.shown)
        return [self.fill(one, controls, chosen.get(id(one), ""), data, files) for one, controls in found]

    def fill(
        self, one: Asked, controls: list[Field], document: str, data: dict[str, str], files: dict[str, Any]
    ) -> Expected:
        first, number = controls[0], next(self.numbers)
        match one.kind:
            case "group":
                data |= {first.name: document, controls[1].name: f"E{number:07}"}
                return document, lambda value: value == f"E{number:07}"
            case "upload":
                if one.saved.startswith("https:") and number % 2:
                    return one.code, lambda value: value == one.saved
                files[first.name] = (f"<{number}>.png", picture(20 + number, 9), "image/png")
                return one.code, self.is_picture(20 + number)
            case "date":
                day = date(1931, 1, 1) + timedelta(days=37 * number)
                data[first.name] = day.isoformat()
                return one.code, lambda value: value == str((day - date(1970, 1, 1)).days * 86_400_000)
            case "switch":
                data[first.name] = ["true", "false"][number % 2]
            case "choice" | "country" if first.type == "select":
                choices = [choice for choice in first.choices if choice]
                data[first.name] = choices[number % len(choices)]
            case "textarea":
                data[first.name] = one.sample or f'Line <1>\nLine & "{number}" \\ é 😀 \u202e'
            case _:
                data[first.name] = one.sample or f'Ann <b> & "{number}" \\ é 😀 {{{{ x }}}} \u202e x'
        entered = data[first.name]
        return one.code, lambda value: value == entered

    def is_picture(self, width: int) -> Callable[[str], bool]:
        """Whether a value is the address of the picture with this width."""

        def check(value: str) -> bool:
            start, _, name = value.partition("/files/")
            stored = self.sandbox.state.files.get(name)
            return (
                start == self.sandbox.url
                and stored is not None
                and Image.open(io.BytesIO(stored.content)).width == width
            )

        return check

    def company(
        self, code: str, element: Asked, page: list[Field], data: dict[str, str], files: dict[str, Any]
    ) -> Expected:
        controls = [one for one in page if one.name.startswith("el-") and one.type != "hidden"]
        whole: dict[str, Any] = {}
        if 'firstName": "S' in element.saved and code in COMPANY_CODES[2:]:
            assert [one.value for one in controls if one.label == "First name"] == ["S\u00e4v\u00e9d <1>", "Saved 2"]
        rows: list[dict[str, Any]] = []
        for control in controls:
            found = [key for key, label in LABELS.items() if control.label == label]
            assert len(found) == 1, (control, found)
            key = found[0]
            value, beside = self.datum(key, control, data, files)
            if value is None:
                continue
            if key in PERSON and code in COMPANY_CODES[2:]:
                row = int(control.group.split()[-1]) if control.type != "radio" else len(rows)
                rows += [{} for _ in range(row - len(rows))]
                rows[row - 1] |= {key: value, **beside}
            else:
                place = PLACES.get(key)
                (whole.setdefault(place, {}) if place else whole).update({key: value, **beside})
        if code in COMPANY_CODES[2:]:
            whole["list"] = rows
            assert len(rows) == int(data["rows"])
        return code, lambda value: same(json.loads(value), whole)

    def datum(
        self, key: str, control: Field, data: dict[str, str], files: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """What arrives under the key, and beside it."""
        number = next(self.numbers)
        beside: dict[str, Any] = {}
        if control.type == "file":
            if key == "furtherInfo" and number % 2:
                return None, beside
            files[control.name] = (f"{number}.png", picture(20 + number, 9), "image/png")
            return self.is_picture(20 + number), beside
        if control.type == "date":
            data[control.name] = "1969-12-31"
            return -86_400_000, beside
        if control.type == "radio":
            data[control.name] = ["true", "false"][number % 2]
            return number % 2 == 0, beside
        if control.type == "select":
            pairs = [pair for pair in zip(control.choices, control.choice_names, strict=True) if pair[0]]
            data[control.name], name = pairs[number % len(pairs)]
            return data[control.name], {key + "Name": name}
        special = {
            "email": f"jo{number}@example.org",
            "idNo": f"E{number:07}",
            "area": "+44",
            "phone": f"7400{number:06}",
        }
        data[control.name] = special.get(key, f"<{number}> é 😀")
        return data[control.name], beside


def same(got: Any, wanted: Any) -> bool:
    if callable(wanted):
        return isinstance(got, str) and bool(wanted(got))
    if isinstance(wanted, dict):
        return isinstance(got, dict) and got.keys() == wanted.keys() and all(same(got[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return isinstance(got, list) and len(got) == len(wanted) and all(map(same, got, wanted))
    return type(got) is type(wanted) and bool(got == wanted)


PERSON = {
    "firstName": "First name", "lastname": "Last name", "birthDay": "Date of birth", "address": "Country of residence",
    "email": "E-mail address", "idType": "Kind of document", "idNo": "Number of the document",
    "issued": "Country that issued the document", "documents": "Picture or PDF of the document",
    "photo": "Photo of this person", "main": "Yes",
}  # fmt: skip
LABELS = PERSON | {
    "companyName": "Name of the company", "regNo": "Registration number", "createTime": "Date of registration",
    "area": "Country code of the phone number, such as +44", "phone": "Phone number of the company",
    "resource": "Where the money comes from", "nature": "Kind of business", "reason": "What the account is for",
    "regCountry": "Country of the registered address", "regCity": "Town or city of the registered address",
    "regStreet": "Street and number of the registered address", "opertionCountry": "Country of the business address",
    "opertionCity": "Town or city of the business address",
    "opertionStreet": "Street and number of the business address",
    "regCertificate": "Certificate of registration", "policy": "Articles of association",
    "directorsList": "List of the directors",
    "directorsList2": "List of the directors (second file)",
    "structure": "Ownership structure", "sanctionsQues": "Questionnaire on sanctions",
    "authorizationLetter": "Letter of authorisation", "businessConditions": "Description of the business",
    "intermediateShareholders": "List of intermediate shareholders",
    "furtherInfo": "Other documents (may be left out)", "websit": "Website (N/A if there is none)",
    "mainAccount": "Photo of the main account holder holding the document",
}  # fmt: skip
PLACES = {
    **dict.fromkeys(
        ("companyName", "regNo", "createTime", "area", "phone", "resource", "nature", "reason"), "accountInfo"
    ),
    **dict.fromkeys(("regCountry", "regCity", "regStreet"), "regAddress"),
    **dict.fromkeys(("opertionCountry", "opertionCity", "opertionStreet"), "opertion"),
}
TYPES = {
    "text": {"text", "tel"}, "textarea": {"textarea"}, "date": {"date"}, "switch": {"radio"}, "group": {"select"},
    "upload": {"file"}, "choice": {"select", "text", "tel"}, "country": {"select"},
}  # fmt: skip


def matched(asked: list[Asked], shown: Shown) -> list[tuple[Asked, list[Field]]]:
    """Each element with its controls on the page, which are known by their labels and kinds, in their order."""
    controls = iter([one for one in fields(shown) if one.name.startswith("el-") and one.type != "hidden"])
    found = []
    for one in asked:
        mine = list(itertools.islice(controls, 2 if one.kind == "group" else 1))
        assert mine and mine[0].type in TYPES[one.kind], (one, mine)
        label = mine[0].group if one.kind in ("group", "switch") else mine[0].label
        wanted = next((text for text in map(flat, (one.name, one.code)) if is_visible(text)), "")
        assert wanted in flat(label) and is_visible(label), (one, label)
        found.append((one, mine))
    assert not list(controls), "a control that nobody asked for"
    return found


def is_visible(text: str) -> bool:
    return any(unicodedata.category(ch)[0] not in "ZC" for ch in text)


def check_prefilled(one: Asked, controls: list[Field]) -> None:
    """What is saved and right is on the page."""
    value = controls[0].value
    match one.kind:
        case "text" if one.saved.startswith("Saved"):
            assert value == one.saved
        case "textarea" if one.saved in ("Saved\nline", "\n\nx"):
            assert value == one.saved
        case "date" if one.saved in ("642902400000", "-86400000"):
            assert value == {"6": "1990-05-17", "-": "1969-12-31"}[one.saved[0]]
        case "country" if one.saved == "ES":
            assert value == "ES"
        case "choice" if one.saved in controls[0].choices:
            assert value == one.saved
        case "switch" if one.saved.lower() in ("true", "1", "false", "0"):
            assert value == ("true" if one.saved.lower() in ("true", "1") else "false")
        case "group":
            if one.saved_kind in DOCUMENTS:
                assert value == one.saved_kind
            if said(one.raw.get("elementValueInputGroup")) == "E7654321":
                assert controls[1].value == "E7654321"
        case _:
            pass


# -- The properties ----------------------------------------------------------------------------------------------------

often = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # an example takes a second: nobody waits for smaller ones
    report_multiple_bugs=False,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)


def register(server: Server, sandbox: Sandbox, entries: list[Any], own: int) -> Customer:
    email = fresh_email()
    sandbox.ask(email, entries)
    customer = Customer(server, sandbox)
    customer.register(email=email, account_type=["individual", "enterprise"][own])
    return customer


def is_clear(entries: list[Any], own: int) -> bool:
    """Whether docs/upstream.md says what the list means.

    A level without elements is asked for again; what its entries of another account type mean then is not said.
    """
    levels = read(entries, own)
    unknown = {one.code for one in levels if not one.ways}
    others = {
        said(e.get("levelCode")) for e in entries if isinstance(e, dict) and type_of(e, own) != own and elements_of(e)
    }
    distinct = {flat(one.code) for one in levels}
    if own and any(isinstance(entry, dict) and entry.get("openAccountType") == "0" for entry in entries):
        return False  # the sandbox takes a number in text for no number, and opens the level later
    return not unknown & others and len(distinct) == len(levels)


def raw(code: str, show: str | None, saved: Any = None, **more: Any) -> dict[str, Any]:
    return {"elementCode": code, "elementName": f"<{code}>", "showType": show, "elementValue": saved, **more}


EVERY_KIND = [
    *(raw(f"{kind}_{i}", kind, saved) for kind, values in SAVED.items() for i, saved in enumerate(values)
      if kind in ("text", "textarea", "date", "country", "switch")),
    raw("occupation", "select", "student"), raw("nothing", "select", "student"),
    raw("id_card_type", "inputGroup", elementCodeInputGroup="passport", elementValueInputGroup="E7654321"),
    raw("id_card_type", "inputGroup", elementName="Another"), raw("id_card_type-kind", "input"),
    *(raw(code, "image", SAVED["upload"][0]) for code in PICTURES), raw("face", "face_photo"), raw("proof", "file"),
]  # fmt: skip
EVERY_FORM = [raw(code, None, SAVED["company"][i < 2]) for i, code in enumerate(COMPANY_CODES)]


@settings(often, max_examples=70)
@given(LISTS, st.sampled_from([0, 0, 0, 1]), st.randoms(use_true_random=False))
@example([{"levelCode": "level_1", "pathCode": "P1", "elementList": EVERY_KIND}], 0, Random(1))
@example([{"levelCode": "level_1", "pathCode": "P1", "elementList": [*EVERY_FORM, *EVERY_KIND[-8:]]}], 1, Random(2))
def test_whatever_is_asked_can_be_answered_and_arrives_as_it_should(
    server: Server, sandbox: Sandbox, entries: list[Any], own: int, chance: Any
) -> None:
    assume(is_clear(entries, own))
    note(json.dumps(entries))
    levels = read(entries, own)
    walker = Walker(register(server, sandbox, entries, own), sandbox, levels, chance, {}, {}, [])
    walker.walk()
    finals = final_applications(sandbox, walker.customer)
    wanted = [one for one in levels if one.ways]
    assert [one["levelCode"] for one in finals] == [one.code for one in wanted]
    for level, final in zip(wanted, finals, strict=True):
        body = final["body"]
        assert body["openAccountType"] == level.account_type
        assert body.get("pathCode", "") == walker.ways[level.code].code
        got = [(one["elementCode"], one["elementValue"]) for one in body["elementList"]]
        assert [code for code, _ in got] == [code for code, _ in walker.arrives[level.code]]
        for (code, value), (_, is_right) in zip(got, walker.arrives[level.code], strict=True):
            assert is_right(value), (code, value)


def final_applications(sandbox: Sandbox, customer: Customer) -> list[dict[str, Any]]:
    """What was handed in of this customer, the first one first."""
    email = customer.sent["email"]
    (entry,) = [one for one in sandbox.registrations() if one["body"]["loginName"] == email]
    found = [one for one in sandbox.applications() if one["customerNo"] == entry["customerNo"] and not one["draft"]]
    return found[::-1]


# -- Garbage -----------------------------------------------------------------------------------------------------------

GARBAGE = st.one_of(
    st.sampled_from(["", " ", "\0", "x", "true", "passport", "1990-05-17", "9999-99-99", "0001-01-01", "-1", "²",
                     "9" * 5000, "\ud800", "a\x01b", "\r\n", "é" * 501, "x" * 2001, "x" * 40_000, "<b>", "../..",
                     "GB"]),
    TEXTS,
)  # fmt: skip
FILES = st.sampled_from([
    b"", b"hello", b"GIF89a", b"\xff\xd8\xff", b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"\0" * 90_000, picture(),
])  # fmt: skip
ODD_FIELDS = st.sampled_from(
    ["level", "part", "rows", "declare", "path", "choose", "draft", "handover", "add-", "add-company_auth_owner",
     "add-x", "remove-", "remove-company_auth_owner-0", "remove-company_auth_owner-²",
     "remove-company_auth_owner-" + "9" * 5000,
     "remove-x-١", "field", "el-", "el-name", "el-~2", "", "\0", "x" * 3000, "nothing", "skip", "code"]
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, data: dict[str, str]) -> tuple[list[tuple[str, str]], list[tuple[str, Any]]]:
    """A right answer with things missing, added, repeated and replaced: fields and files."""
    names = st.sampled_from(sorted(data)) if data else ODD_FIELDS
    fields_, files = list(data.items()), []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.one_of(names, names, ODD_FIELDS, GARBAGE.filter(lambda text: len(text) < 5000)))
        match draw(st.sampled_from(["missing", "extra", "replaced", "replaced", "file", "instead"])):
            case "missing":
                fields_ = [pair for pair in fields_ if pair[0] != name]
            case "extra":
                fields_.append((name, draw(GARBAGE)))
            case "replaced":
                fields_ = [pair for pair in fields_ if pair[0] != name] + [(name, draw(GARBAGE))]
            case "file":
                files.append(
                    (said(name), ("photo.png", draw(FILES), draw(st.sampled_from(["image/png", "text/html"]))))
                )
            case _:
                fields_ = [pair for pair in fields_ if pair[0] != name]
                files.append((said(name), ("photo.png", draw(FILES), "image/png")))
    return fields_, files


def encodable(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@settings(often, max_examples=50)
@given(LISTS, st.sampled_from([0, 0, 0, 1]), st.data())
def test_garbage_is_answered_with_a_page_and_never_handed_in(
    server: Server, sandbox: Sandbox, entries: list[Any], own: int, data: st.DataObject
) -> None:
    levels = read(entries, own)
    assume(is_clear(entries, own) and any(one.ways for one in levels))
    note(json.dumps(entries))
    customer = register(server, sandbox, entries, own)
    for _ in range(data.draw(st.integers(2, 5), label="posts")):
        step = data.draw(st.sampled_from(["level", "level", "level", "path", "upload", "verify"]), label="step")
        spoilt_fields, files = data.draw(spoilt(something(customer.shown)), label="garbage")
        sent = [(encodable(said(name)), encodable(value)) for name, value in spoilt_fields]
        url = f"{customer.flow_url}{step}/"
        response = customer.session.post(url, data=sent, files=files or None, timeout=60, allow_redirects=False)
        too_long = files and any(len(name) > 400 for name, _ in [*sent, *((encodable(name), 0) for name, _ in files)])
        right = {400, 413} if too_long else {200, 303, 409, 413, 422}  # 400: no library reads such a part
        assert response.status_code in right, (response.status_code, step)
        if response.status_code != 303:
            shown = Shown(response)
            assert shown.step or step == "upload", response.text[:300]
            assert [one for one in faults(shown) if step != "upload"] == []
        assert customer.get(customer.flow_url).status == 200
        assert faults(customer.shown) == []
    for final in final_applications(sandbox, customer):
        check_handed_in(final["body"], levels, sandbox)


def something(shown: Shown) -> dict[str, str]:
    """Something right for every control of the page, near enough."""
    found: dict[str, str] = {}
    for one in fields(shown):
        if one.type in ("hidden", "text", "tel", "textarea", "date", "radio", "select", "checkbox") and one.name:
            sample = {"date": "1990-05-17", "radio": "true", "checkbox": "on", "select": (one.choices or [""])[-1]}
            found[one.name] = one.value if one.type == "hidden" else one.value or sample.get(one.type, "E1234567")
    return found


def check_handed_in(body: dict[str, Any], levels: list[Asks], sandbox: Sandbox) -> None:
    """Whatever garbage was sent before: what was handed in is complete and right."""
    (level,) = [one for one in levels if one.code == body["levelCode"]]
    (way,) = [one for one in level.ways if one.code == body.get("pathCode", "")]
    got = [(one["elementCode"], one["elementValue"]) for one in body["elementList"]]
    asked = arranged([one for one in way.elements if one.kind != "company"])
    documents = {code for code, _ in got} & set(DOCUMENTS)
    forms = list(dict.fromkeys(one.code for one in way.elements if one.kind == "company"))
    wanted = applying(asked, documents)
    assert len(got) == len(forms) + len(wanted)
    assert [code for code, _ in got[: len(forms)]] == forms
    for one, (code, value) in zip(wanted, got[len(forms) :], strict=True):
        assert code in DOCUMENTS if one.kind == "group" else code == one.code
        assert is_possible(one, value, sandbox), (one, value)


def is_possible(one: Asked, value: str, sandbox: Sandbox) -> bool:
    match one.kind:
        case "date":
            return re.fullmatch(r"-?\d{1,14}", value) is not None and int(value) % 86_400_000 == 0
        case "switch":
            return value in ("true", "false")
        case "country":
            return re.fullmatch("[A-Z]{2}", value) is not None
        case "group":
            return re.fullmatch("[A-Za-z0-9-]{5,20}", value) is not None
        case "upload":
            return value == one.saved or value.startswith(sandbox.url + "/files/")
        case _:
            return 0 < len(value.strip()) <= (2000 if one.kind == "textarea" else 500) and "\0" not in value


# -- The form alone ----------------------------------------------------------------------------------------------------

OPTIONS = [DictionaryItem(code, code.upper(), "^[A-Z0-9]+$") for code in DOCUMENTS]


@settings(often, max_examples=150, phases=list(Phase))
@given(st.lists(raw_elements(), max_size=12), st.data())
def test_a_form_takes_anything_and_encodes_what_is_right(elements: list[Any], data: st.DataObject) -> None:
    (level,) = levels_of([{"levelCode": "a", "elementList": elements}], 0) or [None]
    assume(level is not None and level.paths)
    assert level is not None
    asked = level.paths[0].elements

    def options(_dictionary: str) -> list[DictionaryItem]:
        return OPTIONS

    empty = LevelForm(asked, options=options)
    names = [one.name + part for one in empty.asked_elements for part in one.rule.parts]
    ids = [one.id + part for one in empty.asked_elements for part in one.rule.parts]
    assert len(set(names)) == len(names) and len(set(ids)) == len(ids)
    assert all(name.isprintable() and len(name.encode()) < 500 and not set('"\\') & set(name) for name in names)
    given_texts = st.one_of(GARBAGE, st.sampled_from(["1990-05-17", "passport", "AB1234", "true", "x1", "abbAb"]))
    entered = {name: data.draw(given_texts) for name in names}
    given_files = {
        name: [SimpleUploadedFile("x.png", data.draw(FILES), "image/png")] for name in names if data.draw(st.booleans())
    }
    form = LevelForm(asked, options=options, data=entered, files=MultiValueDict(given_files))
    is_right = form.check()
    assert is_right == (not form.errors) and all(str(text) for _id, text in form.errors)
    assert {one.name for one in form.new_files()} <= {q.name for q in form.asked_elements if q.element.kind in UPLOADS}
    for one in form.new_files():
        one.upload = {"url": "https://up.example/1", "name": "x"}
    assert all(isinstance(code, str) and isinstance(value, str) for code, value in form.answers())
    if is_right:
        assert len(form.answers()) == len(form.applicable)
        again = LevelForm(asked, options=options, data=form.entered)
        assert again.entered == form.entered, "what is kept comes back as it was"


# -- What the properties found, and what they do not reach -------------------------------------------------------------


def ask(server: Server, sandbox: Sandbox, *elements: dict[str, Any], **entry: Any) -> Customer:
    return register(server, sandbox, [{"levelCode": "level_1", "elementList": list(elements), **entry}], 0)


def post(customer: Customer, data: dict[str, str], files: dict[str, Any] | None = None, step: str = "level") -> Shown:
    return customer.post(f"{customer.flow_url}{step}/", {"level": "level_1", **data}, files=files)


NAME = {"elementCode": "name", "elementName": "Name", "showType": "input"}
PHOTO = {"elementCode": "proof_of_passpord", "elementName": "Passport", "showType": "image"}


def test_a_file_under_the_name_of_a_text_is_not_taken(server: Server, sandbox: Sandbox) -> None:
    customer = ask(server, sandbox, NAME, PHOTO)
    file = {"el-name": ("photo.png", picture(), "image/png")}
    assert post(customer, {"field": "el-name", "el-name": "Ann"}, file, step="upload").status == 409
    assert post(customer, {"el-name": "Ann"}, file).summary == ["Passport: Add this picture."]
    assert post(customer, {"el-name": "Ann"}, {"el-proof_of_passpord": file["el-name"]}).step == "done"


@pytest.mark.parametrize("row", ["2", "99", "9" * 5000, "-1", "\u0661", ""])
def test_a_button_for_nobody_takes_nobody_away(server: Server, sandbox: Sandbox, row: str) -> None:
    people = json.dumps({"list": [{"firstName": "Jo"}, {"firstName": "Kim"}]})
    customer = ask(server, sandbox, {"elementCode": "company_auth_owner", "elementValue": people})
    data = {one.name: one.value for one in fields(customer.shown) if one.type in ("hidden", "text")}
    shown = post(customer, {**data, f"remove-company_auth_owner-{row}": "1"})
    assert (shown.status, shown.value("rows")) == (200, "2")
    shown = post(customer, {**data, "remove-company_auth_owner-0": "1"})
    assert shown.value("el-company_auth_owner-0-firstName") == "Kim"


def test_what_is_saved_of_a_form_may_hold_half_a_character(server: Server, sandbox: Sandbox) -> None:
    saved = '{"regCertificate": "https://up.example/\\ud800", "websit": "a\\u0000\\u0001\\ud800b"}'
    customer = ask(server, sandbox, {"elementCode": "company_upload_file", "elementValue": saved})
    assert (customer.shown.status, customer.shown.value("el-company_upload_file-websit")) == (200, "ab")


def test_an_unknown_account_type_is_taken_for_the_customers_own(server: Server, sandbox: Sandbox) -> None:
    customer = ask(server, sandbox, NAME, openAccountType=2)
    assert post(customer, {"el-name": "Ann"}).step == "done"
    assert final_applications(sandbox, customer)[0]["body"]["openAccountType"] == 0


def test_what_has_no_name_that_can_be_read_is_called_something(server: Server, sandbox: Sandbox) -> None:
    blank = [
        {"elementCode": code, "elementName": "\u200b", "showType": "input"} for code in ("\u202e", "\x01", " ", "x")
    ]
    ways = [{"levelCode": "a", "pathCode": code, "pathName": "\u2066", "elementList": blank} for code in ("\x02", "P")]
    customer = register(server, sandbox, ways, 0)
    assert faults(customer.shown) == []
    assert re.findall(r"<span><bdi>(.*?)</bdi></span>", customer.shown.text) == ["1", "P"]
    post(customer, {"level": "a", "path": "P"}, step="path")
    assert faults(customer.shown) == []
    assert [one.label for one in fields(customer.shown) if one.label] == [*["Further details"] * 3, "x"]


def test_no_pattern_holds_up_a_page(server: Server, sandbox: Sandbox) -> None:
    patterns = [
        "^(a|a)*\\1?$",
        "^(a+)+$",
        "(.*)(.*)(.*)(.*)(.*)(.*)\\6x\\b",
        "([",
        "(?<=(?:a+)+b)c",
        "(a?){1000}(?=b)\\1{1000}c",
    ]
    elements = [
        {"elementCode": f"{kind}{i}", "showType": kind, "extend": pattern}
        for kind in ("input", "textarea", "hologram")
        for i, pattern in enumerate(patterns)
    ]
    customer = ask(server, sandbox, *elements)
    started = time.monotonic()
    shown = post(customer, {f"el-{one['elementCode']}": "a" * 499 + "!" for one in elements})
    assert shown.status in (200, 422)
    assert time.monotonic() - started < 10  # 50 ms each, on a machine with other things to do
