"""Levels in a real browser, each on a wide screen, at 320 pixels, and without script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import Walk
from tests.browser.walker import DESKTOP, NARROW, NO_SCRIPT, PHONE, Walker
from tests.support import fresh_email, picture

pytestmark = pytest.mark.browser

Profiles = Callable[[dict[str, Any]], BrowserContext]
Enter = Callable[[], Walker]
EASY = {"-idNo": "E12345678", "-email": "jo@example.org", "-area": "+44", "-phone": "20 7946 0000"}
PARTS_BEFORE_DIRECTORS = ("About the company", "Documents of the company")


# The longest ways: each screen and each way of sending once, not all four together.
LONG = pytest.mark.parametrize("enter", ["wide", "no script, narrow"], indirect=True)


@pytest.fixture(params=["wide", "narrow", "no script", "no script, narrow"])
def enter(request: pytest.FixtureRequest, walk: Walk, profiles: Profiles) -> Enter:
    """Makes a walker in the world of this run."""
    world = request.param
    narrow = {"width": 320, "height": 640}

    def make() -> Walker:
        if world.startswith("no script"):
            walker = walk(context=profiles(NO_SCRIPT), album=True)
        else:
            walker = walk(NARROW if world == "narrow" else DESKTOP, album=True)
        walker.page.set_viewport_size(narrow if "narrow" in world else DESKTOP["viewport"])
        return walker

    return make


def fits(walker: Walker) -> None:
    """Nothing makes the page scroll sideways or reaches beyond its edge."""
    controls = walker.page.locator("#step :is(input, select, textarea, button, a, img, dd)")
    rights = controls.evaluate_all("all => all.map(one => one.getBoundingClientRect()).map(box => box.right)")
    assert max(rights) <= walker.page.viewport_size["width"]  # type: ignore[index]
    assert walker.page.locator("html").evaluate("page => page.scrollWidth - page.clientWidth") <= 0


def fill(walker: Walker, **answers: str) -> None:
    """Every control of the form with something right; `answers` by the end of the name."""
    form = walker.page.locator("#level")
    names = form.locator("[name]:visible").evaluate_all("all => [...new Set(all.map(one => one.name))]")
    for name in names:
        control = form.locator(f'[name="{name}"]').first
        kind = control.evaluate("one => one.tagName === 'INPUT' ? one.type : one.tagName")
        bare = next((value for ending, value in {**EASY, **answers}.items() if name.endswith(ending)), "Example")
        match kind:
            case "SELECT":
                if not control.input_value():
                    control.select_option(index=1)
            case "file":
                at_once = walker.page.locator(
                    f'[data-file="{name}"] .open-camera'
                ).count()  # by the script, if it is there
                control.set_input_files({"name": "file.png", "mimeType": "image/png", "buffer": picture()})
                if at_once:
                    expect(walker.page.locator(f'[data-file="{name}"] .received')).to_be_visible()
            case "radio" | "checkbox":
                control.check()
            case "date":
                control.fill("1990-05-17")
            case "BUTTON":
                pass
            case _:
                control.fill(bare)


def heading(walker: Walker, text: str) -> None:
    expect(walker.root.get_by_role("heading", level=1)).to_have_text(text)
    walker.photograph(text.lower().replace(" ", "-"))
    fits(walker)


def applications(walker: Walker) -> list[dict[str, Any]]:
    number = walker.entry()["customerNo"]
    return [a for a in walker.sandbox.applications() if a["customerNo"] == number and not a["draft"]]


def test_a_passport_is_sent_by_file(enter: Enter) -> None:
    walker = enter().open()
    walker.register(email=fresh_email()).at("level")
    fits(walker)
    walker.fill_level()
    fits(walker)
    walker.press("Send").at("done")
    assert walker.application()["proof_of_passpord"].startswith(walker.sandbox.url)


def test_a_rejected_level_is_mended_and_sent_again(enter: Enter) -> None:
    walker = enter().open()
    walker.register(email=fresh_email("rejected")).level()
    walker.at("level", level="level_1")
    expect(walker.step).to_contain_text("The photo of the document is blurred.")
    expect(walker.step).to_contain_text("passport.png")
    fits(walker)
    assert walker.field("Full name").input_value() == "Ann Example"
    walker.attach("Passport, photo page", "sharper.png")
    walker.press("Send").at("done", outcome="passed")
    first, second = reversed(applications(walker))
    changed = [
        one["elementCode"]
        for one, other in zip(first["body"]["elementList"], second["body"]["elementList"], strict=True)
        if one != other
    ]
    assert changed == ["proof_of_passpord"]


@LONG
def test_a_company_with_two_directors_goes_on_with_its_draft(enter: Enter) -> None:
    walker = enter().open("/", openAccountType="1")
    walker.register(email=fresh_email("enterprise")).at("level")
    heading(walker, "Country and type of the company")
    fill(walker)
    walker.press("Continue")
    for part in PARTS_BEFORE_DIRECTORS:
        heading(walker, part)
        fill(walker)
        walker.press("Continue")
    heading(walker, "Directors")
    fill(walker, **{"0-firstName": "Jo"})
    walker.press("Add another person")
    second = walker.root.get_by_role("group", name="Director 2")
    expect(second).to_be_visible()
    second.get_by_label("First name", exact=True).fill("Kim")
    walker.press("Save and go on later")
    expect(walker.step).to_contain_text("Saved.")

    address = walker.flow_url
    walker.page.goto("about:blank")
    walker.page.goto(address)
    heading(walker, "Directors")
    first = walker.root.get_by_role("group", name="Director 1")
    assert first.get_by_label("First name", exact=True).input_value() == "Jo"
    assert second.get_by_label("First name", exact=True).input_value() == "Kim"
    expect(first).to_contain_text("file.png")
    fill(walker, **{"0-firstName": "Jo", "1-firstName": "Kim"})
    walker.press("Continue")
    for part in ("Owners", "Account holders"):
        heading(walker, part)
        fill(walker)
        walker.press("Continue")
    heading(walker, "Check and send")
    expect(walker.step).to_contain_text("Kim")
    walker.root.get_by_role("checkbox").check()
    walker.press("Send").at("done")
    (final,) = applications(walker)
    sent = {one["elementCode"]: one["elementValue"] for one in final["body"]["elementList"]}
    directors = json.loads(sent["company_auth_director"])["list"]
    assert [director["firstName"] for director in directors] == ["Jo", "Kim"]
    assert (final["body"]["commitTag"], final["body"]["openAccountType"]) == (True, 1)
    walker.watch.is_clean(aborted=True)


@LONG
def test_a_passport_is_photographed_on_the_phone_while_the_desktop_waits(enter: Enter, walk: Walk) -> None:
    first = enter().open()
    first.register(email=fresh_email()).at("level")
    first.field("Full name").fill("Ann Example")
    first.press("Take the photos with another device").at("handover")
    fits(first)
    link = first.root.locator(".link").inner_text()

    phone = walk(PHONE, album=True)
    phone.page.goto(link)
    phone.at("handover").press("Go on here").at("level")
    phone.to = first.to
    expect(first.root.get_by_role("heading", level=1)).to_have_text("Opened on your other device", timeout=6_000)
    assert phone.field("Full name").input_value() == "Ann Example"
    phone.field("Date of birth").fill("1990-05-17")
    phone.fill_document().press("Send").at("done")
    first.at("done")
    assert phone.application()["passport"] == "E12345678"
    phone.watch.is_clean()


def test_a_link_opens_one_device_and_no_second(walk: Walk) -> None:
    first = walk(DESKTOP).open()
    first.register(email=fresh_email()).at("level")
    first.press("Take the photos with another device").at("handover")
    link = first.root.locator(".link").inner_text()
    phone, stranger = walk(PHONE), walk(PHONE)
    stranger.page.goto(link)
    phone.page.goto(link)
    phone.press("Go on here").at("level")
    stranger.press("Go on here").at("problem", problem="expired")


def test_the_pictures_of_the_chosen_document_come_at_once(walk: Walk) -> None:
    walker = walk(DESKTOP).open()
    walker.register(email=fresh_email()).at("level")
    expect(walker.field("Passport, photo page")).to_have_count(0)
    walker.field("Full name").fill("Ann Example")
    choice = walker.field("Kind of document")
    choice.select_option(label="Passport")
    expect(walker.field("Passport, photo page")).to_be_visible()
    expect(walker.field("Full name")).to_have_value("Ann Example")
    expect(walker.root.locator("#step h1")).not_to_be_focused()
    choice.select_option(label="Identity card")
    expect(walker.field("Identity card, front")).to_be_visible()
    expect(walker.field("Passport, photo page")).to_have_count(0)
    walker.watch.is_clean(aborted=True)


def test_adding_a_person_leads_to_its_first_field(walk: Walk) -> None:
    walker = walk(DESKTOP).open("/", openAccountType="1")
    walker.register(email=fresh_email()).at("level")
    for _ in range(2):
        fill(walker)
        walker.press("Continue")
        walker.page.wait_for_timeout(500)
    heading(walker, "Directors")
    walker.press("Add another person")
    expect(walker.root.get_by_role("group", name="Director 2").get_by_label("First name", exact=True)).to_be_focused()


def test_another_part_and_another_language_keep_what_was_typed(walk: Walk) -> None:
    walker = walk(DESKTOP).open("/", openAccountType="1")
    walker.register(email=fresh_email()).at("level")
    for part in ("Country and type of the company", "About the company"):
        heading(walker, part)
        fill(walker)
        walker.press("Continue")
    heading(walker, "Directors")
    walker.field("First name").fill("Jo")
    expect(walker.page.locator("#level[data-ready]")).to_be_visible()  # what is chosen before goes with the form
    walker.attach("Photo of this person", "jo.png")
    expect(walker.step).to_contain_text("jo.png")

    walker.root.locator("details.parts > summary").click()
    walker.root.get_by_role("button", name=re.compile("Change ?: About the company")).click()
    heading(walker, "About the company")
    walker.field("Name of the company").fill("Example S.A.")
    walker.field("Language").select_option("es")
    walker.press("Change")
    expect(walker.root.locator("html")).to_have_attribute("lang", "es")
    company = walker.root.locator('[name="el-company_basic_info-accountInfo-companyName"]')
    expect(company).to_have_value("Example S.A.")
    walker.root.locator("button.primary").click()
    name = walker.root.locator('[name="el-company_auth_director-0-firstName"]')
    expect(name).to_have_value("Jo")
    expect(walker.step).to_contain_text("jo.png")
    name.fill("Jo Ann")
    walker.root.locator("#id_lang").select_option("en")
    walker.root.locator('button[name="language"]').click()
    expect(walker.root.locator("html")).to_have_attribute("lang", "en")
    expect(walker.field("First name")).to_have_value("Jo Ann")
    expect(walker.step).to_contain_text("jo.png")
    walker.watch.is_clean(aborted=True)


def test_another_language_hands_nothing_in(walk: Walk) -> None:
    walker = walk(DESKTOP).open()
    walker.register(email=fresh_email()).at("level").fill_level()
    expect(walker.step.locator(".received")).to_contain_text("Received")
    walker.root.locator("#id_lang").select_option("es")
    walker.press("Change")
    expect(walker.root.locator("html")).to_have_attribute("lang", "es")
    walker.at("level")
    assert applications(walker) == []


def test_a_way_chosen_again_has_what_was_typed_there(walk: Walk) -> None:
    walker = walk(DESKTOP).open()
    walker.register(email=fresh_email("paths")).at("path")
    walker.field("With an identity document").check()
    walker.press("Continue").at("level")
    walker.field("Full name").fill("Ann Example")
    walker.press("Choose another way").at("path")
    walker.field("With a bank card").check()
    walker.press("Continue").at("level")
    expect(walker.field("Bank card, front")).to_be_visible()
    walker.press("Choose another way").at("path")
    walker.field("With an identity document").check()
    walker.press("Continue").at("level")
    expect(walker.field("Full name")).to_have_value("Ann Example")
    walker.field("Date of birth").fill("1990-05-17")
    walker.fill_document().press("Send").at("done")
    assert walker.application().keys() == {"name", "birthday", "passport", "proof_of_passpord"}
    walker.watch.is_clean(aborted=True)
