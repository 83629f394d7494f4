"""Levels as the upstream runs them: what is open, what was handed in, what the review said.

Imports nothing of this project. The review is a matter of time alone: a submission is in review for
`review_seconds`, then it has passed, or it is rejected where the scenario says so.
"""

from __future__ import annotations

import secrets
from typing import Any

from . import fields
from .dictionaries import codes_of
from .elements import check_answers
from .levels import Element, Path, paths_for
from .messages import LANGUAGES
from .protocol import Answer, Call, Failure, Fault
from .state import Customer, LevelState, State

OPEN, IN_REVIEW, PASSED, REJECTED = 0, 1, 2, 3
REASON = "The photo of the document is blurred. Please take it again in good light."
_REASON_ZH = "证件照片模糊，请在光线充足处重新拍摄。"
BUSINESS_CODES = ("open_account", "cashin", "withdraw", "apply_credit_card", "API")
_STATUS_NAMES = {OPEN: "Not verified", IN_REVIEW: "In review", PASSED: "Passed", REJECTED: "Rejected"}
_APPLY_FIELDS = (
    "levelCode", "openAccountType", "elementList", "selectCountry", "selectCompanyType", "commitTag",
    "pathCode",
)  # fmt: skip


def apply_level(call: Call, state: State) -> str:
    """kycLevelApply: replies with the number of the proposal."""
    fields.only(call.body, _APPLY_FIELDS)
    return _apply(call, state)


def apply_business(call: Call, state: State) -> dict[str, str]:
    """kycApply: the same by business scene; replies with an object."""
    fields.only(call.body, (*_APPLY_FIELDS, "businessCode", "cardType"))
    _business(call)
    return {"id": _apply(call, state)}


def check(call: Call, state: State) -> Answer:
    fields.only(call.body, ("businessCode", "openAccountType"))
    customer = call.owner()
    _business(call)
    fields.number(call.body, "openAccountType", 0, 1)
    if not paths_for(customer.tags, customer.account_type):
        # "Nothing is set up, so passed": a code on a success.
        return Answer(PASSED, params="CUSTOMER_API_0000602")
    result = summary(customer, state)
    return Answer(result, msg=reason(call.lang) if result == REJECTED else None)


def find_level(call: Call, state: State) -> list[dict[str, Any]]:
    """findAllLevelKyc: the paths of one level, or of all, with the values saved so far."""
    body = call.body
    allowed = ("levelCode", "lang", "customerNo", "openAccountType", "selectCountry", "selectCompanyType")
    fields.only(body, allowed)
    customer = call.owner()
    wanted = fields.text(body, "levelCode")
    fields.locale(body)
    _account_type(body, customer)
    fields.country(body, "selectCountry", required=False)
    _company_type(body, required=False)
    with state.lock:
        paths = paths_for(customer.tags, customer.account_type)
        return [_path_json(path, customer, call.lang) for path in paths if wanted in ("", path.level)]


def list_levels(call: Call, state: State) -> list[dict[str, Any]]:
    """findAllBizKycList: one line per level with its status and the name of the level before it."""
    fields.only(call.body, ("openAccountType",))
    customer = call.owner()
    _account_type(call.body, customer)
    column = LANGUAGES.index(call.lang)
    rows: dict[str, dict[str, Any]] = {}
    previous: str | None = None
    with state.lock:
        for path in paths_for(customer.tags, customer.account_type):
            if path.level in rows:
                continue
            level = customer.levels.get(path.level, LevelState())
            status = _status(level, state)
            rows[path.level] = {
                "levelCode": path.level,
                "levelName": path.level_names[column],
                "status": status,
                "statusName": _STATUS_NAMES[status],
                "sort": len(rows) + 1,
                "preLevelName": previous,
                "businessNameList": ["Open an account"],
                "businessCodeList": ["open_account"],
                "companyType": level.company_type,
                "openAccountType": customer.account_type,
                "pathCode": level.path or path.code,
            }
            previous = path.level_names[column]
    return list(rows.values())


def summary(customer: Customer, state: State) -> int:
    """One number for all levels: rejected before in review before open; passed only when every level has."""
    with state.lock:
        codes = {path.level for path in paths_for(customer.tags, customer.account_type)}
        found = {_status(customer.levels.get(code, LevelState()), state) for code in codes}
    worst = next((status for status in (REJECTED, IN_REVIEW, OPEN) if status in found), None)
    if worst is not None:
        return worst
    return PASSED if found else OPEN


def open_paths(customer: Customer, state: State, lang: str) -> list[dict[str, Any]]:
    with state.lock:
        return [
            _path_json(path, customer, lang)
            for path in paths_for(customer.tags, customer.account_type)
            if _status(customer.levels.get(path.level, LevelState()), state) in (OPEN, REJECTED)
        ]


def reason(lang: str) -> str:
    return _REASON_ZH if lang == "zh" else REASON


def _apply(call: Call, state: State) -> str:
    body, customer = call.body, call.owner()
    level_code = fields.text(body, "levelCode", required=True, empty="CUSTOMER_API_0000615")
    _account_type(body, customer)
    fields.country(body, "selectCountry", required=False)
    company_type = _company_type(body, required=customer.account_type == 1)
    final = fields.flag(body, "commitTag", default=True)
    answers = _answers(body)
    with state.lock:
        paths = _submittable(customer, level_code, state)
        path = _check_path(paths, fields.text(body, "pathCode"), answers, customer, state, final)
        level = customer.levels.setdefault(level_code, LevelState())
        level.values, level.path, level.company_type = answers, path.code, company_type
        if final:
            level.submissions += 1
            level.submitted_at = state.clock()
            level.rejects = "rejected" in customer.tags and level_code == "level_1" and level.submissions == 1
        proposal = f"K{secrets.randbelow(10**18):018}"
        _record(call, state, customer, proposal, final)
        if "kycdrop" in customer.tags and state.count("kycdrop", customer.number) == 1:
            call.fault = Fault.DROP
        return proposal


def _submittable(customer: Customer, level_code: str, state: State) -> list[Path]:
    """The paths of a level that may be handed in now."""
    everything = paths_for(customer.tags, customer.account_type)
    paths = [path for path in everything if path.level == level_code]
    if not paths:
        raise Failure("CUSTOMER_API_0000615" if everything else "CUSTOMER_API_0000602")
    match _status(customer.levels.get(level_code, LevelState()), state):
        case 1:
            raise Failure("CUSTOMER_API_0000601")
        case 2:
            raise Failure("CUSTOMER_API_0000604")
    for path in everything:
        if path.level == level_code:
            break
        if _status(customer.levels.get(path.level, LevelState()), state) != PASSED:
            raise Failure("CUSTOMER_API_0000616")
    return paths


def _check_path(
    paths: list[Path], code: str, answers: dict[str, str], customer: Customer, state: State, final: bool
) -> Path:
    """The path that the answers fit. Without a pathCode, as some clients send it, any path of the level will
    do.
    """
    if code:
        paths = [path for path in paths if path.code == code]
        if not paths:
            raise Failure("CUSTOMER_API_0000615")
    problem: Failure | None = None
    for path in paths:
        try:
            check_answers(path, answers, customer, state, final=final)
        except Failure as failure:
            problem = problem or failure
        else:
            return path
    raise problem or Failure("CUSTOMER_API_0000615")


def _status(level: LevelState, state: State) -> int:
    if level.submitted_at is None:
        return OPEN
    if state.clock() < level.submitted_at + state.review_seconds:
        return IN_REVIEW
    return REJECTED if level.rejects else PASSED


def _answers(body: dict[str, Any]) -> dict[str, str]:
    items = body.get("elementList")
    if items is None:
        raise Failure(fields.EMPTY)
    if not isinstance(items, list):
        raise Failure(fields.ILLEGAL)
    answers: dict[str, str] = {}
    for item in items:
        if not isinstance(item, dict) or set(item) != {"elementCode", "elementValue"}:
            raise Failure(fields.ILLEGAL)
        code, value = item["elementCode"], item["elementValue"]
        if not isinstance(code, str) or not isinstance(value, str) or code in answers:
            raise Failure(fields.ILLEGAL)
        answers[code] = value
    return answers


def _account_type(body: dict[str, Any], customer: Customer) -> None:
    given = fields.number(body, "openAccountType", 0, 1, default=customer.account_type)
    if given != customer.account_type:
        raise Failure("CUSTOMER_API_0000603")


def _company_type(body: dict[str, Any], *, required: bool) -> str | None:
    value = fields.text(body, "selectCompanyType", required=required)
    if value and value not in codes_of("EnterpriseType"):
        raise Failure(fields.ILLEGAL)
    return value or None


def _business(call: Call) -> None:
    if fields.text(call.body, "businessCode", required=True) not in BUSINESS_CODES:
        raise Failure("CUSTOMER_API_0000603")


def _record(call: Call, state: State, customer: Customer, proposal: str, final: bool) -> None:
    state.applications.appendleft(
        {
            "customerNo": customer.number,
            "id": proposal,
            "service": call.biz_type.rpartition(".")[2],
            "levelCode": call.body["levelCode"],
            "draft": not final,
            "at": state.stamp(),
            "encrypted": call.encrypted,
            "headers": call.request.headers,
            "body": call.body,
        }
    )


def _path_json(path: Path, customer: Customer, lang: str) -> dict[str, Any]:
    column = LANGUAGES.index(lang)
    level = customer.levels.get(path.level, LevelState())
    saved = level.values if level.path in ("", path.code) else {}
    return {
        "levelCode": path.level,
        "levelName": path.level_names[column],
        "openAccountType": customer.account_type,
        "pathCode": path.code,
        "pathName": path.names[column],
        "elementList": [_element_json(element, saved, column) for element in path.elements],
    }


def _element_json(element: Element, saved: dict[str, str], column: int) -> dict[str, Any]:
    kind = None
    if element.show == "inputGroup":
        kind = next((code for code in codes_of("id_card_type") if code in saved), None)
    return {
        "elementCode": element.code,
        "elementName": element.names[column],
        "showType": element.show,
        "extend": element.extend,
        "elementValue": saved.get(element.code),
        "elementCodeInputGroup": kind,
        "elementValueInputGroup": saved.get(kind) if kind else None,
    }
