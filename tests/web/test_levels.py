"""Whatever the upstream asks for gives a step that can be filled in, and what is entered arrives as it wants it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from onboarding.sandbox.dictionaries import codes_of
from onboarding.sandbox.server import Sandbox
from tests.contract.test_sandbox import LOGIN, MD5, Clock, Upstream
from tests.form_reader import entries, faults, fields, walk
from tests.support import Customer, Server, Shown, fresh_email, picture

PASSWORD = "a long password"  # MD5 is its digest


def applications(sandbox: Sandbox, email: str, *, drafts: bool = False) -> list[dict[str, Any]]:
    """What the upstream got of this customer, first one first."""
    (entry,) = [one for one in sandbox.registrations() if one["body"]["loginName"] == email]
    found = [one for one in sandbox.applications() if one["customerNo"] == entry["customerNo"]]
    return [one for one in reversed(found) if drafts or not one["draft"]]


def answers(application: dict[str, Any]) -> dict[str, str]:
    return {one["elementCode"]: one["elementValue"] for one in application["body"]["elementList"]}


def register(customer: Customer, tag: str, **answers: str) -> str:
    email = fresh_email(tag)
    customer.register(email=email, **answers)
    return email


def look_until(customer: Customer, step: str) -> None:
    """Looks at the last step again, as the page does by itself, until the review has been looked at."""
    for _ in range(4):
        if customer.shown.step == step:
            return
        customer.wait()
        customer.get(customer.flow_url)
    assert customer.shown.step == step


# -- Kinds -------------------------------------------------------------------------------------------------------------


def test_every_kind_arrives_in_its_own_encoding(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "all")
    chosen = {"id_card_type-kind": "passport", "occupation": "student", "nationality": "ES", "tax_resident": "false"}
    assert list(walk(customer, risk="7", about="Líne 1\r\nLine 2", **chosen)) == [("level_1", "")]
    assert customer.shown.step == "done"
    got = answers(applications(sandbox, email)[0])
    assert got["birthday"] == "642902400000"
    assert got["passport"] == "E12345678"
    assert (got["occupation"], got["nationality"], got["tax_resident"]) == ("student", "ES", "false")
    assert got["about"] == "Líne 1\nLine 2"
    assert got["risk"] == "7"
    uploads = ("proof_of_passpord", "handheld_identity_card", "face_photo", "proof_of_income")
    assert all(got[code].startswith(sandbox.url) for code in uploads)
    assert not {"id_card_type", "identity_card", "front_identity_card", "proof_of_drive"} & set(got)


def test_a_phone_number_gets_the_keypad_for_numbers(customer: Customer) -> None:
    register(customer, "all")
    found = {one.name: one.attributes for one in fields(customer.shown)}
    assert found["el-phone"]["inputmode"] == "tel"
    assert "inputmode" not in found["el-name"]
    assert found["el-birthday"]["min"] == "1900-01-01"


def test_a_document_is_taken_where_a_document_is_asked_and_nowhere_else(customer: Customer) -> None:
    register(customer, "all")
    data, files = entries(customer.shown, **{"id_card_type-kind": "passport"})
    pdf = ("proof.pdf", PDF, "application/pdf")
    files |= {"el-proof_of_income": pdf, "el-face_photo": pdf, "el-proof_of_passpord": pdf}
    shown = customer.post(customer.flow_url + "level/", {**data, "el-risk": "7"}, files=files)
    assert shown.status == 422
    assert [text.partition(":")[0] for text in shown.summary] == ["Photo of your face"]


PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\nxref\n0 4\n0000000000 65535 f \n"
    b"0000000009 00000 n \n0000000053 00000 n \n0000000102 00000 n \n"
    b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n165\n%%EOF\n"
)


def test_pictures_are_shown_for_the_chosen_document_only(customer: Customer) -> None:
    register(customer, "")
    assert not [one for one in fields(customer.shown) if one.type == "file"]
    data, _files = entries(customer.shown, **{"id_card_type-kind": "identity_card"})
    shown = customer.post(customer.flow_url + "level/", {**data, "choose": "1"})
    assert (shown.status, shown.summary) == (200, [])
    assert [one.name for one in fields(shown) if one.type == "file"] == [
        "el-front_identity_card",
        "el-back_identity_card",
    ]
    assert shown.value("el-name") == "Ann Example"


def test_odd_codes_and_names_are_asked_and_sent_as_they_are(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "oddcodes")
    asked = [one for one in fields(customer.shown) if one.name.startswith("el-")]
    assert len({one.name for one in asked}) == len(asked)
    assert all(one.label for one in asked)
    list(walk(customer))
    assert customer.shown.step == "done"
    sent = applications(sandbox, email)[0]["body"]["elementList"]
    assert [one["elementCode"] for one in sent].count("twice") == 2


def test_a_level_inside_a_partners_page_is_sound(start_server: Callable[..., Server], sandbox: Sandbox) -> None:
    server = start_server(EMBED_ORIGINS="https://partner.example", PASSWORD_STEP="off")
    customer = Customer(server, sandbox)
    register(customer, "all")
    assert faults(customer.shown) == []
    (picker,) = [one for one in fields(customer.shown) if one.name == "el-proof_of_income"]
    assert {"image/heic", ".heic", "application/pdf"} <= set(picker.attributes["accept"].split(","))


def test_sixty_elements_on_one_level(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "many")
    list(walk(customer))
    assert customer.shown.step == "done"
    assert len(answers(applications(sandbox, email)[0])) == 58, "two are pictures of other documents"


# -- Lists that elements name ------------------------------------------------------------------------------------------

OWN_NAMES = ("countries", "company_countries", "EnterpriseType", "id_card_type", "Business_Nature", "-1")


def ask_for_choices(server: Server, sandbox: Sandbox, codes: Iterable[str], **answers: Any) -> Customer:
    """A customer who is asked to choose from the lists of these names."""
    email, customer = fresh_email(), Customer(server, sandbox)
    elements = [{"elementCode": code, "elementName": f"<{code}>", "showType": "select"} for code in codes]
    sandbox.ask(email, [{"levelCode": "level_1", "elementList": elements}])
    customer.register(email=email, **answers)
    return customer


def choices(shown: Shown, name: str) -> set[str]:
    form = shown.step if shown.step in ("level", "identify") else "other"
    return next({c for c in one.choices if c} for one in fields(shown, form) if one.name == name)


def lists_are_right(server: Server, sandbox: Sandbox) -> None:
    """What the first page, a person's level and a company's level offer."""
    for language in ("en", "zh-hans", "es"):
        start = Customer(server, sandbox).get("/", lang=language)
        assert start.status == 200
        assert {"GB", "ES", "CN"} <= choices(start, "country")
    person, firm = Customer(server, sandbox), Customer(server, sandbox)
    register(person, "")
    assert choices(person.shown, "el-id_card_type-kind") == {"identity_card", "passport", "drving_license"}
    company(firm)
    assert "GB" in choices(firm.shown, "el-country")
    assert choices(firm.shown, "el-company_type") == codes_of("EnterpriseType")
    until(firm, "company_basic_info")
    assert choices(firm.shown, "el-company_basic_info-accountInfo-nature") == codes_of("Business_Nature")
    assert {"GB", "ES"} <= choices(firm.shown, "el-company_basic_info-regAddress-regCountry")


@pytest.mark.parametrize("first", ["the element", "the first page"])
def test_a_list_called_like_one_of_ours_spoils_nothing(
    start_server: Callable[..., Server], sandbox: Sandbox, first: str
) -> None:
    server = start_server(PASSWORD_STEP="off")
    if first == "the first page":
        lists_are_right(server, sandbox)
    customer = ask_for_choices(server, sandbox, OWN_NAMES)
    for language in ("zh-hans", "es", "en"):
        data = {"level": "level_1", "language": "1", "lang": language}
        assert customer.post(customer.flow_url + "level/", data).status == 200
    lists_are_right(server, sandbox)
    assert choices(customer.shown, "el-id_card_type") == {"identity_card", "passport", "drving_license"}
    assert choices(customer.shown, "el-EnterpriseType") == codes_of("EnterpriseType")
    list(walk(customer))
    assert customer.shown.step == "done"


def odd_names(number: int) -> list[str]:
    return [f"{OWN_NAMES[n % len(OWN_NAMES)]} {number} {n} <&> \u4e2d\U0001f600" for n in range(250)]


def test_many_lists_with_odd_names_leave_the_others_as_they_are(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(PASSWORD_STEP="off")
    customer = ask_for_choices(server, sandbox, odd_names(0))
    assert len([one for one in fields(customer.shown) if one.name.startswith("el-")]) == 250
    lists_are_right(server, sandbox)
    list(walk(customer))
    assert customer.shown.step == "done"


def test_many_lists_at_once_are_asked_for_without_a_fault(start_server: Callable[..., Server]) -> None:
    with Sandbox(port=0, rate_limit=100_000) as quick:
        server = start_server(PASSWORD_STEP="off", upstream=quick.url + "/api")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n: ask_for_choices(server, quick, odd_names(n)), range(12)))
        assert {(one.shown.status, one.shown.step) for one in found} == {(200, "level")}
        lists_are_right(server, quick)


# -- Levels ------------------------------------------------------------------------------------------------------------


def test_elements_that_the_registration_did_not_name_are_fetched(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "emptylevel")
    assert customer.shown.step == "level"
    assert [level for level, _part in walk(customer)] == ["level_1"]
    assert len(applications(sandbox, email)) == 1


def test_a_level_without_elements_is_left_out(customer: Customer) -> None:
    register(customer, "noelements")
    assert [level for level, _part in walk(customer)] == ["level_2"]
    assert customer.shown.step == "done"


def test_levels_of_another_account_type_are_not_asked_for(customer: Customer) -> None:
    register(customer, "mixed")
    assert [level for level, _part in walk(customer)] == ["level_1", "level_2"]
    assert customer.shown.step == "done"


def test_a_level_that_opens_later_comes_when_the_first_has_passed(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "later")
    assert [level for level, _part in walk(customer)] == ["level_1", "level_2"]
    look_until(customer, "done")
    assert [one["levelCode"] for one in applications(sandbox, email)] == ["level_1", "level_2"]


def test_the_level_that_must_come_first_is_opened(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "order")
    assert customer.shown.level == "level_2"
    seen = walk(customer)
    assert next(seen) == ("level_2", "")
    assert next(seen) == ("level_1", "")
    assert [level for level, _part in seen] == ["level_2"]
    assert customer.shown.step == "done"
    assert [one["levelCode"] for one in applications(sandbox, email)] == ["level_1", "level_2"]


def test_only_the_rejected_level_is_open_again(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "secondrejected")
    seen = [level for level, _part in walk(customer)]
    assert seen == ["level_1", "level_2", "level_3", "level_2", "level_3"]
    assert customer.shown.step == "done"
    assert [one["levelCode"] for one in applications(sandbox, email)] == ["level_1", "level_2", "level_2", "level_3"]


REJECTED = "We could not accept this yet"


def test_a_rejection_without_a_reason_is_one_all_the_same(customer: Customer) -> None:
    register(customer, "rejected+noreason")
    customer.level()
    assert (customer.shown.step, customer.shown.level) == ("level", "level_1")
    assert REJECTED in customer.shown.text and "Success" not in customer.shown.text
    assert customer.level(files={}).step == "done"


def test_every_level_that_was_rejected_says_so_and_no_other(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email("rejected+secondrejected")
    name = {"elementCode": "name", "elementName": "Name", "showType": "input"}
    sandbox.ask(email, [{"levelCode": f"level_{n}", "elementList": [name]} for n in (1, 2, 3)])
    customer.register(email=email)
    seen = []
    while customer.shown.step == "level":
        seen.append((customer.shown.level[-1], REJECTED in customer.shown.text))
        customer.post(customer.flow_url + "level/", {"level": customer.shown.level, "el-name": "Ann"})
    assert seen == [("1", False), ("2", False), ("3", False), ("1", True), ("2", True)]
    assert customer.shown.step == "done"


@pytest.mark.parametrize(("tag", "left"), [("levels", "3 parts are left."), ("paths", ""), ("", "")])
def test_how_many_levels_are_open_is_said_where_there_are_several(customer: Customer, tag: str, left: str) -> None:
    register(customer, tag)
    assert left in customer.shown.text
    assert ("left." in customer.shown.text) is bool(left)


def test_how_many_levels_are_open_is_said_before_a_way_is_chosen_and_when_one_is_rejected(
    customer: Customer, sandbox: Sandbox
) -> None:
    email = fresh_email("rejected+secondrejected")
    name = {"elementCode": "name", "elementName": "Name", "showType": "input"}
    ways = [("level_1", "P1"), ("level_1", "P2"), ("level_2", "P1")]
    sandbox.ask(email, [{"levelCode": level, "pathCode": way, "elementList": [name]} for level, way in ways])
    customer.register(email=email)
    assert customer.shown.step == "path" and "2 parts are left." in customer.shown.text
    customer.post(customer.flow_url + "path/", {"path": "P1"})
    said = []
    for level in ("level_1", "level_2", "level_1", "level_2"):
        said.append("2 parts are left." in customer.shown.text)
        customer.post(customer.flow_url + "level/", {"level": level, "el-name": "Ann"})
    assert said == [True, False, True, False]
    assert customer.shown.step == "done"


@pytest.mark.parametrize(("seconds", "outcome"), [(60.0, "in_review"), (0.0, "passed")])
def test_a_level_that_was_handed_in_elsewhere_is_shown_as_such(
    start_server: Callable[..., Server], seconds: float, outcome: str
) -> None:
    with Sandbox(port=0, review_seconds=seconds) as other:
        customer = Customer(start_server(upstream=other.url + "/api"), other)
        email = fresh_email()
        customer.register(email=email, password=PASSWORD)
        assert customer.shown.step == "level"
        platform = Upstream(other, Clock())
        login = {"type": 1, "loginName": email, "device": 2, "isThird": False, "loginPwd": MD5}
        platform.token = platform(LOGIN, login)["data"]["token"]
        assert platform.apply("level_1", platform.passport())["code"] == "0"
        shown = customer.level()
        assert (shown.status, shown.step, shown.summary) == (200, "done", [])
        assert f'data-outcome="{outcome}"' in shown.text
        assert len(applications(other, email)) == 1


@pytest.mark.parametrize(
    ("tag", "field", "text"),
    [
        ("idtaken", "Identity document", "This document number already belongs to another customer"),
        ("phonetaken", "Contact phone", "This phone number already belongs to another customer"),
    ],
)
def test_what_another_customer_gave_already_is_said_at_its_element(
    customer: Customer, sandbox: Sandbox, tag: str, field: str, text: str
) -> None:
    email = register(customer, f"all+{tag}")
    chosen = {"id_card_type-kind": "drving_license", "risk": "7"}
    data, _files = entries(customer.shown, **chosen)
    customer.post(customer.flow_url + "level/", {**data, "choose": "1"})
    data, files = entries(customer.shown, **chosen)
    shown = customer.post(customer.flow_url + "level/", data, files=files)
    assert shown.status == 422
    assert [said.startswith(f"{field}: {text}") for said in shown.summary] == [True]
    assert len(shown.errors) == 1 and faults(shown) == []
    data, _files = entries(shown, **chosen)
    assert customer.post(customer.flow_url + "level/", data).step == "done"
    assert len(applications(sandbox, email)) == 1


# -- Files one by one --------------------------------------------------------------------------------------------------


def send_file(customer: Customer, name: str, content: bytes = b"", **data: str) -> Any:
    files = {name: ("photo.png", content or picture(), "image/png")}
    return customer.post(customer.flow_url + "upload/", {"level": "level_1", "field": name, **data}, files=files)


def test_a_file_sent_by_itself_is_answered_by_its_element(customer: Customer, sandbox: Sandbox) -> None:
    register(customer, "")
    shown = send_file(customer, "el-proof_of_passpord")
    assert shown.status == 200
    assert shown.text.strip().startswith('<div class="field picture"')
    assert "photo.png" in shown.text
    shown = send_file(customer, "el-proof_of_passpord", b"hello")
    assert shown.status == 422
    assert "We cannot read this file." in shown.text
    customer.get(customer.flow_url)
    assert customer.level(files={}).step == "done", "the good one is kept"


def test_a_file_of_nothing_that_is_asked_leads_to_the_current_step(customer: Customer) -> None:
    register(customer, "")
    for name, data in (("el-other", {}), ("el-proof_of_passpord", {"level": "level_9"}), ("el-name", {"part": "x"})):
        shown = send_file(customer, name, **data)
        assert (shown.status, shown.step) == (409, "level")


def test_a_file_that_the_upstream_refuses_is_said_at_its_element(customer: Customer) -> None:
    register(customer, "badfile")
    assert send_file(customer, "el-proof_of_passpord").status == 422
    assert send_file(customer, "el-proof_of_passpord").status == 200


# -- Companies ---------------------------------------------------------------------------------------------------------

PARTS = [
    "company", "company_basic_info", "company_upload_file", "company_auth_director", "company_auth_owner",
    "company_account_owner", "declaration",
]  # fmt: skip


def company(customer: Customer, tag: str = "enterprise") -> str:
    return register(customer, tag, account_type="enterprise")


def until(customer: Customer, part: str) -> None:
    """Fills in the parts before this one."""
    while customer.shown.value("part") != part:
        data, files = entries(customer.shown, country="GB")
        shown = customer.post(customer.flow_url + "level/", data, files=files or None)
        assert shown.status == 200, shown.summary


def press(customer: Customer, button: str, **chosen: str) -> None:
    data, files = entries(customer.shown, **chosen)
    customer.post(customer.flow_url + "level/", {**data, button: "1"}, files=files or None)


def test_a_company_is_asked_part_by_part_and_sent_once(customer: Customer, sandbox: Sandbox) -> None:
    email = company(customer)
    assert [part for _level, part in walk(customer, country="GB")] == PARTS
    assert customer.shown.step == "done"
    (final,) = applications(sandbox, email)
    body = final["body"]
    assert (body["openAccountType"], body["selectCountry"], body["commitTag"]) == (1, "GB", True)
    got = {code: json.loads(value) for code, value in answers(final).items()}
    assert list(got) == PARTS[1:-1]
    about = got["company_basic_info"]
    assert about["accountInfo"]["createTime"] == 642902400000
    assert about["opertion"].keys() == {"opertionCountry", "opertionCountryName", "opertionCity", "opertionStreet"}
    assert about["regAddress"]["regCountryName"]
    (director,) = got["company_auth_director"]["list"]
    assert director["idTypeName"] and director["birthDay"] == 642902400000
    assert got["company_account_owner"]["list"][0]["main"] is True
    assert got["company_account_owner"]["mainAccount"].startswith(sandbox.url)


def test_first_and_last_name_are_not_swapped(customer: Customer, sandbox: Sandbox) -> None:
    email = company(customer)
    until(customer, "company_auth_director")
    labels = {one.name: one.label for one in fields(customer.shown)}
    assert labels["el-company_auth_director-0-firstName"] == "First name"
    assert labels["el-company_auth_director-0-lastname"] == "Last name"
    names = {"company_auth_director-0-firstName": "Jo", "company_auth_director-0-lastname": "Roe"}
    list(walk(customer, **names))
    got = json.loads(answers(applications(sandbox, email)[0])["company_auth_director"])
    assert (got["list"][0]["firstName"], got["list"][0]["lastname"]) == ("Jo", "Roe")


def test_people_are_added_and_removed_row_by_row(customer: Customer, sandbox: Sandbox) -> None:
    email = company(customer)
    until(customer, "company_auth_director")
    for row, name in enumerate(("Jo", "Kim", "Lee")):
        press(customer, "add-company_auth_director", **{f"company_auth_director-{row}-firstName": name})
        assert customer.shown.status == 200
    assert customer.shown.value("rows") == "4"
    given = {f"company_auth_director-{row}-firstName": name for row, name in enumerate(("Jo", "Kim", "Lee", "Max"))}
    press(customer, "remove-company_auth_director-1", **given)
    names = [customer.shown.value(f"el-company_auth_director-{row}-firstName") for row in range(3)]
    assert names == ["Jo", "Lee", "Max"]
    press(customer, "remove-company_auth_director-0", **{
        f"company_auth_director-{row}-firstName": name for row, name in enumerate(names)
    })  # fmt: skip
    list(walk(customer, **{"company_auth_director-0-firstName": "Lee", "company_auth_director-1-firstName": "Max"}))
    got = json.loads(answers(applications(sandbox, email)[0])["company_auth_director"])
    assert [one["firstName"] for one in got["list"]] == ["Lee", "Max"]


def test_the_last_person_cannot_be_removed_and_no_more_than_twenty_added(customer: Customer) -> None:
    company(customer)
    until(customer, "company_auth_owner")
    press(customer, "remove-company_auth_owner-0")
    assert customer.shown.value("rows") == "1"
    data, files = entries(customer.shown)
    button = {"add-company_auth_owner": "1"}
    customer.post(customer.flow_url + "level/", {**data, "rows": "20", **button}, files=files)
    assert customer.shown.value("rows") == "20"
    assert "add-company_auth_owner" not in {one.name for one in fields(customer.shown)}


def test_a_draft_is_kept_by_the_upstream_and_by_us(customer: Customer, sandbox: Sandbox) -> None:
    email = company(customer)
    until(customer, "company_basic_info")
    data, _files = entries(customer.shown)
    data |= {"el-company_basic_info-accountInfo-companyName": "Example Ltd", "draft": "1"}
    data["el-company_basic_info-accountInfo-regNo"] = ""
    shown = customer.post(customer.flow_url + "level/", data)
    assert (shown.status, shown.summary) == (200, [])
    assert "Saved." in shown.text
    draft = applications(sandbox, email, drafts=True)[-1]
    assert draft["draft"] is True
    got = json.loads(answers(draft)["company_basic_info"])["accountInfo"]
    assert got["companyName"] == "Example Ltd" and "regNo" not in got
    shown = customer.get(customer.flow_url)
    assert shown.value("el-company_basic_info-accountInfo-companyName") == "Example Ltd"
    assert shown.value("part") == "company_basic_info"


def test_a_part_can_be_changed_until_it_is_sent(customer: Customer, sandbox: Sandbox) -> None:
    email = company(customer)
    until(customer, "declaration")
    shown = customer.get(customer.flow_url, part="company_auth_owner")
    assert shown.value("el-company_auth_owner-0-firstName") == "Ann Example"
    press(customer, "ignored", **{"company_auth_owner-0-firstName": "Sam"})
    assert customer.shown.value("part") == "declaration"
    list(walk(customer))
    got = json.loads(answers(applications(sandbox, email)[0])["company_auth_owner"])
    assert got["list"][0]["firstName"] == "Sam"


def test_a_company_is_not_sent_without_the_declaration(customer: Customer, sandbox: Sandbox) -> None:
    email = company(customer)
    until(customer, "declaration")
    data, _files = entries(customer.shown)
    del data["declare"]
    shown = customer.post(customer.flow_url + "level/", data)
    assert (shown.status, list(shown.errors)) == (422, ["id_declare"])
    assert applications(sandbox, email) == []


def test_a_part_that_is_not_reached_yet_cannot_be_answered(customer: Customer) -> None:
    company(customer)
    data, _files = entries(customer.shown, country="GB")
    for part in ("declaration", "company_auth_owner", "nonsense"):
        shown = customer.post(customer.flow_url + "level/", {**data, "part": part, "declare": "on"})
        assert (shown.status, shown.value("part")) == (409, "company")
    assert customer.get(customer.flow_url, part="declaration").value("part") == "company"


BAD_COMPANY = [
    ("company_auth_director", "company_auth_director-0-email", "nonsense"),
    ("company_auth_director", "company_auth_director-0-idNo", "!"),
    ("company_basic_info", "company_basic_info-accountInfo-nature", "nonsense"),
    ("company_basic_info", "company_basic_info-regAddress-regCountry", "XX"),
]


def test_what_is_wrong_with_one_of_several_people_says_with_whom(customer: Customer) -> None:
    company(customer)
    until(customer, "company_auth_director")
    press(customer, "add-company_auth_director")
    data, files = entries(customer.shown)
    data |= {"el-company_auth_director-1-email": "nonsense"}
    shown = customer.post(customer.flow_url + "level/", data, files=files)
    (text,) = shown.summary
    assert text.startswith("Director 2, E-mail address: ")


@pytest.mark.parametrize(("part", "name", "value"), BAD_COMPANY)
def test_a_wrong_answer_is_said_at_its_field(customer: Customer, part: str, name: str, value: str) -> None:
    company(customer)
    until(customer, part)
    data, files = entries(customer.shown)
    shown = customer.post(customer.flow_url + "level/", {**data, f"el-{name}": value}, files=files or None)
    (field,) = [one for one in fields(shown) if one.name == f"el-{name}"]
    assert (shown.status, list(shown.errors)) == (422, [field.id])


def test_a_rejected_company_is_shown_the_reason_and_everything_it_entered(customer: Customer, sandbox: Sandbox) -> None:
    email = company(customer, "enterpriserejected")
    until(customer, "declaration")
    data, _files = entries(customer.shown)
    customer.post(customer.flow_url + "level/", data)
    look_until(customer, "level")
    assert "blurred" in customer.shown.text
    assert customer.shown.value("part") == "declaration"
    shown = customer.get(customer.flow_url, part="company_basic_info")
    assert shown.value("el-company_basic_info-regAddress-regCity") == "Ann Example"
    customer.get(customer.flow_url)
    assert [part for _level, part in walk(customer)] == ["declaration"]
    assert len(applications(sandbox, email)) == 2


def test_another_country_asks_again_and_keeps_what_was_entered(customer: Customer) -> None:
    company(customer)
    until(customer, "company_upload_file")
    customer.get(customer.flow_url, part="company")
    press(customer, "ignored", country="MC")
    assert customer.shown.value("part") == "company_upload_file"
    shown = customer.get(customer.flow_url, part="company_basic_info")
    assert shown.value("el-company_basic_info-regAddress-regCity") == "Ann Example"


def test_a_draft_that_the_upstream_does_not_take_stops_nobody(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    customer = Customer(start_server(KYC_BUSINESS_CODE="open_account"), sandbox)
    company(customer)
    assert [part for _level, part in walk(customer, country="GB")] == PARTS
    assert customer.shown.step == "done"


# -- Nothing typed is lost by looking elsewhere ------------------------------------------------------------------------

ADDRESS = {"elementCode": "address", "elementName": "Address", "showType": "input"}
TWO_WAYS = [
    {"levelCode": "level_1", "pathCode": code, "pathName": code, "elementList": elements}
    for code, elements in (
        ("P1", [{"elementCode": "name", "showType": "input"}, {"elementCode": "front", "showType": "image"}]),
        ("P2", [{"elementCode": "name", "showType": "input"}, {"elementCode": "card", "showType": "input"},
                {"elementCode": "back", "showType": "image"}]),
    )
]  # fmt: skip


@pytest.fixture
def on_two_ways(customer: Customer, sandbox: Sandbox) -> Customer:
    """One who has filled in some of the first way and then chosen the second one."""
    email = fresh_email()
    sandbox.ask(email, TWO_WAYS)
    customer.register(email=email)
    customer.post(customer.flow_url + "path/", {"path": "P1"})
    data, files = entries(customer.shown, name="Ann")
    shown = customer.post(customer.flow_url + "level/", {**data, "other-way": "1"}, files=files)
    assert (shown.status, shown.step) == (200, "path")
    customer.post(customer.flow_url + "path/", {"path": "P2"})
    return customer


def test_another_way_asks_for_its_own(on_two_ways: Customer) -> None:
    assert [one.name for one in fields(on_two_ways.shown) if one.type == "file"] == ["el-back"]


def test_what_was_entered_on_one_way_is_there_when_it_is_chosen_again(on_two_ways: Customer) -> None:
    customer = on_two_ways
    data, files = entries(customer.shown, name="Ann", card="4242")
    assert customer.post(customer.flow_url + "level/", {**data, "other-way": "1"}, files=files).step == "path"
    shown = customer.post(customer.flow_url + "path/", {"path": "P1"})
    assert shown.value("el-name") == "Ann"
    assert shown.value("el-front-file") != "" and "picture.png" in shown.text
    customer.post(customer.flow_url + "level/", {**entries(shown)[0], "other-way": "1"})
    shown = customer.post(customer.flow_url + "path/", {"path": "P2"})
    assert shown.value("el-card") == "4242"
    assert shown.value("el-back-file") != "" and "picture.png" in shown.text


def test_what_the_upstream_has_saved_of_another_way_is_shown_there(customer: Customer, sandbox: Sandbox) -> None:
    email = fresh_email()
    sandbox.ask(email, [TWO_WAYS[0], {**TWO_WAYS[1], "elementList": [{**ADDRESS, "elementValue": "Saved Street 1"}]}])
    customer.register(email=email)
    customer.post(customer.flow_url + "path/", {"path": "P1"})
    customer.post(customer.flow_url + "level/", {**entries(customer.shown)[0], "other-way": "1"})
    shown = customer.post(customer.flow_url + "path/", {"path": "P2"})
    assert shown.value("el-address") == "Saved Street 1"


def test_the_way_chosen_last_is_the_one_that_is_sent(on_two_ways: Customer, sandbox: Sandbox) -> None:
    data, files = entries(on_two_ways.shown, card="4242")
    assert on_two_ways.post(on_two_ways.flow_url + "level/", data, files=files).step == "done"
    (final,) = applications(sandbox, on_two_ways.sent["email"])
    assert final["body"]["pathCode"] == "P2"
    assert list(answers(final)) == ["name", "card", "back"]


def test_a_level_with_one_way_offers_no_other(customer: Customer) -> None:
    register(customer, "")
    assert "other-way" not in {one.name for one in fields(customer.shown)}


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_another_language_keeps_what_was_typed(customer: Customer, headers: dict[str, str]) -> None:
    register(customer, "")
    data = {"level": "level_1", "el-name": "Ann", "el-birthday": "19", "el-id_card_type-number": "E1"}
    file = {"el-proof_of_passpord": ("photo.png", picture(), "image/png")}
    url = customer.flow_url
    shown = customer.post(url + "level/", {**data, "language": "1", "lang": "es"}, files=file, **headers)
    if headers:
        assert shown.response.headers["HX-Redirect"] == url.removeprefix(customer.server.url)
    shown = customer.get(url)
    assert '<html lang="es"' in shown.text
    assert [shown.value(name) for name in data][1:] == ["Ann", "19", "E1"]
    data = {"level": "level_1", "el-name": "Ann", "el-id_card_type-kind": "passport", "choose": "1"}
    assert "photo.png" in customer.post(url + "level/", data).text


def test_a_language_that_nobody_speaks_changes_nothing(customer: Customer) -> None:
    register(customer, "")
    data = {"level": "level_1", "el-name": "Ann", "language": "1", "lang": "xx"}
    shown = customer.post(customer.flow_url + "level/", data)
    assert (shown.status, shown.value("el-name")) == (200, "Ann")
    assert '<html lang="en"' in shown.text


def test_another_language_leads_to_the_same_part(customer: Customer) -> None:
    company(customer)
    until(customer, "company_auth_director")
    customer.get(customer.flow_url, part="company_basic_info")
    data = entries(customer.shown, **{"company_basic_info-accountInfo-companyName": "Example S.A."})[0]
    shown = customer.post(customer.flow_url + "level/", {**data, "lang": "es", "language": "1"})
    assert '<html lang="es"' in shown.text
    assert shown.value("part") == "company_basic_info"
    assert shown.value("el-company_basic_info-accountInfo-companyName") == "Example S.A."


def test_changing_another_part_keeps_what_was_typed_in_this_one(customer: Customer) -> None:
    company(customer)
    until(customer, "company_auth_director")
    data = {"part": "company_auth_director", "level": "level_1", "rows": "1", "go-company_basic_info": "1"}
    data |= {"el-company_auth_director-0-firstName": "Jo", "el-company_auth_director-0-email": "jo at"}
    file = {"el-company_auth_director-0-photo": ("jo.png", picture(), "image/png")}
    shown = customer.post(customer.flow_url + "level/", data, files=file)
    assert (shown.status, shown.value("part")) == (200, "company_basic_info")
    shown = customer.get(customer.flow_url)
    assert shown.value("part") == "company_auth_director"
    assert shown.value("el-company_auth_director-0-firstName") == "Jo"
    assert shown.value("el-company_auth_director-0-email") == "jo at"
    assert "jo.png" in shown.text


def test_the_button_of_a_part_that_is_not_there_leads_to_the_current_one(customer: Customer) -> None:
    company(customer)
    until(customer, "company_auth_director")
    for part in ("declaration", "nonsense", ""):
        press(customer, f"go-{part}")
        assert (customer.shown.status, customer.shown.value("part")) == (200, "company_auth_director")


def test_what_the_upstream_has_in_english_only_is_marked_as_english(customer: Customer) -> None:
    customer.register(query={"lang": "ja"}, email=fresh_email())
    assert '<html lang="ja"' in customer.shown.text
    assert re.search(r'<label for="[^"]+"><bdi lang="en">Full name</bdi>', customer.shown.text)
    customer.post(customer.flow_url + "level/", {"level": "level_1", "language": "1", "lang": "es"})
    assert re.search(r'<label for="[^"]+"><bdi>Nombre completo</bdi>', customer.shown.text)
