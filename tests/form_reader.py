"""Reads the form of a page as a browser and a screen reader do: fields with their labels, kinds, choices and values."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from xml.etree.ElementTree import Element

from tinyhtml5.parser import HTMLParser as StrictParser

from tests.support import Shown, picture

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Field:
    """One control; radio buttons of one name are one field with choices."""

    name: str
    type: str  # of the input, or "select", "textarea", "submit"
    id: str
    value: str = ""
    choices: list[str] = field(default_factory=list)
    choice_names: list[str] = field(default_factory=list)  # of a select, in the order of the choices
    label: str = ""  # the text of its label
    group: str = ""  # the legend of the innermost fieldset around it
    attributes: dict[str, str] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self, wanted: str = "level") -> None:
        super().__init__(convert_charrefs=True)
        self._wanted = wanted
        self.fields: list[Field] = []
        self.labels: dict[str, str] = {}
        self.ids: list[str] = []
        self.open: list[str] = []
        self._form = ""
        self._label: str | None = None
        self._within: list[Field] = []  # controls inside the open label
        self._legends: list[str] = []
        self._reading = ""
        self._area: Field | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids += [given["id"]] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "form":
            self._form = given.get("id", "other")
        elif tag == "fieldset":
            self._legends.append("")
        elif tag in ("label", "legend"):
            self._reading = tag
            self._label = given.get("for", "") if tag == "label" else self._label
            self._within = []
            self.labels.setdefault(self._label or "", "")
        elif self._form == self._wanted:
            self._control(tag, given)

    def _control(self, tag: str, given: dict[str, str]) -> None:
        if tag == "option" and self._area is not None:
            self._area.choices.append(given.get("value", ""))
            self._area.choice_names.append("")
            if "selected" in given:
                self._area.value = given.get("value", "")
        if tag not in ("input", "select", "textarea", "button"):
            return
        kind = given.get("type", "text") if tag == "input" else "submit" if tag == "button" else tag
        found = Field(given.get("name", ""), kind, given.get("id", ""), given.get("value", ""), attributes=given)
        found.group = self._legends[-1] if self._legends else ""
        if kind == "radio":
            same = next((one for one in self.fields if one.name == found.name and one.type == "radio"), None)
            if same is not None:
                same.choices.append(found.value)
                same.value = found.value if "checked" in given else same.value
                return
            found.choices, found.value = [found.value], found.value if "checked" in given else ""
        self.fields.append(found)
        if self._label is not None:
            self._within.append(found)
        self._area = found if tag in ("select", "textarea") else None

    def handle_data(self, data: str) -> None:
        if self._area is not None and self._area.type == "textarea":
            self._area.value += data
        elif self._area is not None and self._area.choice_names:
            self._area.choice_names[-1] += data.strip()
        elif self._reading == "legend":
            self._legends[-1] += data
        elif self._label is not None:
            self.labels[self._label] = self.labels.get(self._label, "") + data
            for found in self._within:
                found.label += data

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        while self.open and self.open.pop() != tag:
            pass
        if tag == "form":
            self._form = ""
        elif tag == "fieldset":
            self._legends.pop()
        elif tag == "label":
            self._label, self._reading = None, ""
        elif tag == "legend":
            self._reading = ""
        elif tag in ("select", "textarea"):
            if tag == "textarea" and self._area is not None:
                self._area.value = self._area.value.removeprefix("\n")  # the one that a browser leaves out
            self._area = None


def fields(shown: Shown, form: str = "level") -> list[Field]:
    """The controls of the level's form in the order of the page, with the text of their labels.

    `form` is the id of another one; "other" those without.
    """
    reader = _Reader(form)
    reader.feed(shown.text.replace("\r\n", "\n").replace("\r", "\n"))  # as browsers do before they read anything
    for found in reader.fields:
        found.label = " ".join((found.label or reader.labels.get(found.id, "")).split())
        found.group = " ".join(found.group.split())
    return reader.fields


def ids(shown: Shown) -> list[str]:
    reader = _Reader()
    reader.feed(shown.text)
    return reader.ids


# -- Is the page sound? ------------------------------------------------------------------------------------------------

XHTML = "{http://www.w3.org/1999/xhtml}"
REFERENCES = ("for", "aria-describedby", "aria-labelledby", "aria-controls")


def visible(text: str) -> bool:
    """Whether anything of the text can be seen or heard: neither blank nor only of characters that steer others."""
    return any(unicodedata.category(ch)[0] not in "ZC" for ch in text)


def faults(shown: Shown) -> list[str]:
    """What is wrong with the page: its HTML, its ids and what refers to them, controls without a name."""
    parser = StrictParser()
    root = parser.parse(shown.text)
    found = [f"line {place[0]}: {name} {values}" for place, name, values in parser.errors]
    counted = Counter(node.get("id") for node in root.iter() if node.get("id") is not None)
    found += [f"id {name!r} is given {times} times" for name, times in counted.items() if times > 1 or not name]
    for node in root.iter():
        names = [name for attribute in REFERENCES for name in node.get(attribute, "").split()]
        address = node.get("href", "")
        names += [address[1:]] if address.startswith("#") else []
        found += [f"{node.tag} refers to {name!r}, which is not there" for name in names if name not in counted]
    found += ["a link to nowhere" for node in root.iter(XHTML + "a") if "href" not in node.attrib]
    return found + list(_nameless(root))


def _nameless(root: Element) -> Iterator[str]:
    labels: Counter[str] = Counter()
    for label in root.iter(XHTML + "label"):
        inside = [node.get("id", "") for node in label.iter(XHTML + "input")]
        for name in (label.get("for", ""), *inside):
            labels[name] += visible(_text(label))
    for tag in ("input", "select", "textarea"):
        for node in root.iter(XHTML + tag):
            if node.get("type") != "hidden" and not labels[node.get("id", "")]:
                yield f"control {node.get('id')} ({node.get('name')!r}) without a label"
    for tag in ("button", "h1", "h2", "h3", "legend"):
        if not all(visible(_text(node)) for node in root.iter(XHTML + tag)):
            yield f"a {tag} without a text"
    if not all(len(node) and node[0].tag == XHTML + "legend" for node in root.iter(XHTML + "fieldset")):
        yield "a group without a legend"


def _text(node: Element) -> str:
    return "".join(node.itertext())


# -- Filling it in -----------------------------------------------------------------------------------------------------

SAMPLES = {"date": "1990-05-17", "tel": "7400123456", "textarea": "First line\nSecond line", "text": "Ann Example"}
SAMPLES_BY_ENDING = (
    ("-number", "E12345678"), ("-idNo", "E12345678"), ("-email", "jo@example.org"), ("-area", "+44"),
)  # fmt: skip


def entries(shown: Shown, **chosen: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Something right for every control (data, files); `chosen` by the name without `el-` says otherwise."""
    data: dict[str, str] = {}
    files: dict[str, Any] = {}
    for found in fields(shown):
        bare = found.name.removeprefix("el-")
        if found.type == "hidden":
            data[found.name] = found.value
        elif found.type == "file":
            files[found.name] = ("picture.png", picture(), "image/png")
        elif found.type in ("select", "radio"):
            data[found.name] = chosen.get(bare) or next(c for c in found.choices if c)
        elif found.type == "checkbox":
            data[found.name] = "on"
        elif found.name and found.type != "submit":
            data[found.name] = chosen.get(bare) or _sample(found)
    return data, files


def _sample(found: Field) -> str:
    for ending, value in SAMPLES_BY_ENDING:
        if found.name.endswith(ending):
            return value
    return SAMPLES.get(found.type, "Ann Example")


def walk(customer: Any, *, most: int = 12, **chosen: str) -> Iterator[tuple[str, str]]:
    """Fills in whatever is asked until nothing is; gives (level, part) of every page answered.

    A page that asks for pictures of the document only once its kind is chosen is answered twice.
    """
    for _ in range(most):
        shown = customer.shown
        if shown.step == "path":
            customer.post(customer.flow_url + "path/", {"path": chosen.get("path", "P1")})
            continue
        if shown.step != "level":
            return
        if any(found.name == "choose" or found.name.endswith("-kind") for found in fields(shown)):
            data, _files = entries(shown, **chosen)
            shown = customer.post(customer.flow_url + "level/", {**data, "choose": "1"})
            assert shown.status == 200, shown.summary
        data, files = entries(shown, **chosen)
        yield shown.level, data.get("part", "")
        shown = customer.post(customer.flow_url + "level/", data, files=files or None)
        assert shown.status == 200, (shown.level, data.get("part"), shown.summary)
