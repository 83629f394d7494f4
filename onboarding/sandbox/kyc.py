"""Levels as the upstream runs them: what is open, what was handed in, what the review said.

Imports nothing of this project. The review is a matter of time alone: a submission is in review for
`review_seconds`, then it has passed, or it is rejected where the scenario says so.
"""

from __future__ import annotations

import secrets
from typing import Any

from . import asked, fields
from .catalogue import chooses_company, paths_for
from .dictionaries import COMPANY_COUNTRIES, codes_of
from .elements import check_answers
from .levels import Element, Listing, Path
from .messages import LANGUAGES
from .protocol import Answer, Call, Failure, Fault
from .state import Answers, Customer, LevelState, State

OPEN, IN_REVIEW, PASSED, REJECTED = 0, 1, 2, 3
REASON = "The photo of the document is blurred. Please take it again in good light."
_REASON_ZH = "证件照片模糊，请在光线充足处重新拍摄。"
BUSINESS_CODES = ("open_account", "cashin", "withdraw", "apply_credit_card", "API")
# Which level's first submission a scenario rejects.
_REJECTED_FIRST = {"rejected": "level_1", "secondrejected": "level_2", "enterpriserejected": "level_1"}
# What another customer has given already, as a scenario says of the first submission.
_TAKEN = {"phonetaken": "CUSTOMER_API_0000632", "idtaken": "CUSTOMER_API_0000633"}
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
    if not _own(customer, state):
        # "Nothing is set up, so passed": a code on a success.
        return Answer(PASSED, params="CUSTOMER_API_0000602")
    result = summary(customer, state)
    return Answer(result, msg=reason(call.lang) if result == REJECTED and "noreason" not in customer.tags else None)


def find_level(call: Call, state: State) -> list[Any]:
    """findAllLevelKyc: the paths of one level, or of all, with the values saved so far.

    An account type that is given leaves out the levels of the other one.
    """
    body = call.body
    allowed = ("levelCode", "lang", "customerNo", "openAccountType", "selectCountry", "selectCompanyType")
    fields.only(body, allowed)
    customer = call.owner()
    fields.locale(body)
    if customer.recipient in state.asked:
        level = fields.text(body, "levelCode", limit=asked.TEXT_LIMIT)
        return asked.of_level(state.asked[customer.recipient], level)
    wanted = fields.text(body, "levelCode")
    if chooses_company(customer.tags, customer.account_type) and body.get("openAccountType") != 1:
        raise Failure(fields.EMPTY)
    _account_type(body, customer)
    _company(body, customer, type_required=False)
    with state.lock:
        paths = _known(customer, state) if body.get("openAccountType") is None else _own(customer, state)
        return [_path_json(path, customer, call.lang) for path in paths if wanted in ("", path.level)]


def list_levels(call: Call, state: State) -> list[dict[str, Any]]:
    """findAllBizKycList: one line per own level with its status and the name of the level before it."""
    fields.only(call.body, ("openAccountType",))
    customer = call.owner()
    _account_type(call.body, customer)
    column = LANGUAGES.index(call.lang)
    rows: dict[str, dict[str, Any]] = {}
    previous: str | None = None
    with state.lock:
        for path in _own(customer, state):
            if path.level in rows:
                continue
            level = customer.levels.get(path.level, LevelState())
            status = _status(customer, path.level, state)
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
        codes = {path.level for path in _own(customer, state)}
        found = {_status(customer, code, state) for code in codes}
    worst = next((status for status in (REJECTED, IN_REVIEW, OPEN) if status in found), None)
    if worst is not None:
        return worst
    return PASSED if found else OPEN


def listed(customer: Customer, state: State, lang: str) -> list[Any] | None:
    """What the reply to the registration says of the levels: not always all of them, and not always all of one."""
    if customer.recipient in state.asked:
        return state.asked[customer.recipient]
    paths = [path for path in _known(customer, state) if path.listing is not Listing.ABSENT]
    bare = {"elementList": None}
    return [_path_json(path, customer, lang) | (bare if path.listing is Listing.BARE else {}) for path in paths]


def reason(lang: str) -> str:
    return _REASON_ZH if lang == "zh" else REASON


def _apply(call: Call, state: State) -> str:
    body, customer = call.body, call.owner()
    if customer.recipient in state.asked:
        return _apply_asked(call, state)
    level_code = fields.text(body, "levelCode", required=True, empty="CUSTOMER_API_0000615")
    _account_type(body, customer)
    final = fields.flag(body, "commitTag", default=True)
    answers = _answers(body)
    company_type = _company(body, customer, type_required=customer.account_type == 1)
    with state.lock:
        paths = _submittable(customer, level_code, state)
        path = _check_path(paths, fields.text(body, "pathCode"), answers, customer, state, final)
        for tag, code in _TAKEN.items():
            if final and tag in customer.tags and state.count(tag, customer.number) == 1:
                raise Failure(code)
        return _store(call, state, level_code, LevelState(answers, path.code, company_type), final=final)


def _apply_asked(call: Call, state: State) -> str:
    """For a level that a test made up: only the structure of the answers is looked at, and each submission kept."""
    body = call.body
    level_code = fields.text(body, "levelCode", limit=asked.TEXT_LIMIT)
    final = fields.flag(body, "commitTag", default=True)
    return _store(call, state, level_code, LevelState(_answers(body)), final=final)


def _store(call: Call, state: State, code: str, handed_in: LevelState, *, final: bool) -> str:
    """Keep what was handed in for a level; a draft changes nothing of its status."""
    customer = call.owner()
    with state.lock:
        level = customer.levels.setdefault(code, LevelState())
        level.values, level.path, level.company_type = handed_in.values, handed_in.path, handed_in.company_type
        if final:
            level.submissions += 1
            level.submitted_at = state.clock()
            level.rejects = level.submissions == 1 and _is_rejected_first(customer, code)
        proposal = f"K{secrets.randbelow(10**18):018}"
        _record(call, state, customer, proposal, final)
        if "kycdrop" in customer.tags and state.count("kycdrop", customer.number) == 1:
            call.fault = Fault.DROP
        return proposal


def _is_rejected_first(customer: Customer, code: str) -> bool:
    tags = customer.tags if customer.account_type == 1 else customer.tags - {"enterpriserejected"}
    return code in {_REJECTED_FIRST.get(tag) for tag in tags}


def _submittable(customer: Customer, level_code: str, state: State) -> list[Path]:
    """The paths of a level that may be handed in now."""
    everything = _own(customer, state)
    paths = [path for path in everything if path.level == level_code]
    if not paths:
        raise Failure("CUSTOMER_API_0000615" if everything else "CUSTOMER_API_0000602")
    status = _status(customer, level_code, state)
    if status == IN_REVIEW:
        raise Failure("CUSTOMER_API_0000601")
    if status == PASSED:
        raise Failure("CUSTOMER_API_0000604")
    for path in everything:
        if path.level == level_code:
            break
        if _status(customer, path.level, state) != PASSED:
            raise Failure("CUSTOMER_API_0000616")
    return paths


def _check_path(paths: list[Path], code: str, answers: Answers, customer: Customer, state: State, final: bool) -> Path:
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


def _known(customer: Customer, state: State) -> tuple[Path, ...]:
    """Every path that the upstream might tell this customer of."""
    if customer.recipient in state.asked:
        return asked.as_paths(state.asked[customer.recipient], customer.account_type)
    return paths_for(customer.tags, customer.account_type)


def _own(customer: Customer, state: State) -> tuple[Path, ...]:
    """The paths of the customer's account type: only they are submitted and count for the status."""
    return tuple(path for path in _known(customer, state) if path.account_type == customer.account_type)


def _status(customer: Customer, code: str, state: State) -> int:
    level = customer.levels.get(code)
    if level is None or level.submitted_at is None:
        # Where nothing is asked, nothing can be missing.
        asks = any(path.elements for path in _own(customer, state) if path.level == code)
        return OPEN if asks else PASSED
    if state.clock() < level.submitted_at + state.review_seconds:
        return IN_REVIEW
    return REJECTED if level.rejects else PASSED


def _answers(body: dict[str, Any]) -> Answers:
    """The values by element code, in the order sent; whether one may stand there twice is for the path to say."""
    items = body.get("elementList")
    if items is None:
        raise Failure(fields.EMPTY)
    if not isinstance(items, list):
        raise Failure(fields.ILLEGAL)
    answers: Answers = {}
    for item in items:
        if not isinstance(item, dict) or set(item) != {"elementCode", "elementValue"}:
            raise Failure(fields.ILLEGAL)
        code, value = item["elementCode"], item["elementValue"]
        if not isinstance(code, str) or not isinstance(value, str):
            raise Failure(fields.ILLEGAL)
        answers.setdefault(code, []).append(value)
    return answers


def _account_type(body: dict[str, Any], customer: Customer) -> None:
    given = fields.number(body, "openAccountType", 0, 1, default=customer.account_type)
    if given != customer.account_type:
        raise Failure("CUSTOMER_API_0000603")


def _company(body: dict[str, Any], customer: Customer, *, type_required: bool) -> str | None:
    """The company type chosen, if any. Where the forms depend on it, it is required and so is the country."""
    strict = chooses_company(customer.tags, customer.account_type)
    if not strict:
        fields.country(body, "selectCountry", required=False)
    elif fields.text(body, "selectCountry", required=True) not in COMPANY_COUNTRIES:
        raise Failure("CUSTOMER_API_0000624")
    value = fields.text(body, "selectCompanyType", required=strict or type_required)
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
            "levelCode": call.body.get("levelCode"),
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
    is_mine = path.account_type == customer.account_type and level.path in ("", path.code)
    saved = level.values if is_mine else {}
    left = {code: iter(values) for code, values in saved.items()}
    return {
        "levelCode": path.level,
        "levelName": path.level_names[column],
        "openAccountType": path.account_type,
        "pathCode": path.code,
        "pathName": path.names[column],
        "elementList": [
            _element_json(element, saved, next(left.get(element.code, iter(())), None), column)
            for element in path.elements
        ],
    }


def _element_json(element: Element, saved: Answers, value: str | None, column: int) -> dict[str, Any]:
    kind = None
    if element.show == "inputGroup":
        kind = next((code for code in codes_of("id_card_type") if code in saved), None)
    return {
        "elementCode": element.code,
        "elementName": element.names[column],
        "showType": element.show,
        "extend": element.extend,
        "elementValue": value,
        "elementCodeInputGroup": kind,
        "elementValueInputGroup": saved[kind][0] if kind else None,
    }
