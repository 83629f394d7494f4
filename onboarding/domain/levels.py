"""What the upstream asks of a registered customer: levels, the paths through them, and their elements.

Pure values. They are read from the upstream by `onboarding.upstream`, kept with the flow as plain JSON
(`to_json`, `from_json`) and turned into forms by `onboarding.kyc_forms`. Spellings such as `drving_license` and
`proof_of_passpord` are the upstream's own and must stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How an element is asked for: the upstream's `showType`, read into a closed set."""

    INPUT = "input"
    DATE = "date"
    INPUT_GROUP = "inputGroup"
    IMAGE = "image"
    FACE_PHOTO = "face_photo"
    UNKNOWN = "unknown"

    @classmethod
    def read(cls, show_type: str) -> Kind:
        try:
            return cls(show_type)
        except ValueError:
            return cls.UNKNOWN


PICTURES = frozenset({Kind.IMAGE, Kind.FACE_PHOTO})

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

    @property
    def document(self) -> str:
        """The document kind this picture belongs to, or "" when it belongs to none."""
        return DOCUMENT_OF_PICTURE.get(self.code, "") if self.kind in PICTURES else ""


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a level."""

    code: str
    name: str
    elements: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """One group of requirements; all its elements along one path are submitted together."""

    code: str
    name: str
    paths: tuple[Path, ...]

    def path(self, code: str) -> Path | None:
        """The path with this code; without a choice to make, the only one."""
        if len(self.paths) == 1:
            return self.paths[0]
        return next((path for path in self.paths if path.code == code), None)


def applicable(elements: Iterable[Element], document: str) -> tuple[Element, ...]:
    """The elements that apply once the customer chose a document kind.

    A picture applies when no document is asked for at all, when it belongs to the chosen kind, or to no kind.
    Pictures of other kinds are neither asked for nor sent.
    """
    elements = tuple(elements)
    if not any(element.kind is Kind.INPUT_GROUP for element in elements):
        return elements
    return tuple(element for element in elements if element.document in ("", document))


def group(entries: Iterable[tuple[str, str, Path]]) -> tuple[Level, ...]:
    """Levels from the upstream's flat list of (level code, level name, path), in the order of first appearance."""
    names: dict[str, str] = {}
    paths: dict[str, list[Path]] = {}
    for code, name, path in entries:
        names[code] = names.get(code) or name
        paths.setdefault(code, []).append(path)
    return tuple(Level(code, names[code], tuple(found)) for code, found in paths.items())


def renamed(level: Level, other: Level) -> Level:
    """The level with the names that the other one has for the same codes (the same level in another language)."""
    names = {(path.code, element.code): element.name for path in other.paths for element in path.elements}
    path_names = {path.code: path.name for path in other.paths}
    return Level(
        level.code,
        other.name or level.name,
        tuple(
            Path(
                path.code,
                path_names.get(path.code) or path.name,
                tuple(replace(e, name=names.get((path.code, e.code)) or e.name) for e in path.elements),
            )
            for path in level.paths
        ),
    )


def to_json(levels: Iterable[Level]) -> list[dict[str, Any]]:
    """Plain JSON of the levels, as kept with a flow."""
    return [
        {
            "code": level.code,
            "name": level.name,
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
            tuple(
                Path(
                    path["code"],
                    path["name"],
                    tuple(
                        Element(
                            e["code"], e["name"], Kind.read(e["show_type"]), e["show_type"], e["pattern"], *e["saved"]
                        )
                        for e in path["elements"]
                    ),
                )
                for path in level["paths"]
            ),
        )
        for level in stored
    )
