"""What the sandbox asks of a customer, over real HTTP: kinds of elements, lists of levels, company forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.contract.test_sandbox import BIRTHDAY, DICT, KYC, PNG, REGISTER, Clock, Upstream

Entry = dict[str, Any]
PASSPORT = {"passport": "E12345678"}
BASIC = {"name": "Ann Example", "birthday": BIRTHDAY}
COMPANY = {"selectCountry": "GB", "selectCompanyType": "limited_company", "openAccountType": 1}
MISSING, WRONG, IN_REVIEW, PASSED, EARLIER_FIRST, UNKNOWN, NO_COMPANIES = (
    f"CUSTOMER_API_0000{number}" for number in (501, 620, 601, 604, 616, 615, 624)
)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def running(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(review_seconds=20, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
def up(running: Sandbox, clock: Clock) -> Upstream:
    running.clear()
    clock.skipped = 0
    return Upstream(running, clock)


def start(up: Upstream, tag: str, **more: Any) -> list[Entry]:
    """Register with the scenario; the levels that the reply lists."""
    answer = up.register(f"ann+{tag}@example.org", **more)
    assert answer["code"] == "0", answer
    return list(answer["data"]["list"])


def pairs(*given: tuple[str, str]) -> list[Entry]:
    return [{"elementCode": code, "elementValue": value} for code, value in given]


def submit(up: Upstream, level: str, answers: dict[str, str], **more: Any) -> str:
    return str(up.apply(level, answers, **more)["code"])


def levels(up: Upstream, **asked: Any) -> list[Entry]:
    """findAllLevelKyc."""
    answer = up(f"{KYC}.findAllLevelKyc", asked)
    assert answer["code"] == "0", answer
    return list(answer["data"])


def rows(up: Upstream) -> list[Entry]:
    """findAllBizKycList."""
    return list(up(f"{KYC}.findAllBizKycList", {})["data"])


def standing(up: Upstream) -> int:
    """checkKycApply."""
    return int(up(f"{KYC}.checkKycApply", {"businessCode": "open_account"})["data"])


def codes(path: Entry) -> list[str]:
    return [element["elementCode"] for element in path["elementList"]]


def passport(up: Upstream) -> dict[str, str]:
    return PASSPORT | {"proof_of_passpord": up.upload()["data"]}


# -- Kinds -----------------------------------------------------------------------------------------


def all_answers(up: Upstream) -> dict[str, str]:
    answers = up.passport() | {"phone": "7400123456", "about": "Ten years,\nmostly bonds.", "risk": "7"}
    answers |= dict.fromkeys(("face_photo", "handheld_identity_card"), answers["proof_of_passpord"])
    answers |= {"occupation": "student", "nationality": "ES", "tax_resident": "false"}
    return answers | {"proof_of_income": up.upload(b"%PDF-1.7 income")["data"]}


def test_all_asks_for_every_kind_and_one_that_nobody_knows(up: Upstream) -> None:
    (path,) = start(up, "all")
    known = {"input", "date", "inputGroup", "image", "face_photo", "textarea", "select", "country", "file", "switch"}
    assert {element["showType"] for element in path["elementList"]} == known | {"slider"}
    assert submit(up, "level_1", all_answers(up)) == "0"


def test_the_options_of_a_select_stand_under_its_own_code(up: Upstream) -> None:
    options = up(f"{DICT}.getListByParentCode", {"parentCode": "occupation"})["data"]
    assert "student" in [option["code"] for option in options]


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("about", " \n "),
        ("about", "a" * 2001),
        ("occupation", "Student"),
        ("occupation", "Engineer"),
        ("nationality", "Spain"),
        ("nationality", "other"),
        ("nationality", "IS"),
        ("proof_of_income", "https://files.example.org/income.pdf"),
        ("proof_of_income", "income"),
        ("tax_resident", "True"),
        ("tax_resident", "1"),
        ("risk", "11"),
    ],
)
def test_each_kind_has_one_encoding(up: Upstream, code: str, value: str) -> None:
    start(up, "all")
    assert submit(up, "level_1", all_answers(up) | {code: value}) == WRONG


@pytest.mark.parametrize("code", ["about", "occupation", "nationality", "proof_of_income", "tax_resident", "risk"])
def test_every_kind_is_required_and_the_longest_text_is_taken(up: Upstream, code: str) -> None:
    start(up, "all")
    answers = all_answers(up) | {"about": "a" * 2000}
    assert submit(up, "level_1", answers | {code: ""}) == MISSING
    assert submit(up, "level_1", {name: value for name, value in answers.items() if name != code}) == MISSING
    assert submit(up, "level_1", answers) == "0"


# -- Lists of levels -------------------------------------------------------------------------------


def test_later_keeps_a_second_level_back(up: Upstream, clock: Clock) -> None:
    assert [path["levelCode"] for path in start(up, "later")] == ["level_1"]
    assert (
        [row["levelCode"] for row in rows(up)] == [path["levelCode"] for path in levels(up)] == ["level_1", "level_2"]
    )
    assert submit(up, "level_1", BASIC) == "0"
    assert standing(up) == 1
    clock.skipped = 21
    assert standing(up) == 0
    assert submit(up, "level_2", passport(up)) == "0"
    clock.skipped = 42
    assert standing(up) == 2


def test_order_lists_the_second_level_only(up: Upstream, clock: Clock) -> None:
    assert [path["levelCode"] for path in start(up, "order")] == ["level_2"]
    assert [(row["levelCode"], row["preLevelName"]) for row in rows(up)] == [
        ("level_1", None),
        ("level_2", "Basic details"),
    ]
    assert submit(up, "level_2", passport(up)) == EARLIER_FIRST
    (first,) = levels(up, levelCode="level_1")
    assert codes(first) == ["name", "birthday"] and submit(up, "level_1", BASIC) == "0"
    assert submit(up, "level_2", passport(up)) == EARLIER_FIRST
    clock.skipped = 21
    assert submit(up, "level_2", passport(up)) == "0"


def test_emptylevel_has_its_elements_elsewhere(up: Upstream) -> None:
    (path,) = start(up, "emptylevel")
    assert path["elementList"] is None
    (whole,) = levels(up, levelCode="level_1")
    assert codes(whole)[:3] == ["name", "birthday", "id_card_type"]
    assert submit(up, "level_1", up.passport()) == "0"


def test_a_level_without_elements_counts_as_passed(up: Upstream, clock: Clock) -> None:
    listed = start(up, "noelements")
    assert [(path["levelCode"], bool(path["elementList"])) for path in listed] == [
        ("level_1", False),
        ("level_2", True),
    ]
    assert listed[0]["elementList"] == levels(up, levelCode="level_1")[0]["elementList"] == []
    assert [row["status"] for row in rows(up)] == [2, 0]
    assert submit(up, "level_1", {}) == PASSED
    assert submit(up, "level_2", passport(up)) == "0"
    clock.skipped = 21
    assert standing(up) == 2


def test_mixed_lists_the_other_account_types_levels_too(up: Upstream, clock: Clock) -> None:
    listed = start(up, "mixed")
    assert [(path["openAccountType"], path["levelCode"]) for path in listed] == [
        (1, "level_1"),
        (0, "level_1"),
        (0, "level_2"),
        (1, "level_9"),
    ]
    assert levels(up) == listed
    assert [path["openAccountType"] for path in levels(up, openAccountType=0)] == [0, 0]
    assert [row["levelCode"] for row in rows(up)] == ["level_1", "level_2"]
    assert submit(up, "level_9", BASIC) == UNKNOWN
    assert submit(up, "level_1", BASIC) == "0"
    clock.skipped = 21
    assert submit(up, "level_2", passport(up)) == "0"
    clock.skipped = 42
    assert standing(up) == 2
    assert [path["elementList"][0]["elementValue"] for path in levels(up, levelCode="level_1")] == [None, "Ann Example"]


def test_mixed_is_mixed_for_companies_too(up: Upstream) -> None:
    listed = start(up, "mixed", openAccountType=1)
    assert [(path["openAccountType"], path["levelCode"]) for path in listed] == [
        (0, "level_1"),
        (1, "level_1"),
        (0, "level_9"),
    ]


def test_many_are_sixty_of_mixed_kinds(up: Upstream) -> None:
    (path,) = start(up, "many")
    kinds = [element["showType"] for element in path["elementList"]]
    assert len(kinds) == len(set(codes(path))) == 60 and len(set(kinds)) == 9
    photo = up.upload()["data"]
    values = {"input": "text", "textarea": "a\nb", "select": "first", "country": "GB", "switch": "true"}
    values |= {"date": BIRTHDAY, "image": photo, "file": photo}
    numbered = [(code, kind) for code, kind in zip(codes(path), kinds, strict=True) if code[-1].isdigit()]
    answers = {code: values[kind] for code, kind in numbered}
    assert submit(up, "level_1", answers | up.passport()) == "0"


def test_secondrejected_rejects_the_second_level_once(up: Upstream, clock: Clock) -> None:
    start(up, "secondrejected")
    assert submit(up, "level_1", BASIC) == "0"
    clock.skipped = 21
    assert submit(up, "level_2", passport(up)) == "0"
    clock.skipped = 42
    assert [row["status"] for row in rows(up)] == [2, 3, 0]
    told = up(f"{KYC}.checkKycApply", {"businessCode": "open_account"})
    assert told["data"] == 3 and "blurred" in told["msg"]
    assert submit(up, "level_3", {}) == EARLIER_FIRST
    assert submit(up, "level_2", passport(up)) == "0"
    clock.skipped = 63
    assert [row["status"] for row in rows(up)] == [2, 2, 0]


# -- Odd codes -------------------------------------------------------------------------------------


def test_oddcodes_come_back_as_they_were_sent(up: Upstream) -> None:
    (path,) = start(up, "oddcodes")
    asked = codes(path)
    assert len(asked[0]) == 200 and asked[1].endswith("  ") and set("'<>\"&;\\😀") <= set(asked[1])
    assert asked[2:] == ["id_card_type", "id_card_type-kind", "twice", "twice"]
    names = [element["elementName"] for element in path["elementList"]]
    assert len(names[0]) == 300 and "<script>" in names[1] and names[4] != names[5]
    given = [(asked[0], "a"), (asked[1], "b"), ("passport", "E12345678"), (asked[3], "c")]
    body: Entry = {"levelCode": "level_1"}
    draft = pairs(*given, ("twice", "first"), ("twice", "second"))
    assert up(f"{KYC}.kycLevelApply", body | {"elementList": draft, "commitTag": False})["code"] == "0"
    (saved,) = levels(up)
    assert [element["elementValue"] for element in saved["elementList"]] == ["a", "b", None, "c", "first", "second"]
    once = pairs(*given, ("twice", "first"))
    assert up(f"{KYC}.kycLevelApply", body | {"elementList": once})["code"] == MISSING
    assert up(f"{KYC}.kycLevelApply", body | {"elementList": [*draft, *once]})["code"] == "GATEWAY_CODE_015"
    assert up(f"{KYC}.kycLevelApply", body | {"elementList": draft})["code"] == "0"


def test_a_code_asked_for_once_is_not_sent_twice(up: Upstream) -> None:
    start(up, "anything")
    body = {"levelCode": "level_1", "elementList": pairs(("name", "Ann"), ("name", "Ann")), "commitTag": False}
    assert up(f"{KYC}.kycLevelApply", body)["code"] == "GATEWAY_CODE_015"


# -- Uploads ---------------------------------------------------------------------------------------


def test_badfile_refuses_the_first_upload_only(up: Upstream) -> None:
    start(up, "badfile")
    refused = up.upload()
    assert refused["code"] == "GATEWAY_CODE_103" and "png" in refused["msgParams"]
    assert [up.upload()["code"] for _ in range(2)] == ["0", "0"]


def test_filedrop_stores_the_first_upload_and_cuts_the_line(up: Upstream) -> None:
    start(up, "filedrop")
    with pytest.raises(requests.ConnectionError):
        up.upload(idempotency_key="k1")
    (name,) = up.sandbox.state.files
    assert up.upload(idempotency_key="k1")["data"].endswith(name)
    assert up.upload(PNG)["code"] == "0"


# -- Companies -------------------------------------------------------------------------------------


def company_forms(photo: str) -> dict[str, Any]:
    """The five forms, filled in."""
    account = {"companyName": "Example Ltd", "regNo": "1", "createTime": 642902400000, "area": "+44", "phone": "1"}
    account |= {"resource": "r", "nature": "trade", "natureName": "Trade", "reason": "r"}
    place = {"Country": "GB", "CountryName": "United Kingdom", "City": "London", "Street": "1 Example St"}
    person = {"lastname": "Example", "firstName": "Ann", "birthDay": 642902400000, "address": "1 Example St"}
    person |= {"addressName": "", "email": "ann@example.org", "idType": "passport", "idTypeName": "Passport"}
    person |= {"idNo": "E1", "issued": "GB", "issuedName": "", "documents": photo, "photo": photo}
    files = ("regCertificate", "policy", "directorsList", "directorsList2", "structure", "sanctionsQues")
    files += ("authorizationLetter", "businessConditions", "intermediateShareholders")
    return {
        "company_basic_info": {
            "accountInfo": account,
            "regAddress": {f"reg{name}": value for name, value in place.items()},
            "opertion": {f"opertion{name}": value for name, value in place.items()},
        },
        "company_upload_file": dict.fromkeys(files, photo) | {"websit": "N/A"},
        "company_auth_director": {"list": [person]},
        "company_auth_owner": {"list": [person]},
        "company_account_owner": {"list": [{**person, "main": True}], "mainAccount": photo},
    }


def company_answers(up: Upstream) -> dict[str, str]:
    return {code: json.dumps(form) for code, form in company_forms(up.upload()["data"]).items()}


def test_enterprise_shows_its_forms_once_country_and_type_are_said(up: Upstream) -> None:
    (path,) = start(up, "enterprise", openAccountType=1)
    assert (path["openAccountType"], path["elementList"]) == (1, None)
    (whole,) = levels(up, levelCode="level_1", **COMPANY)
    assert codes(whole) == list(company_forms(""))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"openAccountType": None}, MISSING),
        ({"openAccountType": 0}, MISSING),
        ({"selectCountry": None}, MISSING),
        ({"selectCountry": ""}, MISSING),
        ({"selectCompanyType": None}, MISSING),
        ({"selectCompanyType": "nonsense"}, "GATEWAY_CODE_015"),
        ({"selectCountry": "BR"}, NO_COMPANIES),
        ({"selectCountry": "ZZ"}, NO_COMPANIES),
    ],
)
def test_enterprise_forms_depend_on_country_and_type(up: Upstream, change: Entry, code: str) -> None:
    start(up, "enterprise", openAccountType=1)
    assert up(f"{KYC}.findAllLevelKyc", {"levelCode": "level_1"} | COMPANY | change)["code"] == code
    if "openAccountType" not in change:
        for final in (False, True):
            assert submit(up, "level_1", {}, commitTag=final, **(COMPANY | change)) == code


def test_a_company_draft_may_leave_anything_out_and_comes_back(up: Upstream) -> None:
    start(up, "enterprise", openAccountType=1)
    assert submit(up, "level_1", {}, commitTag=False, **COMPANY) == "0"
    assert rows(up)[0]["companyType"] == "limited_company"
    half = json.dumps({"accountInfo": {"companyName": "Example Ltd", "regNo": ""}})
    draft = {"company_basic_info": half, "company_auth_owner": "{}"}
    partner = COMPANY | {"selectCompanyType": "partnership"}
    assert submit(up, "level_1", draft, commitTag=False, **partner) == "0"
    saved = {element["elementCode"]: element["elementValue"] for element in levels(up, **partner)[0]["elementList"]}
    assert saved == dict.fromkeys(company_forms("")) | draft
    assert (rows(up)[0]["companyType"], rows(up)[0]["status"], standing(up)) == ("partnership", 0, 0)
    assert submit(up, "level_1", {"company_basic_info": "[]"}, commitTag=False, **partner) == WRONG
    assert submit(up, "level_1", draft, **partner) == MISSING


def test_a_company_hands_in_all_five_forms(up: Upstream, clock: Clock) -> None:
    start(up, "enterprise", openAccountType=1)
    assert submit(up, "level_1", company_answers(up), commitTag=True, **COMPANY) == "0"
    assert standing(up) == 1
    assert submit(up, "level_1", {}, commitTag=False, **COMPANY) == IN_REVIEW
    clock.skipped = 21
    assert standing(up) == 2


def test_enterpriserejected_rejects_the_first_final_submission(up: Upstream, clock: Clock) -> None:
    start(up, "enterpriserejected", openAccountType=1)
    answers = company_answers(up)
    assert submit(up, "level_1", answers, commitTag=False, **COMPANY) == "0"
    assert submit(up, "level_1", answers, **COMPANY) == "0"
    clock.skipped = 21
    told = up(f"{KYC}.checkKycApply", {"businessCode": "open_account", "openAccountType": 1})
    assert told["data"] == 3 and "blurred" in told["msg"]
    (path,) = levels(up, **COMPANY)
    assert {element["elementCode"]: element["elementValue"] for element in path["elementList"]} == answers
    assert submit(up, "level_1", answers, **COMPANY) == "0"
    clock.skipped = 42
    assert standing(up) == 2


def test_enterpriserejected_is_for_companies(up: Upstream, clock: Clock) -> None:
    start(up, "enterpriserejected")
    assert submit(up, "level_1", up.passport()) == "0"
    clock.skipped = 21
    assert standing(up) == 2


# -- Levels that a test made up --------------------------------------------------------------------

NONSENSE: list[Any] = [
    None,
    7,
    {"levelCode": "level_1", "elementList": [{"elementCode": "a", "showType": 5}, None], "extra": [{}]},
    {"levelCode": "level_1", "openAccountType": 1, "elementList": None},
    {"levelCode": "x" * 600, "elementList": "none"},
    {"levelCode": None},
]


def test_what_a_test_asks_goes_out_as_it_is(up: Upstream) -> None:
    up.sandbox.ask("Ann@example.org", NONSENSE)
    assert up.register("ann@example.org")["data"]["list"] == NONSENSE
    assert levels(up) == NONSENSE
    assert levels(up, levelCode="level_1") == NONSENSE[2:4]
    assert levels(up, levelCode="x" * 600) == [NONSENSE[4]]
    assert [row["levelCode"] for row in rows(up)] == ["level_1", "x" * 600]


def test_answers_to_a_tests_levels_are_kept_unread(up: Upstream, clock: Clock) -> None:
    up.sandbox.ask("+86 13800138000", NONSENSE)
    up.register("13800138000")
    assert standing(up) == 0
    body = {"levelCode": "level_1", "pathCode": "", "openAccountType": 0, "elementList": pairs(("a", ""), ("a", "2"))}
    assert up(f"{KYC}.kycLevelApply", body)["data"].startswith("K")
    (application,) = up.sandbox.applications()
    assert (application["levelCode"], application["body"]["elementList"]) == ("level_1", body["elementList"])
    assert standing(up) == 1
    clock.skipped = 21
    assert standing(up) == 2
    assert up(f"{KYC}.kycLevelApply", body)["code"] == "0" and len(up.sandbox.applications()) == 2


@pytest.mark.parametrize(
    "elements", ["a", {"a": "b"}, [{"elementCode": "a"}], [{"elementCode": "a", "elementValue": 1}]]
)
def test_the_structure_of_such_answers_is_checked(up: Upstream, elements: Any) -> None:
    up.sandbox.ask("ann@example.org", NONSENSE)
    up.register("ann@example.org")
    body = {"levelCode": "level_1", "elementList": elements}
    assert up(f"{KYC}.kycLevelApply", body)["code"] == "GATEWAY_CODE_015"
    assert up.sandbox.applications() == []


@pytest.mark.parametrize("entries", [None, [], [None]])
def test_a_test_may_ask_for_nothing(up: Upstream, entries: list[Any] | None) -> None:
    up.sandbox.ask("ann@example.org", entries)
    assert up.register("ann@example.org")["data"]["list"] == entries
    assert up(f"{KYC}.checkKycApply", {"businessCode": "open_account"})["msgParams"] == "CUSTOMER_API_0000602"


def test_what_was_asked_is_of_that_customer_alone_and_forgotten_by_clear(up: Upstream) -> None:
    up.sandbox.ask("ann@example.org", [])
    assert len(up(REGISTER, up.registration("bob@example.org"))["data"]["list"]) == 1
    up.sandbox.clear()
    assert len(up.register("ann@example.org")["data"]["list"]) == 1
