"""What the sandbox asks of a customer: levels, the paths through them, and their elements, by scenario.

Spellings such as `proof_of_passpord` and `drving_license` are the upstream's. Imports nothing of this
project.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Path:
    level: str
    level_names: Names
    code: str
    names: Names
    elements: tuple[Element, ...]


def _image(code: str, english: str, chinese: str, spanish: str) -> Element:
    return Element(code, (english, chinese, spanish), "image")


NAME = Element("name", ("Full name", "姓名", "Nombre completo"), "input", "^.{2,40}$")
BIRTHDAY = Element("birthday", ("Date of birth", "出生日期", "Fecha de nacimiento"), "date")
DOCUMENT = Element("id_card_type", ("Identity document", "证件类型", "Documento de identidad"), "inputGroup")
DOCUMENT_IMAGES = (
    _image("front_identity_card", "Identity card, front", "身份证正面", "Documento de identidad, anverso"),
    _image("back_identity_card", "Identity card, back", "身份证背面", "Documento de identidad, reverso"),
    _image("proof_of_passpord", "Passport, photo page", "护照照片页", "Pasaporte, página de la foto"),
    _image("proof_of_drive", "Driving licence", "驾驶证照片", "Permiso de conducir"),
)
FACE = Element("face_photo", ("Photo of your face", "面部照片", "Foto de su rostro"), "face_photo")

BASIC: Names = ("Basic details", "基本信息", "Datos básicos")
DEFAULT: Names = ("Default", "默认", "Predeterminado")
WITH_DOCUMENTS: Names = ("With an identity document", "使用身份证件", "Con un documento de identidad")
WITH_CARD: Names = ("With a bank card", "使用银行卡", "Con una tarjeta bancaria")

_DEFAULT = (NAME, BIRTHDAY, DOCUMENT, *DOCUMENT_IMAGES)
_BANK_CARD = (
    NAME,
    BIRTHDAY,
    _image("front_bank_card", "Bank card, front", "银行卡正面", "Tarjeta bancaria, anverso"),
    _image("back_bank_card", "Bank card, back", "银行卡背面", "Tarjeta bancaria, reverso"),
)
_ALL = (
    NAME,
    Element("phone", ("Contact phone", "联系电话", "Teléfono de contacto"), "input", r"^\d{6,15}$"),
    Element("birthday", BIRTHDAY.names, "date", r"^\d{4}-\d{2}-\d{2}$"),
    DOCUMENT,
    *DOCUMENT_IMAGES,
    _image("handheld_identity_card", "You holding the document", "手持证件照", "Usted con el documento"),
    FACE,
    Element("occupation", ("Occupation", "职业", "Profesión"), "select", "^.{1,60}$"),
)
_BAD_PATTERNS = (
    NAME,
    Element("nickname", ("Nickname", "昵称", "Apodo"), "input", "^([a-z", "^.+$"),
    Element("motto", ("Motto", "座右铭", "Lema"), "input", r"^(([a-z])+.)+[A-Z]([a-z])+$", "^.+$"),
    Element("city", ("City", "城市", "Ciudad"), "input", "^(a+)+$", "^.+$"),
    Element("reference", ("Reference", "编号", "Referencia"), "input", r"^(?=.*\d)(?=.*[A-Z]).{4,20}$"),
    Element("year", ("Year", "年份", "Año"), "input", r"^(?<year>\d{4})$", r"^\d{4}$"),
)


def _company(code: str, english: str, chinese: str, spanish: str) -> Element:
    return Element(code, (english, chinese, spanish), None)


COMPANY_BASIC = _company("company_basic_info", "Company details", "公司基本信息", "Datos de la empresa")
COMPANY_FILES = _company("company_upload_file", "Company documents", "公司文件", "Documentos de la empresa")
COMPANY_DIRECTOR = _company("company_auth_director", "Directors", "董事", "Administradores")
COMPANY_OWNER = _company("company_auth_owner", "Owners", "股东", "Propietarios")
COMPANY_ACCOUNT = _company("company_account_owner", "Account holders", "账户负责人", "Titulares de la cuenta")


def paths_for(tags: frozenset[str], account_type: int) -> tuple[Path, ...]:
    """All levels and paths that a customer has to go through; a level with several paths stands there several
    times.
    """
    if "nokyc" in tags:
        return ()
    if account_type == 1:
        company: tuple[Element, ...] = (COMPANY_BASIC, COMPANY_DIRECTOR)
        if "enterprise" in tags:
            company = (COMPANY_BASIC, COMPANY_FILES, COMPANY_DIRECTOR, COMPANY_OWNER, COMPANY_ACCOUNT)
        return (Path("level_1", ("Company", "公司", "Empresa"), "P1", DEFAULT, company),)
    if "paths" in tags:
        return (
            Path("level_1", BASIC, "P1", WITH_DOCUMENTS, _DEFAULT),
            Path("level_1", BASIC, "P2", WITH_CARD, _BANK_CARD),
        )
    if "levels" in tags:
        address = Element("address", ("Home address", "住址", "Domicilio"), "input", "^.{5,200}$")
        proof = _image("proof_of_address", "Proof of address", "住址证明", "Justificante de domicilio")
        identity: Names = ("Identity", "身份认证", "Identidad")
        home: Names = ("Address", "住址认证", "Domicilio")
        return (
            Path("level_1", BASIC, "P1", DEFAULT, (NAME, BIRTHDAY)),
            Path("level_2", identity, "P1", DEFAULT, (DOCUMENT, *DOCUMENT_IMAGES)),
            Path("level_3", home, "P1", DEFAULT, (address, proof)),
        )
    if "all" in tags:
        return (Path("level_1", BASIC, "P1", DEFAULT, _ALL),)
    if "badpattern" in tags:
        return (Path("level_1", BASIC, "P1", DEFAULT, _BAD_PATTERNS),)
    return (Path("level_1", BASIC, "P1", DEFAULT, _DEFAULT),)
