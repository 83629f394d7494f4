"""Two tabs, two devices, a button pressed twice, an answer that comes late: everybody keeps their own, once."""

from __future__ import annotations

import html
import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from PIL import Image

from onboarding.sandbox.server import Sandbox
from tests.form_reader import entries, fields, walk
from tests.support import Customer, Shown, fresh_email, picture

Files = dict[str, tuple[str, bytes, str]]

NAME = {"elementCode": "name", "elementName": "Name", "showType": "input"}
PHOTO = {"elementCode": "proof_of_passpord", "elementName": "Passport", "showType": "image"}
PASSPORT = "el-proof_of_passpord"
DIRECTORS = {"elementCode": "company_auth_director", "elementName": "Directors"}
OWNERS = {"elementCode": "company_auth_owner", "elementName": "Owners"}
ADD, REMOVE = "add-company_auth_director", "remove-company_auth_director-"


def ask(customer: Customer, *elements: dict[str, Any], tag: str = "", **answers: Any) -> None:
    """Registers a customer who is asked for this."""
    ask_all(customer, [{"levelCode": "level_1", "elementList": list(elements)}], tag, **answers)


def ask_all(customer: Customer, asked: list[Any], tag: str = "", **answers: Any) -> None:
    email = fresh_email(tag)
    customer.sandbox.ask(email, asked)
    customer.register(email=email, **answers)


def another_tab(customer: Customer, **query: str) -> Customer:
    other = Customer(customer.server, customer.sandbox)
    other.get(customer.flow_url, **query)
    return other


def another_device(customer: Customer) -> Customer:
    home = customer.flow_url
    customer.post(home + "handover/", {})
    found = re.search(r'class="link"[^>]*>([^<]+)<', customer.shown.text)
    assert found is not None
    link = html.unescape(found.group(1))
    other = Customer(customer.server, customer.sandbox)
    other.post(link, {"nonce": other.get(link).value("nonce")})
    assert (other.shown.step, customer.get(home).step) == ("level", "level")
    return other


def applications(customer: Customer, *, drafts: bool = False) -> list[dict[str, Any]]:
    """What was handed in of this customer (or kept as a draft), the first one first."""
    sandbox, email = customer.sandbox, customer.sent["email"]
    (entry,) = [one for one in sandbox.registrations() if one["body"]["loginName"] == email]
    found = [one for one in sandbox.applications() if one["customerNo"] == entry["customerNo"]]
    return [one for one in reversed(found) if one["draft"] == drafts]


def answers(customer: Customer) -> dict[str, str]:
    """Element code → value of the only final application."""
    (final,) = applications(customer)
    return {one["elementCode"]: one["elementValue"] for one in final["body"]["elementList"]}


def photo(width: int) -> tuple[str, bytes, str]:
    """A picture that is known again by its width."""
    return f"{width}.png", picture(width, 9), "image/png"


def width(sandbox: Sandbox, address: str) -> int:
    return Image.open(io.BytesIO(sandbox.state.files[address.rpartition("/")[2]].content)).width


def hidden(shown: Shown) -> dict[str, str]:
    return {one.name: one.value for one in fields(shown) if one.type == "hidden"}


def press(customer: Customer, data: dict[str, str], files: Files | None = None) -> Shown:
    return customer.post(customer.flow_url + "level/", data, files=files)


def upload(customer: Customer, page: Shown, name: str, wide: int, **data: str) -> Shown:
    """As the script does it: with all that the page keeps hidden."""
    sent = {**hidden(page), "field": name, **data}
    return Customer(customer.server, customer.sandbox).post(
        customer.flow_url + "upload/", sent, files={name: photo(wide)}
    )


def director(row: int, key: str) -> str:
    return f"el-company_auth_director-{row}-{key}"


def add_directors(customer: Customer, *names: str) -> None:
    """Everybody's documents are as wide as 20 and their number, their photos as 40."""
    for row, name in enumerate(names):
        data, _files = entries(customer.shown)
        data |= {director(other, "firstName"): names[other] for other in range(row)}
        data[director(row, "firstName")] = name
        button = ADD if row + 1 < len(names) else "choose"
        files = {director(row, "documents"): photo(20 + row), director(row, "photo"): photo(40 + row)}
        assert press(customer, {**data, button: "1"}, files).status == 200
    assert customer.shown.value("rows") == str(len(names))


def directors(customer: Customer) -> list[tuple[str, int, int]]:
    """(first name, width of the documents, of the photo) of each director that was handed in."""
    listed = json.loads(answers(customer)["company_auth_director"])["list"]
    return [
        (one["firstName"], width(customer.sandbox, one["documents"]), width(customer.sandbox, one["photo"]))
        for one in listed
    ]


def hand_in(customer: Customer) -> None:
    """Goes on from the page as it is, with what is on it, and declares it true."""
    while customer.shown.step == "level":
        data, _files = entries(customer.shown)
        shown = {one.name: one.value for one in fields(customer.shown) if one.value and one.type != "submit"}
        before = data["part"]
        assert press(customer, data | shown).status == 200, customer.shown.summary
        assert customer.shown.step == "done" or customer.shown.value("part") != before
    assert customer.shown.step == "done"


# -- People and their files --------------------------------------------------------------------------------------------


def twice_in_a_row(send: Callable[[int], Any]) -> None:
    send(1)
    send(2)


def twice_at_once(send: Callable[[int], Any]) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(send, (1, 2)))


TWICE = pytest.mark.parametrize("twice", [twice_in_a_row, twice_at_once])


@TWICE
@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_person_removed_by_a_button_pressed_twice_takes_nobody_elses_name_or_files(
    customer: Customer, twice: Callable[[Callable[[int], Any]], None], row: int
) -> None:
    ask(customer, DIRECTORS)
    add_directors(customer, "Jo", "Kim", "Lee")
    body, url = {**entries(customer.shown)[0], f"{REMOVE}{row}": "1"}, customer.flow_url + "level/"
    body |= {director(n, "firstName"): name for n, name in enumerate(("Jo", "Kim", "Lee"))}
    twice(lambda _: requests.post(url, data=body, timeout=60).raise_for_status())
    customer.get(customer.flow_url)
    everybody = [("Jo", 20, 40), ("Kim", 21, 41), ("Lee", 22, 42)]
    left = [one for n, one in enumerate(everybody) if n != row]
    assert [customer.shown.value(director(n, "firstName")) for n in range(2)] == [name for name, *_ in left]
    hand_in(customer)
    assert directors(customer) == left


@TWICE
def test_a_file_that_comes_with_the_removal_of_another_person_goes_to_its_own(
    customer: Customer, twice: Callable[[Callable[[int], Any]], None]
) -> None:
    """Without script the files chosen go with every button."""
    ask(customer, DIRECTORS)
    add_directors(customer, "Jo", "Kim", "Lee")
    body, url = {**entries(customer.shown)[0], f"{REMOVE}0": "1"}, customer.flow_url + "level/"
    body |= {director(n, "firstName"): name for n, name in enumerate(("Jo", "Kim", "Lee"))}
    files = {director(2, "documents"): photo(62), director(0, "photo"): photo(60)}
    twice(lambda _: requests.post(url, data=body, files=files, timeout=60).raise_for_status())
    customer.get(customer.flow_url)
    hand_in(customer)
    assert directors(customer) == [("Kim", 21, 41), ("Lee", 62, 42)]


def test_a_person_added_where_one_was_removed_has_no_file(customer: Customer) -> None:
    ask(customer, DIRECTORS)
    add_directors(customer, "Jo", "Kim")
    press(customer, {**entries(customer.shown)[0], f"{REMOVE}1": "1"})
    press(customer, {**entries(customer.shown)[0], ADD: "1"})
    assert hidden(customer.shown)[director(0, "photo") + "-file"]
    assert hidden(customer.shown)[director(1, "photo") + "-file"] == ""
    customer.get(customer.flow_url)
    shown = press(customer, entries(customer.shown)[0])
    assert (shown.status, len(shown.summary)) == (422, 2)


def test_a_file_from_a_page_with_another_number_of_people_is_not_taken(customer: Customer) -> None:
    ask(customer, DIRECTORS)
    add_directors(customer, "Jo", "Kim", "Lee")
    stale = customer.shown
    other = another_tab(customer)
    press(other, {**entries(stale)[0], f"{REMOVE}0": "1"})
    for name in (director(1, "photo"), director(2, "photo")):
        shown = upload(customer, stale, name, 90)
        assert (shown.status, shown.step, shown.value("rows")) == (409, "level", "2")
    customer.get(customer.flow_url)
    hand_in(customer)
    assert [widths for _name, *widths in directors(customer)] == [[21, 41], [22, 42]]


def test_a_file_from_a_page_with_other_people_but_as_many_goes_to_nobody_else(customer: Customer) -> None:
    ask(customer, DIRECTORS)
    add_directors(customer, "Jo", "Kim")
    stale = customer.shown
    names = {director(0, "firstName"): "Jo", director(1, "firstName"): "Kim"}
    other = another_tab(customer)
    press(other, {**entries(stale)[0], **names, f"{REMOVE}0": "1"})
    press(other, {**entries(other.shown)[0], director(0, "firstName"): "Kim", ADD: "1"})
    upload(customer, stale, director(0, "photo"), 90)  # of Jo
    shown = customer.get(customer.flow_url)
    assert shown.value(director(0, "firstName")) == "Kim"
    assert "90.png" not in shown.text


# -- Which file counts -------------------------------------------------------------------------------------------------


def test_a_file_that_was_chosen_earlier_and_arrives_later_takes_nobodys_place(customer: Customer) -> None:
    ask(customer, PHOTO)
    page = customer.shown
    for wide, turn in ((52, "200"), (51, "100")):
        assert upload(customer, page, PASSPORT, wide, turn=turn).status == 200
    assert "52.png" in customer.get(customer.flow_url).text
    hand_in(customer)
    assert width(customer.sandbox, answers(customer)["proof_of_passpord"]) == 52


def test_a_file_that_was_chosen_later_takes_the_place_of_the_one_before(customer: Customer) -> None:
    ask(customer, PHOTO)
    page = customer.shown
    for wide, turn in ((51, "100"), (52, "200")):
        assert upload(customer, page, PASSPORT, wide, turn=turn).status == 200
    assert "52.png" in customer.get(customer.flow_url).text


def test_a_file_that_the_page_does_not_show_yet_does_not_replace_the_one_it_shows(customer: Customer) -> None:
    ask(customer, PHOTO)
    upload(customer, customer.shown, PASSPORT, 51, turn="100")
    seen = customer.get(customer.flow_url)
    assert "51.png" in seen.text
    upload(customer, seen, PASSPORT, 52, turn="200")
    assert press(customer, hidden(seen)).step == "done"
    assert width(customer.sandbox, answers(customer)["proof_of_passpord"]) == 51


def test_a_file_that_was_taken_back_is_not_sent_though_it_arrived(customer: Customer) -> None:
    ask(customer, PHOTO, NAME)
    page = customer.shown
    assert upload(customer, page, PASSPORT, 51, turn="100").status == 200
    shown = press(customer, {**hidden(page), f"{PASSPORT}-file": "none", "el-name": "Ann"})
    assert (shown.status, shown.summary) == (422, ["Passport: Add this picture."])
    assert "51.png" not in customer.get(customer.flow_url).text
    assert applications(customer) == []


def test_a_file_from_the_other_device_counts_on_a_page_that_showed_none(customer: Customer) -> None:
    ask(customer, NAME, PHOTO)
    phone = another_device(customer)
    page = hidden(customer.shown)
    assert page[f"{PASSPORT}-file"] == ""
    assert upload(phone, phone.shown, PASSPORT, 53).status == 200
    assert press(customer, {**page, "el-name": "Ann"}).step == "done"
    assert width(customer.sandbox, answers(customer)["proof_of_passpord"]) == 53


@pytest.mark.parametrize("receipt", ["nonsense", "x" * 3000, "saved", "\0", "el-name"])
def test_a_receipt_that_nobody_gave_stands_for_no_file(customer: Customer, receipt: str) -> None:
    ask(customer, NAME, PHOTO)
    upload(customer, customer.shown, PASSPORT, 51)
    shown = press(customer, {**hidden(customer.shown), f"{PASSPORT}-file": receipt, "el-name": "Ann"})
    assert (shown.status, shown.summary) == (422, ["Passport: Add this picture."])


def test_a_receipt_of_another_customer_stands_for_no_file(customer: Customer) -> None:
    stranger = Customer(customer.server, customer.sandbox)
    ask(stranger, PHOTO)
    upload(stranger, stranger.shown, PASSPORT, 51)
    theirs = hidden(stranger.get(stranger.flow_url))[f"{PASSPORT}-file"]
    ask(customer, PHOTO)
    shown = press(customer, {**hidden(customer.shown), f"{PASSPORT}-file": theirs})
    assert theirs and (shown.status, shown.summary) == (422, ["Passport: Add this picture."])


# -- Parts that are not there ------------------------------------------------------------------------------------------

WAYS = [
    {"levelCode": "level_1", "pathCode": "P1", "pathName": "One", "elementList": [DIRECTORS, NAME]},
    {"levelCode": "level_1", "pathCode": "P2", "pathName": "Two", "elementList": [OWNERS, NAME]},
]


@pytest.fixture
def changed(customer: Customer) -> Customer:
    """One who answered the directors of one way and then chose the other, where owners are asked for."""
    ask_all(customer, WAYS)
    customer.post(customer.flow_url + "path/", {"path": "P1"})
    data, files = entries(customer.shown)
    assert press(customer, data, files).value("part") == "details"
    assert press(customer, {**entries(customer.shown)[0], "other-way": "1"}).step == "path"
    assert customer.post(customer.flow_url + "path/", {"path": "P2"}).value("part") == "company_auth_owner"
    return customer


ELSEWHERE = pytest.mark.parametrize(
    "part", ["company_auth_director", "details", "declaration", "company", "nonsense", "", "\0", "company_basic_info"]
)


@ELSEWHERE
def test_a_part_that_is_not_asked_for_or_not_reached_is_shown_to_nobody(changed: Customer, part: str) -> None:
    shown = changed.get(changed.flow_url, part=part)
    assert (shown.status, shown.value("part")) == (200, "company_auth_owner")


@ELSEWHERE
@pytest.mark.parametrize("step", ["level", "upload"])
def test_a_part_that_is_not_asked_for_or_not_reached_is_not_taken(changed: Customer, part: str, step: str) -> None:
    data, files = entries(changed.shown)
    data |= {"part": part, "declare": "on", "field": "el-company_auth_owner-0-photo"}
    shown = changed.post(f"{changed.flow_url}{step}/", data, files=files)
    assert (shown.status, shown.value("part")) == (409, "company_auth_owner")
    assert applications(changed) == []


# -- What is declared --------------------------------------------------------------------------------------------------


def new_name(customer: Customer) -> None:
    other = another_tab(customer, part="company_auth_owner")
    press(other, {**entries(other.shown)[0], "el-company_auth_owner-0-firstName": "Mallory"})


def new_name_kept_only(customer: Customer) -> None:
    other = another_tab(customer, part="company_auth_owner")
    press(other, {**entries(other.shown)[0], "el-company_auth_owner-0-firstName": "Mallory", "draft": "1"})


def new_file(customer: Customer) -> None:
    other = another_tab(customer, part="company_auth_owner")
    press(other, entries(other.shown)[0], {"el-company_auth_owner-0-photo": photo(77)})


def new_file_sent_by_itself(customer: Customer) -> None:
    other = another_tab(customer, part="company_auth_owner")
    assert upload(other, other.shown, "el-company_auth_owner-0-photo", 77).status == 200


def one_person_more(customer: Customer) -> None:
    other = another_tab(customer, part="company_auth_owner")
    press(other, {**entries(other.shown)[0], "add-company_auth_owner": "1"})
    press(other, *entries(other.shown))


CHANGES = [new_name, new_name_kept_only, new_file, new_file_sent_by_itself, one_person_more]


@pytest.fixture
def declaring(customer: Customer) -> Customer:
    ask(customer, OWNERS)
    assert press(customer, *entries(customer.shown)).value("part") == "declaration"
    return customer


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_it_was_shown_is_not_declared(
    declaring: Customer, change: Callable[[Customer], None]
) -> None:
    page = entries(declaring.shown)[0]
    change(declaring)
    shown = press(declaring, page)
    assert (shown.status, shown.value("part")) == (409, "declaration")
    assert applications(declaring) == []


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_declared_at_the_second_look_and_sent_once(
    declaring: Customer, change: Callable[[Customer], None]
) -> None:
    page = entries(declaring.shown)[0]
    change(declaring)
    press(declaring, page)
    again = entries(declaring.shown)[0]
    assert again["seen"] != page["seen"]
    assert press(declaring, again).step == "done"
    press(declaring, again)
    listed = json.loads(answers(declaring)["company_auth_owner"])["list"]
    assert (listed[0]["firstName"] == "Mallory") == (change in (new_name, new_name_kept_only))
    assert (width(declaring.sandbox, listed[0]["photo"]) == 77) == (change in (new_file, new_file_sent_by_itself))
    assert len(listed) == (2 if change is one_person_more else 1)


def test_a_declaration_shown_twice_and_sent_from_both_tabs_at_once_is_sent_once(declaring: Customer) -> None:
    page, url = entries(declaring.shown)[0], declaring.flow_url + "level/"
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: requests.post(url, data=page, timeout=60).status_code, range(8)))
    assert set(found) <= {200, 409}
    assert declaring.get(declaring.flow_url).step == "done"
    assert len(applications(declaring)) == 1


# -- Drafts ------------------------------------------------------------------------------------------------------------


def test_a_draft_from_another_tab_does_not_come_behind_what_was_handed_in(declaring: Customer) -> None:
    other = another_tab(declaring, part="company_auth_owner")
    data = entries(other.shown)[0]
    assert press(declaring, entries(declaring.shown)[0]).step == "done"
    before = len(applications(declaring, drafts=True))
    data |= {"el-company_auth_owner-0-firstName": "Mallory", "draft": "1"}
    assert (press(other, data).status, other.shown.step) == (409, "done")
    assert len(applications(declaring, drafts=True)) == before


def test_a_draft_does_not_come_behind_what_was_handed_in_with_more_to_fill_in(customer: Customer) -> None:
    ask_all(customer, [{"levelCode": code, "elementList": [NAME]} for code in ("level_1", "level_2")])
    data = entries(customer.shown)[0]
    other = another_tab(customer)
    assert press(customer, data).level == "level_2"
    shown = press(other, {**data, "el-name": "Mallory", "draft": "1"})
    assert (shown.status, shown.level, shown.value("el-name")) == (409, "level_2", "")
    assert applications(customer, drafts=True) == []


def test_a_draft_does_not_come_behind_what_may_have_been_handed_in(customer: Customer) -> None:
    ask(customer, NAME, tag="kycdrop")
    data = entries(customer.shown)[0]
    other = another_tab(customer)
    assert press(customer, data).step == "status"
    assert press(other, {**data, "el-name": "Mallory", "draft": "1"}).step in ("status", "done")
    assert applications(customer, drafts=True) == []
    assert customer.wait().step == "done"
    assert answers(customer) == {"name": "Ann Example"}


# -- The other device --------------------------------------------------------------------------------------------------


@pytest.fixture
def half_sent(customer: Customer) -> Iterator[Callable[[], bytes]]:
    """The other device began to send its answers; gives what sends the rest and says what came back.

    Meanwhile the first device has closed the link.
    """
    ask(customer, NAME, PHOTO)
    home, phone = customer.flow_url, another_device(customer)
    data = {**hidden(phone.shown), "el-name": "Mallory"}
    url = phone.flow_url + "level/"
    request = requests.Request("POST", url, data=data, files={PASSPORT: photo(54)}).prepare()
    body = request.body
    assert isinstance(body, bytes)
    head = (
        f"POST {request.path_url} HTTP/1.1\r\nHost: 127.0.0.1:{customer.server.port}\r\nConnection: close\r\n"
        f"Content-Type: {request.headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", customer.server.port), timeout=30) as line:
        line.sendall(head.encode() + body[: len(body) // 2])
        customer.get(home + "handover/")
        assert customer.post(home + "handover/", {"close": "1"}).step == "level"

        def rest() -> bytes:
            line.sendall(body[len(body) // 2 :])
            return b"".join(iter(lambda: line.recv(65536), b""))

        yield rest


def test_what_a_closed_device_had_half_sent_changes_nothing(customer: Customer, half_sent: Callable[[], bytes]) -> None:
    assert half_sent().split(b"\r\n")[0].split()[1] == b"404"
    shown = customer.get(customer.flow_url)
    assert (shown.step, shown.value("el-name"), hidden(shown)[f"{PASSPORT}-file"]) == ("level", "", "")
    assert applications(customer) == applications(customer, drafts=True) == []


# -- Levels that are fetched later, sessions that end ------------------------------------------------------------------


def test_a_level_that_is_fetched_by_several_looks_at_once_is_filled_in_once(customer: Customer) -> None:
    customer.identify(email=fresh_email("emptylevel"))
    customer.password()
    code, url = customer.code(), customer.flow_url + "verify/"
    answer = customer.session.post(url, data={"code": code}, allow_redirects=False, timeout=60)
    home = customer.server.url + answer.headers["Location"]
    with ThreadPoolExecutor(6) as pool:
        looks = [Shown(one) for one in pool.map(lambda _: requests.get(home, timeout=60), range(6))]
    assert {(one.status, one.step, one.level) for one in looks} == {(200, "level", "level_1")}
    assert len({tuple(one.name for one in fields(look)) for look in looks}) == 1
    customer.get(home)
    assert list(walk(customer)) == [("level_1", "")]
    assert customer.shown.step == "done" and len(applications(customer)) == 1


def test_a_company_that_is_chosen_twice_at_once_is_asked_for_one(customer: Customer) -> None:
    customer.register(email=fresh_email("enterprise"), account_type="enterprise")
    url, data = customer.flow_url + "level/", entries(customer.shown)[0]
    both = [{**data, "el-country": country} for country in ("GB", "ES", "GB", "ES")]
    with ThreadPoolExecutor(4) as pool:
        found = [Shown(one) for one in pool.map(lambda body: requests.post(url, data=body, timeout=60), both)]
    assert {one.status for one in found} <= {200, 409}
    chosen = customer.get(customer.flow_url, part="company").value("el-country")
    customer.get(customer.flow_url)
    assert [part for _level, part in walk(customer)][-1] == "declaration"
    (final,) = applications(customer)
    assert final["body"]["selectCountry"] == chosen


def test_a_session_that_ends_in_the_middle_of_several_uploads_loses_no_text_and_no_file(
    customer: Customer, sandbox: Sandbox
) -> None:
    photos = [{"elementCode": f"photo_{n}", "elementName": f"Photo {n}", "showType": "image"} for n in range(8)]
    ask(customer, NAME, *photos, tag="expired", password="correct horse battery")
    page, typed = customer.shown, {"el-name": "Ann", "choose": "1"}
    url = customer.flow_url + "level/"
    for first in (0, 4):  # the first session is dead from the start, the next one from here on
        with ThreadPoolExecutor(5) as pool:
            text = pool.submit(lambda: requests.post(url, data=hidden(page) | typed, timeout=60).status_code)
            sent = [pool.submit(upload, customer, page, f"el-photo_{n}", 80 + n) for n in range(first, first + 4)]
        assert [one.result().status for one in sent] == [200] * 4 and text.result() == 200
        with sandbox.state.lock:
            for token, owner in list(sandbox.state.tokens.items()):
                if owner.login_name == customer.sent["email"]:
                    del sandbox.state.tokens[token]
    shown = customer.get(customer.flow_url)
    assert shown.value("el-name") == "Ann"
    hand_in(customer)
    got = answers(customer)
    assert [width(sandbox, got[f"photo_{n}"]) for n in range(8)] == [80 + n for n in range(8)]
    assert got["name"] == "Ann"
