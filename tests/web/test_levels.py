"""Whatever the upstream asks for gives a step that can be filled in, and what is entered arrives as it wants it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from onboarding.sandbox.server import Sandbox
from tests.form_reader import entries, fields, walk
from tests.support import Customer, Server, fresh_email, picture


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


def test_sixty_elements_on_one_level(customer: Customer, sandbox: Sandbox) -> None:
    email = register(customer, "many")
    list(walk(customer))
    assert customer.shown.step == "done"
    assert len(answers(applications(sandbox, email)[0])) == 58, "two are pictures of other documents"


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
