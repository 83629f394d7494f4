"""Levels, the paths through them, and the elements that several of them share.

Which customer is asked for what stands in `catalogue`. Spellings such as `proof_of_passpord` and
`drving_license` are the upstream's. Imports nothing of this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Names = tuple[str, str, str]  # English, Chinese, Spanish

KIND_IMAGES: dict[str, tuple[str, ...]] = {
    "identity_card": ("back_identity_card", "front_identity_card"),
    "passport": ("proof_of_passpord",),
    "drving_license": ("proof_of_drive",),
}
BOUND_IMAGES = frozenset(code for codes in KIND_IMAGES.values() for code in codes)


@dataclass(frozen=True)
class Element:
    """`accept` is what the server checks when `extend` is too broken to be run."""

    code: str
    names: Names
    show: str | None
    extend: str | None = None
    accept: str | None = None


class Listing(Enum):
    """How the reply to the registration shows a path; the other calls always show all of it."""

    WHOLE = "whole"
    BARE = "bare"  # elementList is null
    ABSENT = "absent"


@dataclass(frozen=True)
class Path:
    level: str
    level_names: Names
    code: str
    names: Names
    elements: tuple[Element, ...]
    account_type: int = 0
    listing: Listing = Listing.WHOLE


def image(code: str, english: str, chinese: str, spanish: str) -> Element:
    return Element(code, (english, chinese, spanish), "image")


NAME = Element("name", ("Full name", "姓名", "Nombre completo"), "input", "^.{2,40}$")
BIRTHDAY = Element("birthday", ("Date of birth", "出生日期", "Fecha de nacimiento"), "date")
DOCUMENT = Element("id_card_type", ("Identity document", "证件类型", "Documento de identidad"), "inputGroup")
DOCUMENT_IMAGES = (
    image("front_identity_card", "Identity card, front", "身份证正面", "Documento de identidad, anverso"),
    image("back_identity_card", "Identity card, back", "身份证背面", "Documento de identidad, reverso"),
    image("proof_of_passpord", "Passport, photo page", "护照照片页", "Pasaporte, página de la foto"),
    image("proof_of_drive", "Driving licence", "驾驶证照片", "Permiso de conducir"),
)
FACE = Element("face_photo", ("Photo of your face", "面部照片", "Foto de su rostro"), "face_photo")
