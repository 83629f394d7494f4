"""The upstream's dictionaries: countries with area codes and number patterns, document kinds, company types.

Imports nothing of this project. The oddities are meant: countries that share an area code, one that is
disabled, one without area code, a pattern without anchors, an empty one, and the item `other`.
"""

from __future__ import annotations

import re
from typing import Any

from .messages import LANGUAGES
from .protocol import Call, Failure
from .state import State

# code, area, pattern of national numbers, English, Chinese, Spanish
_COUNTRIES = (
    ("CN", "+86", r"^1[3-9]\d{9}$", "China", "中国", "China"),
    ("HK", "+852", r"^[4-9]\d{7}$", "Hong Kong SAR", "中国香港", "Hong Kong (RAE)"),
    ("TW", "+886", r"^9\d{8}$", "Taiwan", "台湾", "Taiwán"),
    ("GB", "+44", r"^7\d{9}$", "United Kingdom", "英国", "Reino Unido"),
    ("GG", "+44", r"^7(781|839|911)\d{6}$", "Guernsey", "根西岛", "Guernsey"),
    ("US", "+1", r"^[2-9]\d{2}[2-9]\d{6}$", "United States", "美国", "Estados Unidos"),
    ("CA", "+1", r"^[2-9]\d{2}[2-9]\d{6}$", "Canada", "加拿大", "Canadá"),
    ("ES", "+34", r"^[67]\d{8}$", "Spain", "西班牙", "España"),
    ("FR", "+33", r"^[67]\d{8}$", "France", "法国", "Francia"),
    ("DE", "+49", r"^1[5-7]\d{8,9}$", "Germany", "德国", "Alemania"),
    ("IT", "+39", r"^3\d{8,9}$", "Italy", "意大利", "Italia"),
    ("PT", "+351", r"^9\d{8}$", "Portugal", "葡萄牙", "Portugal"),
    ("NL", "+31", r"^6\d{8}$", "Netherlands", "荷兰", "Países Bajos"),
    ("BE", "+32", r"^4\d{8}$", "Belgium", "比利时", "Bélgica"),
    ("CH", "+41", r"^7\d{8}$", "Switzerland", "瑞士", "Suiza"),
    ("AT", "+43", r"^6\d{6,12}$", "Austria", "奥地利", "Austria"),
    ("IE", "+353", r"^8\d{8}$", "Ireland", "爱尔兰", "Irlanda"),
    ("SE", "+46", r"^7\d{8}$", "Sweden", "瑞典", "Suecia"),
    ("PL", "+48", r"^[4-8]\d{8}$", "Poland", "波兰", "Polonia"),
    ("BG", "+359", r"^[89]\d{7,8}$", "Bulgaria", "保加利亚", "Bulgaria"),
    ("TR", "+90", r"^5\d{9}$", "Türkiye", "土耳其", "Turquía"),
    ("RU", "+7", r"^9\d{9}$", "Russia", "俄罗斯", "Rusia"),
    ("KZ", "+7", r"^7\d{9}$", "Kazakhstan", "哈萨克斯坦", "Kazajistán"),
    ("MC", "+377", r"\d{8,9}", "Monaco", "摩纳哥", "Mónaco"),
    ("JP", "+81", r"^[789]0\d{8}$", "Japan", "日本", "Japón"),
    ("KR", "+82", r"^1[016789]\d{7,8}$", "South Korea", "韩国", "Corea del Sur"),
    ("TH", "+66", r"^[689]\d{8}$", "Thailand", "泰国", "Tailandia"),
    ("VN", "+84", r"^[35789]\d{8}$", "Vietnam", "越南", "Vietnam"),
    ("MY", "+60", r"^1\d{8,9}$", "Malaysia", "马来西亚", "Malasia"),
    ("SG", "+65", r"^[89]\d{7}$", "Singapore", "新加坡", "Singapur"),
    ("ID", "+62", r"^8\d{8,11}$", "Indonesia", "印度尼西亚", "Indonesia"),
    ("IN", "+91", r"^[6-9]\d{9}$", "India", "印度", "India"),
    ("AU", "+61", r"^4\d{8}$", "Australia", "澳大利亚", "Australia"),
    ("NZ", "+64", r"^2\d{7,9}$", "New Zealand", "新西兰", "Nueva Zelanda"),
    ("AE", "+971", r"^5\d{8}$", "United Arab Emirates", "阿联酋", "Emiratos Árabes Unidos"),
    ("ZA", "+27", r"^[6-8]\d{8}$", "South Africa", "南非", "Sudáfrica"),
    ("MX", "+52", r"^[1-9]\d{9}$", "Mexico", "墨西哥", "México"),
    ("AR", "+54", r"^9?\d{10}$", "Argentina", "阿根廷", "Argentina"),
    ("BR", "+55", r"^[1-9]{2}9\d{8}$", "Brazil", "巴西", "Brasil"),
    ("CL", "+56", r"^9\d{8}$", "Chile", "智利", "Chile"),
    ("CO", "+57", r"^3\d{9}$", "Colombia", "哥伦比亚", "Colombia"),
    ("PE", "+51", "", "Peru", "秘鲁", "Perú"),
    ("AQ", "", "", "Antarctica", "南极洲", "Antártida"),
    ("IS", "+354", r"^[678]\d{6}$", "Iceland", "冰岛", "Islandia"),
    ("other", "", "", "Other", "其他", "Otro"),
)
_DISABLED = frozenset({"IS"})
COMPANY_COUNTRIES = ("MC", "CN", "HK", "GB", "ES", "DE", "FR", "SG", "MX")

_PROVINCES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "CN": (
        ("CN_11", "Beijing", "北京", "Pekín"),
        ("CN_31", "Shanghai", "上海", "Shanghái"),
        ("CN_44", "Guangdong", "广东", "Cantón"),
    ),
    "ES": (("ES_M", "Madrid", "马德里", "Madrid"), ("ES_B", "Barcelona", "巴塞罗那", "Barcelona")),
}

_CHOICES = (
    ("first", "", "First choice", "第一项", "Primera opción"),
    ("second", "", "Second choice", "第二项", "Segunda opción"),
    ("third", "", "Third choice", "第三项", "Tercera opción"),
)

# parent -> (code, pattern, English, Chinese, Spanish)
_LISTS: dict[str, tuple[tuple[str, str, str, str, str], ...]] = {
    "id_card_type": (
        ("identity_card", r"^[A-Za-z0-9]{6,20}$", "Identity card", "身份证", "Documento de identidad"),
        ("passport", r"^[A-Za-z0-9]{6,9}$", "Passport", "护照", "Pasaporte"),
        ("drving_license", r"^[A-Za-z0-9-]{5,20}$", "Driving licence", "驾驶证", "Permiso de conducir"),
    ),
    "EnterpriseType": (
        ("limited_company", "", "Limited company", "有限公司", "Sociedad limitada"),
        ("public_company", "", "Public company", "上市公司", "Sociedad anónima"),
        ("partnership", "", "Partnership", "合伙企业", "Sociedad colectiva"),
    ),
    "Business_Nature": (
        ("trade", "", "Trade", "贸易", "Comercio"),
        ("finance", "", "Financial services", "金融服务", "Servicios financieros"),
        ("technology", "", "Technology", "科技", "Tecnología"),
        ("manufacturing", "", "Manufacturing", "制造业", "Fabricación"),
    ),
    # A select element's options stand under its own code.
    "occupation": (
        ("employed", "", "Employed", "受雇", "Empleado"),
        ("self_employed", "", "Self-employed", "自雇", "Autónomo"),
        ("student", "", "Student", "学生", "Estudiante"),
        ("retired", "", "Retired", "退休", "Jubilado"),
        ("other", "", "Other", "其他", "Otra"),
    ),
    **{f"select_{number:02}": _CHOICES for number in range(1, 61)},
    "phone_code": tuple((row[1], row[2], *row[3:6]) for row in _COUNTRIES if row[1]),
}

_CREATED = 1_700_000_000_000


def is_open(code: str) -> bool:
    return code not in _DISABLED and code != "other" and any(row[0] == code for row in _COUNTRIES)


def patterns_of_area(area: str) -> list[str]:
    return [row[2] for row in _COUNTRIES if row[1] == area]


def codes_of(parent: str) -> frozenset[str]:
    """The codes of a dictionary; none where nobody knows it."""
    return frozenset(item[0] for item in _LISTS.get(parent, ()))


def accepts_document(kind: str, number: str) -> bool:
    """The number against the pattern of its document kind."""
    pattern = next(item[1] for item in _LISTS["id_card_type"] if item[0] == kind)
    return re.search(pattern, number) is not None


def countries(call: Call, state: State) -> list[dict[str, Any]]:
    column = LANGUAGES.index(call.lang)
    parent = _parent(call)
    wanted = call.body.get("name") or ""
    if not isinstance(wanted, str):
        raise Failure("GATEWAY_CODE_015")
    rows: list[dict[str, Any]] = []
    if parent == "-1":
        for sort, row in enumerate(_COUNTRIES, start=1):
            item = _item(sort, parent, row[0], row[3], row[3 + column], row[2])
            item |= {
                "nationalCode": "" if row[0] == "other" else row[0],
                "countryCode": row[1],
                "status": 2 if row[0] in _DISABLED else 1,
                "hasLeaf": 1 if row[0] in _PROVINCES else 0,
                "childs": None,
            }
            rows.append(item)
    for sort, place in enumerate(_PROVINCES.get(parent, ()), start=1):
        item = _item(1000 + sort, parent, place[0], place[1], place[1 + column], "")
        rows.append(item | {"nationalCode": parent, "countryCode": "", "childs": None})
    return [row for row in rows if wanted.lower() in row["displayName"].lower()]


def options(call: Call, state: State) -> list[dict[str, Any]]:
    column = LANGUAGES.index(call.lang)
    parent = _parent(call)
    return [
        _item(2000 + sort, parent, row[0], row[2], row[2 + column], row[1]) | {"showType": None}
        for sort, row in enumerate(_LISTS.get(parent, ()), start=1)
    ]


def company_countries(call: Call, state: State) -> dict[str, Any]:
    return {
        "companyId": call.request.header("companyId"),
        "id": 1,
        "action": 1,
        "openCompanyCountry": ",".join(COMPANY_COUNTRIES),
        "createTime": _CREATED,
        "updateTime": _CREATED,
    }


def own_country(call: Call, state: State) -> dict[str, str]:
    """Where the caller's address is: always the United Kingdom, the sandbox knows no geography."""
    forwarded = call.request.header("X-Forwarded-For").split(",")[0].strip()
    return {"iso_code": "GB", "name": "United Kingdom", "request_ip": forwarded or "127.0.0.1"}


def _parent(call: Call) -> str:
    parent = call.body.get("parentCode")
    if parent is not None and not isinstance(parent, str):
        raise Failure("GATEWAY_CODE_015")
    if not parent:
        raise Failure("CUSTOMER_API_0000501")
    return parent


def _item(sort: int, parent: str, code: str, name: str, shown: str, pattern: str) -> dict[str, Any]:
    return {
        "id": sort,
        "parentId": 0,
        "name": name,
        "displayName": shown,
        "code": code,
        "parentCode": parent,
        "extend": pattern,
        "sort": sort,
        "status": 1,
        "createTime": _CREATED,
        "updateTime": _CREATED,
        "hasLeaf": 0,
    }
