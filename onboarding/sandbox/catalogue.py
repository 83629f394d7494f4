"""What the sandbox asks of a customer, by scenario. Imports nothing of this project."""

from __future__ import annotations

from dataclasses import replace

from .levels import (
    BIRTHDAY,
    DOCUMENT,
    DOCUMENT_IMAGES,
    FACE,
    NAME,
    Element,
    Listing,
    Names,
    Path,
    image,
)

BASIC: Names = ("Basic details", "基本信息", "Datos básicos")
IDENTITY: Names = ("Identity", "身份认证", "Identidad")
HOME: Names = ("Address", "住址认证", "Domicilio")
COMPANY: Names = ("Company", "公司", "Empresa")
DEFAULT: Names = ("Default", "默认", "Predeterminado")
WITH_DOCUMENTS: Names = ("With an identity document", "使用身份证件", "Con un documento de identidad")
WITH_CARD: Names = ("With a bank card", "使用银行卡", "Con una tarjeta bancaria")

_ABOUT: Names = ("About your experience", "投资经历", "Su experiencia")
_OCCUPATION: Names = ("Occupation", "职业", "Profesión")
_NATIONALITY: Names = ("Nationality", "国籍", "Nacionalidad")
_PROOF: Names = ("Proof of income", "收入证明", "Justificante de ingresos")
_RESIDENT: Names = ("Tax resident where you live", "居住地税务居民", "Residente fiscal donde vive")
_RISK: Names = ("Appetite for risk, 1 to 10", "风险偏好（1至10）", "Disposición al riesgo, de 1 a 10")

_DEFAULT = (NAME, BIRTHDAY, DOCUMENT, *DOCUMENT_IMAGES)
_BANK_CARD = (
    NAME,
    BIRTHDAY,
    image("front_bank_card", "Bank card, front", "银行卡正面", "Tarjeta bancaria, anverso"),
    image("back_bank_card", "Bank card, back", "银行卡背面", "Tarjeta bancaria, reverso"),
)
_ADDRESS = (
    Element("address", ("Home address", "住址", "Domicilio"), "input", "^.{5,200}$"),
    image("proof_of_address", "Proof of address", "住址证明", "Justificante de domicilio"),
)
_ALL = (
    NAME,
    Element("phone", ("Contact phone", "联系电话", "Teléfono de contacto"), "input", r"^\d{6,15}$"),
    Element("birthday", BIRTHDAY.names, "date", r"^\d{4}-\d{2}-\d{2}$"),
    DOCUMENT,
    *DOCUMENT_IMAGES,
    image("handheld_identity_card", "You holding the document", "手持证件照", "Usted con el documento"),
    FACE,
    Element("about", _ABOUT, "textarea"),
    Element("occupation", _OCCUPATION, "select"),
    Element("nationality", _NATIONALITY, "country"),
    Element("proof_of_income", _PROOF, "file"),
    Element("tax_resident", _RESIDENT, "switch"),
    Element("risk", _RISK, "slider", "^([1-9]|10)$"),
)
_BAD_PATTERNS = (
    NAME,
    Element("nickname", ("Nickname", "昵称", "Apodo"), "input", "^([a-z", "^.+$"),
    Element("motto", ("Motto", "座右铭", "Lema"), "input", r"^(([a-z])+.)+[A-Z]([a-z])+$", "^.+$"),
    Element("city", ("City", "城市", "Ciudad"), "input", "^(a+)+$", "^.+$"),
    Element("reference", ("Reference", "编号", "Referencia"), "input", r"^(?=.*\d)(?=.*[A-Z]).{4,20}$"),
    Element("year", ("Year", "年份", "Año"), "input", r"^(?<year>\d{4})$", r"^\d{4}$"),
)
_MARKUP: Names = (
    '<script>document.title="taken"</script><b>Bold</b> & "quoted"',
    "<b>粗体</b>&amp;“引号”",
    "<b>Negrita</b> & 'comillas'",
)
_RIGHT_TO_LEFT: Names = ("الاسم الكامل (שם מלא)", "الاسم الكامل", "الاسم الكامل 123")
_LONG_NAME: Names = (
    ("A name that goes on and on, " * 11)[:300],
    ("很长的名称，" * 50)[:300],
    ("Un nombre que no termina, " * 12)[:300],
)
_ODD_CODES = (
    Element(("very_long_code_" * 14)[:200], _LONG_NAME, "input"),
    Element('it\'s <b>"odd"</b> & more; back\\slash 😀  ', _MARKUP, "input"),
    DOCUMENT,
    Element(f"{DOCUMENT.code}-kind", _RIGHT_TO_LEFT, "input"),
    Element("twice", ("First name of a witness 😀", "第一位证人 😀", "Primer testigo 😀"), "input"),
    Element("twice", ("Second name of a witness", "第二位证人", "Segundo testigo"), "input"),
)
_MANY_KINDS = ("input", "textarea", "select", "country", "switch", "date", "image", "file")


def _one_of_many(number: int) -> Element:
    """A select's code names one of the dictionaries `select_01` to `select_60`."""
    show = _MANY_KINDS[number % len(_MANY_KINDS)]
    return Element(f"{show}_{number:02}", (f"Detail {number}", f"第{number}项", f"Dato {number}"), show)


_MANY = (*_DEFAULT, *(_one_of_many(number) for number in range(len(_DEFAULT) + 1, 61)))


def _form(code: str, english: str, chinese: str, spanish: str) -> Element:
    return Element(code, (english, chinese, spanish), None)


COMPANY_BASIC = _form("company_basic_info", "Company details", "公司基本信息", "Datos de la empresa")
COMPANY_FILES = _form("company_upload_file", "Company documents", "公司文件", "Documentos de la empresa")
COMPANY_DIRECTOR = _form("company_auth_director", "Directors", "董事", "Administradores")
COMPANY_OWNER = _form("company_auth_owner", "Owners", "股东", "Propietarios")
COMPANY_ACCOUNT = _form("company_account_owner", "Account holders", "账户负责人", "Titulares de la cuenta")
_ALL_FORMS = (COMPANY_BASIC, COMPANY_FILES, COMPANY_DIRECTOR, COMPANY_OWNER, COMPANY_ACCOUNT)


def _one(level: str, names: Names, *elements: Element, listing: Listing = Listing.WHOLE) -> Path:
    return Path(level, names, "P1", DEFAULT, elements, listing=listing)


_LEVELS = (
    _one("level_1", BASIC, NAME, BIRTHDAY),
    _one("level_2", IDENTITY, DOCUMENT, *DOCUMENT_IMAGES),
    _one("level_3", HOME, *_ADDRESS),
)
_FIRST, _SECOND, _ = _LEVELS
_PERSON = (_one("level_1", BASIC, *_DEFAULT),)
_COMPANY: tuple[Path, ...] = (
    Path("level_1", COMPANY, "P1", DEFAULT, (COMPANY_BASIC, COMPANY_DIRECTOR), account_type=1),
)
_COMPANY_BY_COUNTRY: tuple[Path, ...] = (Path("level_1", COMPANY, "P1", DEFAULT, _ALL_FORMS, 1, Listing.BARE),)

# Of several tags the first of this table counts.
_PEOPLE: dict[str, tuple[Path, ...]] = {
    "paths": (
        Path("level_1", BASIC, "P1", WITH_DOCUMENTS, _DEFAULT),
        Path("level_1", BASIC, "P2", WITH_CARD, _BANK_CARD),
    ),
    "levels": _LEVELS,
    "secondrejected": _LEVELS,
    "all": (_one("level_1", BASIC, *_ALL),),
    "badpattern": (_one("level_1", BASIC, *_BAD_PATTERNS),),
    "later": (_FIRST, replace(_SECOND, listing=Listing.ABSENT)),
    "order": (replace(_FIRST, listing=Listing.ABSENT), _SECOND),
    "emptylevel": (_one("level_1", BASIC, *_DEFAULT, listing=Listing.BARE),),
    "noelements": (_one("level_1", BASIC), _SECOND),
    "mixed": (_FIRST, _SECOND),
    "oddcodes": (_one("level_1", BASIC, *_ODD_CODES),),
    "many": (_one("level_1", BASIC, *_MANY),),
}


def paths_for(tags: frozenset[str], account_type: int) -> tuple[Path, ...]:
    """All levels and paths that the upstream knows for a customer, those of the other account type included; a
    level with several paths stands there several times.
    """
    if "nokyc" in tags:
        return ()
    if account_type == 1:
        own = _COMPANY_BY_COUNTRY if chooses_company(tags, account_type) else _COMPANY
    else:
        own = next((paths for tag, paths in _PEOPLE.items() if tag in tags), _PERSON)
    return _among_others(own, account_type) if "mixed" in tags else own


def chooses_company(tags: frozenset[str], account_type: int) -> bool:
    """Must country and company type be said before there are forms?"""
    return account_type == 1 and bool(tags & {"enterprise", "enterpriserejected"})


def _among_others(own: tuple[Path, ...], account_type: int) -> tuple[Path, ...]:
    """Levels of the other account type before and behind the own ones, the first with a code that is the own's
    too.
    """
    other = _FIRST if account_type == 1 else _COMPANY[0]
    return (other, *own, replace(other, level="level_9"))
