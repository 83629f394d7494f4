"""What the pages do when customers do what customers do: mistype, go back, click twice, wait, change their mind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from onboarding.sandbox.server import Sandbox
from tests import pseudo
from tests.browser.conftest import Walk
from tests.browser.walker import NARROW, NO_SCRIPT, PHONE, Walker
from tests.support import Server, fresh_email, fresh_phone, picture

pytestmark = pytest.mark.browser

Profiles = Callable[[dict[str, Any]], BrowserContext]
UTM = {"utm_source": "News Letter", "utm_campaign": "été – «50 %»", "utm_term": "账户"}
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])


@pytest.fixture
def world(walk: Walk, profiles: Profiles) -> Callable[..., Walker]:
    """A walker with script, or one in a browser whose owner turned it off."""

    def make(script: bool, **options: Any) -> Walker:
        return walk(**options) if script else walk(context=profiles(NO_SCRIPT), **options)

    return make


def register_calls(walker: Walker) -> int:
    return sum(
        call["biz_type"].endswith(".register") and call["body"]["loginName"] == walker.to
        for call in walker.sandbox.calls()
    )


def codes_sent(walker: Walker) -> int:
    return sum(message["to"].split(" ")[-1] == walker.to for message in walker.sandbox.inbox())


# -- Mistakes ----------------------------------------------------------------------------------------------------------


@SCRIPT
def test_a_wrong_code_is_told_at_its_field_and_stays_as_typed(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open().identify(email=fresh_email()).password()
    wrong = walker.wrong_code()
    walker.verify(wrong)
    expect(walker.summary).to_be_visible()
    if script:
        expect(walker.summary).to_be_focused()
    expect(walker.page).to_have_title(re.compile("^Error:"))
    expect(walker.field("Code")).to_have_value(wrong)
    expect(walker.field("Code")).to_have_attribute("aria-invalid", "true")
    text = walker.error("Code").inner_text().removeprefix("!").strip()
    expect(walker.summary).to_contain_text(text)
    walker.summary.get_by_role("link").click()
    expect(walker.field("Code")).to_be_focused()
    walker.verify().at("level")
    walker.watch.is_clean(refusals=(422,))


@SCRIPT
def test_a_wrong_address_is_told_at_its_field_and_everything_stays_as_typed(
    world: Callable[..., Walker], script: bool
) -> None:
    walker = world(script).open().at("identify").fill_identity(email="ann at example", country="Spain")
    walker.field("A company").check()
    walker.root.get_by_role("checkbox").check()
    walker.press("Continue")
    expect(walker.summary).to_be_visible()
    if script:
        expect(walker.summary).to_be_focused()
    expect(walker.field("E-mail address")).to_have_value("ann at example")
    expect(walker.field("E-mail address")).to_have_attribute("aria-invalid", "true")
    expect(walker.field("Country you live in")).to_have_value("ES")
    expect(walker.field("A company")).to_be_checked()
    expect(walker.root.get_by_role("checkbox")).to_be_checked()
    walker.summary.get_by_role("link").click()
    expect(walker.field("E-mail address")).to_be_focused()
    walker.field("E-mail address").fill(fresh_email())
    walker.press("Continue").at("password")
    walker.watch.is_clean(refusals=(422,))


def test_consent_is_never_ticked_beforehand_and_is_asked_for(walk: Walk) -> None:
    walker = walk().open().at("identify")
    expect(walker.root.get_by_role("checkbox")).not_to_be_checked()
    walker.fill_identity(email=fresh_email()).press("Continue")
    expect(walker.summary).to_be_focused()
    walker.summary.get_by_role("link").click()
    expect(walker.root.get_by_role("checkbox")).to_be_focused()
    walker.page.keyboard.press("Space")
    walker.press("Continue").at("password")


def test_a_wrong_level_answer_keeps_the_others_and_the_picture(walk: Walk) -> None:
    walker = walk().open().register(email=fresh_email()).at("level").fill_level()
    walker.field("Number of the document").fill("?")
    walker.press("Send")
    expect(walker.summary).to_be_focused()
    expect(walker.field("Full name")).to_have_value("Ann Example")
    expect(walker.field("Date of birth")).to_have_value("1990-05-17")
    expect(walker.field("Kind of document")).to_have_value("passport")
    expect(walker.field("Number of the document")).to_have_value("?")
    expect(walker.step).to_contain_text("passport.png")
    walker.photograph("level-wrong")
    walker.field("Number of the document").fill("E12345678")
    walker.press("Send").at("done")
    walker.watch.is_clean(refusals=(422,))


@SCRIPT
def test_another_code_has_to_wait_and_says_how_long(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open().identify(email=fresh_email()).password()
    walker.press("Send another code")
    expect(walker.summary).to_contain_text(re.compile(r"wait \d+ seconds"))
    assert codes_sent(walker) == 1
    walker.verify().at("level")
    walker.watch.is_clean(refusals=(429,))


# -- A change of mind --------------------------------------------------------------------------------------------------


@SCRIPT
def test_the_address_is_corrected_in_place_and_everything_else_is_kept(
    world: Callable[..., Walker], script: bool
) -> None:
    walker = world(script).open("/", **UTM).identify(email=fresh_email()).password("correct horse battery")
    first = walker.to
    walker.root.get_by_text("No code, or a mistake in your details?").click()
    walker.follow("Correct the e-mail address").at("identify")
    expect(walker.field("E-mail address")).to_have_value(first)
    expect(walker.field("Country you live in")).to_have_value("GB")
    walker.follow("Back").at("verify")
    walker.root.get_by_text("No code, or a mistake in your details?").click()
    walker.follow("Correct the e-mail address").at("identify")
    walker.fill_identity(email=fresh_email())
    walker.press("Continue").at("verify")
    expect(walker.step).to_contain_text(walker.to)
    walker.verify().at("level")
    body = walker.entry()["body"]
    assert body["utmTerm"] == UTM["utm_term"]
    assert "pwd" in body
    assert [one for one in walker.sandbox.registrations() if one["body"]["loginName"] == first] == []


@SCRIPT
def test_the_channel_is_changed_in_place(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open("/", **UTM).identify(email=fresh_email()).password()
    walker.root.get_by_text("No code, or a mistake in your details?").click()
    walker.follow("Use a phone number instead").at("identify")
    expect(walker.field("Country you live in")).to_have_value("GB")
    walker.fill_identity(phone=fresh_phone())
    walker.press("Continue").at("verify").verify().at("level")
    assert (walker.entry()["body"]["type"], walker.entry()["body"]["utmSource"]) == (2, UTM["utm_source"])


@SCRIPT
def test_the_language_of_the_first_page_changes_and_keeps_everything(
    world: Callable[..., Walker], script: bool
) -> None:
    walker = world(script).open("/", **UTM, country="ES", channel="phone").at("identify")
    walker.page.locator("#id_phone").fill("600 123")
    walker.root.get_by_role("checkbox").check()
    speak(walker, "ar")
    expect(walker.page.locator("html")).to_have_attribute("dir", "rtl")
    assert walker.page.locator("#id_country").input_value() == "ES"
    expect(walker.page.locator("#id_phone")).to_have_value("600 123")
    expect(walker.root.get_by_role("checkbox")).to_be_checked()
    expect(walker.summary).to_be_hidden()
    speak(walker, "en")
    walker.follow("E-mail").register(email=fresh_email()).at("level")
    body = walker.entry()["body"]
    assert (body["utmSource"], body["utmCampaign"], body["utmTerm"]) == tuple(UTM.values())


def speak(walker: Walker, language: str) -> None:
    """Chooses the flow's language, whatever language the page speaks."""
    walker.page.locator("#id_lang").select_option(language)
    walker.page.locator(".languages button").click()
    expect(walker.page.locator("html")).to_have_attribute("lang", language)


@SCRIPT
def test_the_language_of_the_flow_changes_and_keeps_everything(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open("/", **UTM).identify(email=fresh_email()).password("correct horse battery")
    speak(walker, "es")
    expect(walker.at("verify").step).to_contain_text(walker.to)
    expect(walker.step).to_contain_text("código")
    speak(walker, "zh-hans")
    speak(walker, "en")
    assert codes_sent(walker) == 1
    walker.verify().level().at("done")
    speak(walker, "es")
    expect(walker.at("done").step).to_contain_text(walker.entry()["customerNo"])
    body = walker.entry()["body"]
    assert (body["utmSource"], body["utmTerm"]) == (UTM["utm_source"], UTM["utm_term"])
    assert "pwd" in body


def test_the_level_speaks_the_language_chosen_last(walk: Walk) -> None:
    walker = walk().open().register(email=fresh_email()).at("level")
    expect(walker.field("Full name")).to_be_visible()
    speak(walker, "es")
    expect(walker.at("level").field("Nombre completo")).to_be_visible(timeout=2_000)


def test_the_country_chosen_survives_a_change_of_channel(walk: Walk) -> None:
    walker = walk().open().at("identify")
    walker.field("Country you live in").select_option(label="Spain")
    walker.follow("Phone")
    expect(walker.field("Phone number")).to_be_visible()
    expect(walker.field("Country you live in")).to_have_value("ES", timeout=2_000)


# -- Reload, Back, twice -----------------------------------------------------------------------------------------------


@SCRIPT
def test_reload_and_back_at_every_step_register_once_and_never_break(
    world: Callable[..., Walker], script: bool
) -> None:
    walker = world(script).open()
    page = walker.page

    def shake(step: str, *, forward: bool = True) -> None:
        walker.at(step)
        page.reload()
        walker.at(step)
        here = page.url
        page.evaluate("window.left = true")
        page.go_back()
        page.wait_for_function("!window.left")
        expect(walker.step).to_be_visible()
        if forward:
            page.go_forward()
            expect(walker.step).to_be_visible()
        page.wait_for_load_state("networkidle")  # what Forward began may still be under way, and would win
        page.goto(here)
        walker.at(step)

    walker.identify(email=fresh_email())
    shake("password")
    walker.password()
    shake("verify")
    walker.verify(walker.wrong_code())
    expect(walker.summary).to_be_visible()
    shake("verify", forward=script)  # forward to the answer of a POST: the browser itself asks whether to send it again
    walker.verify()
    shake("level")
    walker.level()
    shake("done")
    assert register_calls(walker) == 2, "one wrong code, one right one"
    walker.entry()
    walker.watch.is_clean(refusals=(404, 410, 422), aborted=True)


@SCRIPT
def test_back_from_the_level_and_the_same_code_again_lead_to_the_level(
    world: Callable[..., Walker], script: bool
) -> None:
    walker = world(script).open().identify(email=fresh_email()).password()
    old, code = walker.flow_url, walker.code()
    walker.verify().at("level")
    new = walker.flow_url
    assert new != old
    walker.page.goto(old)
    walker.at("problem", problem="expired")
    assert walker.to not in walker.page.content()
    walker.field("Code").fill(code)
    walker.press("Continue").at("level")
    assert walker.flow_url == new
    assert register_calls(walker) == 1


@SCRIPT
def test_a_double_click_on_the_final_button_registers_once(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open().identify(email=fresh_email("slow")).password()
    walker.field("Code").fill(walker.code())
    walker.root.get_by_role("button", name="Open the account").dblclick()
    walker.at("level")
    assert register_calls(walker) == 1
    walker.entry()
    walker.watch.is_clean(aborted=True)


@SCRIPT
def test_a_double_click_on_the_first_button_starts_one_flow_and_sends_one_code(
    world: Callable[..., Walker], script: bool
) -> None:
    walker = world(script).open().at("identify").fill_identity(email=fresh_email())
    walker.root.get_by_role("checkbox").check()
    walker.root.get_by_role("button", name="Continue").dblclick()
    walker.at("password").root.get_by_role("button", name="Skip for now").dblclick()
    walker.at("verify")
    assert codes_sent(walker) == 1
    walker.watch.is_clean(refusals=(409,), aborted=True)


@SCRIPT
def test_a_stale_tab_gets_the_current_step(world: Callable[..., Walker], walk: Walk, script: bool) -> None:
    first = world(script).open().identify(email=fresh_email())
    second = walk(context=first.page.context)
    second.page.goto(first.page.url)
    second.at("password").to = first.to
    first.password()
    second.press("Skip for now").at("verify")
    assert 409 in second.watch.refusals
    expect(second.step).to_contain_text(first.to)
    assert codes_sent(first) == 1
    second.verify().at("level")


# -- Waiting -----------------------------------------------------------------------------------------------------------


@SCRIPT
@pytest.mark.parametrize("tag", ["drop", "error500"])
def test_an_unknown_outcome_shows_the_status_and_moves_on_by_itself(
    world: Callable[..., Walker], script: bool, tag: str
) -> None:
    walker = world(script).open().register(email=fresh_email(tag)).at("status")
    shown = walker.step.inner_text()
    assert walker.reference
    assert walker.reference in shown
    expect(walker.step).to_have_attribute("data-step", "level", timeout=30_000)
    keys = {
        call["headers"]["idempotency-key"]
        for call in walker.sandbox.calls()
        if call["biz_type"].endswith(".register") and call["body"]["loginName"] == walker.to
    }
    assert len(keys) == 1
    walker.level().at("done")
    walker.watch.is_clean()


@SCRIPT
def test_an_upstream_that_hangs_is_not_waited_for_longer_than_the_time_out(
    world: Callable[..., Walker], script: bool
) -> None:
    walker = world(script).open().register(email=fresh_email("hang"))
    expect(walker.step).to_have_attribute("data-step", re.compile("^(status|level)$"), timeout=6_000)
    expect(walker.step).to_have_attribute("data-step", "level")
    walker.level().at("done")
    walker.entry()
    walker.watch.is_clean()


@pytest.fixture
def frail(walk: Walk, start_server: Callable[..., Server]) -> Iterator[Walker]:
    """A walker whose upstream may be stopped and started again: `walker.sandbox.stop()`."""
    with Sandbox(port=0, review_seconds=0.0) as own:
        server = start_server(upstream=own.url + "/api", UPSTREAM_READ_TIMEOUT="2", UPSTREAM_CONNECT_TIMEOUT="1")
        walker = walk(url=server.url)
        walker.sandbox = own
        yield walker


def test_an_upstream_that_is_down_loses_nothing(frail: Walker) -> None:
    walker = frail.open("/", **UTM).identify(email=fresh_email())
    walker.sandbox.stop()
    walker.press("Skip for now").at("problem", problem="busy")
    walker.sandbox.start()
    walker.follow("Back to the form").at("verify").press("Send the code")
    expect(walker.field("Code")).to_be_visible()
    walker.verify().at("level")
    walker.sandbox.stop()
    walker.at("level").fill_level()
    expect(walker.root.get_by_role("button", name="Try again")).to_be_visible()  # else the form would wait for it
    walker.press("Send").at("problem", problem="busy")
    walker.sandbox.start()
    walker.follow("Back to the form").at("level")
    expect(walker.field("Full name")).to_have_value("Ann Example")
    walker.attach("Passport, photo page").press("Send").at("done")
    assert walker.entry()["body"]["utmSource"] == UTM["utm_source"]
    walker.watch.is_clean(refusals=(503,))


def test_a_long_wait_leaves_the_customer_alone(frail: Walker) -> None:
    """What is opened stays open, and the focus stays where it was put, while the page looks again and again."""
    walker = frail.open().register(email=fresh_email("drop")).at("status")
    walker.sandbox.stop()
    walker.unfold("delete")
    walker.field("Language").focus()
    for _ in range(2):
        with walker.page.expect_response(re.compile("/f/")):
            pass
    expect(walker.at("status").field("Language")).to_be_focused()
    expect(walker.root.get_by_role("button", name="Delete my data now")).to_be_visible()
    walker.sandbox.start()
    walker.at("level")


# -- The ends ----------------------------------------------------------------------------------------------------------


@SCRIPT
def test_an_existing_customer_is_led_to_the_sign_in(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open().register(email=fresh_email("exists")).at("problem", problem="exists")
    links = walker.step.get_by_role("link", name="Sign in")
    expect(links.first).to_have_attribute("href", "https://trading.example/sign-in")
    expect(links.first).to_have_attribute("target", "_top")
    walker.watch.is_clean()


def test_a_review_by_hand_is_a_good_end(walk: Walk) -> None:
    walker = walk(PHONE).open().register(email=fresh_email("review")).at("done", outcome="in_review")
    expect(walker.step).to_contain_text(walker.entry()["customerNo"])
    walker.watch.is_clean()


def test_a_refusal_names_the_reference_and_the_support(walk: Walk) -> None:
    walker = walk().open().register(email=fresh_email("refused")).at("problem", problem="refused")
    expect(walker.step).to_contain_text(walker.reference)
    expect(walker.step.get_by_role("link", name="Contact support")).to_be_visible()
    walker.watch.is_clean()


def test_an_unknown_address_has_a_way_on(walk: Walk) -> None:
    walker = walk().open("/f/" + "a" * 22 + "." + "b" * 43 + "/").at("problem", problem="not-found")
    walker.follow("Start again").at("identify")
    walker.watch.is_clean(refusals=(404,))


# -- Levels ------------------------------------------------------------------------------------------------------------


@SCRIPT
def test_one_of_several_paths_is_chosen(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open().register(email=fresh_email("paths")).at("path", level="level_1")
    walker.press("Continue")
    expect(walker.summary).to_be_visible()
    walker.field("With a bank card").check()
    walker.press("Continue").at("level", level="level_1")
    walker.field("Full name").fill("Ann Example")
    walker.field("Date of birth").fill("1990-05-17")
    walker.attach("Bank card, front").attach("Bank card, back")
    walker.press("Send").at("done")
    assert set(walker.application()) == {"name", "birthday", "front_bank_card", "back_bank_card"}
    walker.watch.is_clean(refusals=(422,))


@SCRIPT
def test_three_levels_are_filled_one_after_the_other(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open().register(email=fresh_email("levels")).at("level", level="level_1")
    walker.field("Full name").fill("Ann Example")
    walker.field("Date of birth").fill("1990-05-17")
    walker.press("Send").at("level", level="level_2")
    walker.fill_document("Driving licence", "LIC-12345", "Driving licence")
    walker.press("Send").at("level", level="level_3")
    walker.field("Home address").fill("1 High Street, Exampletown")
    walker.attach("Proof of address")
    walker.press("Send").at("done")
    walker.watch.is_clean()


def test_every_kind_of_element_is_reached_by_its_label(walk: Walk) -> None:
    walker = walk().open().register(email=fresh_email("all")).at("level").fill_level()
    walker.field("Contact phone").fill("7400123456")
    walker.attach("You holding the document", "holding.png").attach("Photo of your face", "face.png")
    walker.field("About your experience").fill("Bakes bread.")
    walker.field("Occupation").select_option(label="Employed")
    walker.field("Nationality").select_option(label="Spain")
    walker.attach("Proof of income", "income.png")
    walker.root.get_by_role("radio", name="Yes").check()
    walker.field("Appetite for risk, 1 to 10").fill("5")
    nameless = walker.step.locator("form.level :is(input, select, textarea):visible").evaluate_all(
        "all => all.filter((e) => ![...(e.labels || [])].some((l) => l.innerText.trim())).map((e) => e.name)"
    )
    assert nameless == []
    walker.press("Send").at("done")
    assert set(walker.application()) == {
        "name", "phone", "birthday", "passport", "proof_of_passpord", "handheld_identity_card", "face_photo",
        "about", "occupation", "nationality", "proof_of_income", "tax_resident", "risk",
    }  # fmt: skip
    walker.watch.is_clean()


@SCRIPT
def test_choosing_a_document_shows_only_its_pictures(world: Callable[..., Walker], script: bool) -> None:
    walker = world(script).open().register(email=fresh_email()).at("level")
    pictures = {
        "Identity card": {"Identity card, front", "Identity card, back"},
        "Passport": {"Passport, photo page"},
        "Driving licence": {"Driving licence"},
    }
    for kind, wanted in pictures.items():
        walker.field("Kind of document").select_option(label=kind)
        if not script:
            walker.press("Show which pictures are needed")
        for label in set().union(*pictures.values()):
            shown = walker.step.locator(".picture", has=walker.page.get_by_label(label, exact=True))
            expect(shown).to_be_visible(visible=label in wanted)


# -- By keyboard, on a small screen, by fragments ----------------------------------------------------------------------


def test_the_whole_way_is_walked_by_keyboard_alone(walk: Walk) -> None:
    walker = walk().open().at("identify")
    keyboard = walker.page.keyboard

    def tab_to(target: Any) -> None:
        for _ in range(40):
            keyboard.press("Tab")
            if target.evaluate("(element) => element === document.activeElement"):
                return
        raise AssertionError("forty Tabs did not reach it")

    def button(name: str) -> Any:
        return walker.root.get_by_role("button", name=name, exact=True)

    keyboard.press("Tab")
    expect(walker.page.get_by_role("link", name="Skip to the form")).to_be_focused()
    keyboard.press("Enter")
    tab_to(walker.field("Country you live in"))
    keyboard.type("United Kingdom")
    walker.to = fresh_email()
    tab_to(walker.field("E-mail address"))
    keyboard.type(walker.to)
    tab_to(walker.root.get_by_role("checkbox"))
    keyboard.press("Space")
    tab_to(button("Continue"))
    keyboard.press("Enter")
    expect(walker.at("password").root.get_by_role("heading", level=1)).to_be_focused()
    tab_to(walker.field("Password"))
    keyboard.type("correct horse battery")
    keyboard.press("Enter")
    expect(walker.at("verify").root.get_by_role("heading", level=1)).to_be_focused()
    tab_to(walker.field("Code"))
    keyboard.type(walker.code())
    keyboard.press("Enter")
    expect(walker.at("level").root.get_by_role("heading", level=1)).to_be_focused()
    tab_to(walker.field("Full name"))
    keyboard.type("Ann Example")
    tab_to(walker.field("Date of birth"))
    keyboard.type("05051990")  # the same day whether the browser asks for the month or the day first
    tab_to(walker.field("Kind of document"))
    keyboard.type("Passport")
    tab_to(walker.field("Number of the document"))
    keyboard.type("E12345678")
    tab_to(walker.field("Passport, photo page"))
    with walker.page.expect_file_chooser() as chooser:
        keyboard.press("Space")
    chooser.value.set_files({"name": "p.png", "mimeType": "image/png", "buffer": picture()})
    tab_to(button("Send"))
    keyboard.press("Enter")
    expect(walker.at("done").root.get_by_role("heading", level=1)).to_be_focused()
    assert "pwd" in walker.entry()["body"]
    assert walker.application()["birthday"] == "641865600000"
    walker.watch.is_clean()


# What sticks out of the page, and texts of which a part cannot be seen; what is unseen on purpose is no text there.
TOO_WIDE = """() => {
    const wide = document.documentElement.clientWidth, found = [];
    if (document.documentElement.scrollWidth > wide) found.push(`scrolls: ${document.documentElement.scrollWidth}`);
    const other = ".unseen, .skip, select, option, input, textarea, .thumb *";
    for (const each of document.querySelectorAll(`body *:not(${other})`)) {
        if (each.closest("[hidden], .unseen")) continue;
        const {left, right, width} = each.getBoundingClientRect(), name = `${each.tagName} ${each.textContent.trim()}`;
        if (width && (left < -1 || right > wide + 1)) found.push(`sticks out: ${name}`);
        const cut = getComputedStyle(each).display !== "inline" && each.scrollWidth > each.clientWidth + 1;
        if (cut && !each.children.length && !each.closest(".transfer")) found.push(`cut: ${name}`);
    }
    return found; }"""


@pytest.fixture(scope="module")
def pseudo_words(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("pseudo")
    return folder, pseudo.write(folder)


@pytest.fixture(scope="module")
def long_words(sandbox: Sandbox, pseudo_words: tuple[Path, dict[str, str]]) -> Iterator[Server]:
    """A server whose texts are a third longer than English."""
    folder, _words = pseudo_words
    server = pseudo.PseudoServer(
        database=f"sqlite:///{folder / 'onboarding.sqlite3'}", upstream=sandbox.url + "/api", PSEUDO_LOCALE=str(folder),
        UPSTREAM_READ_TIMEOUT="2.5",
    )  # fmt: skip
    with server.migrate():
        yield server


@pytest.mark.parametrize("language", ["fr", "ar"])
def test_long_words_fit_on_a_narrow_phone_in_both_directions(
    walk: Walk, long_words: Server, pseudo_words: tuple[Path, dict[str, str]], language: str
) -> None:
    def visit(**query: str) -> Walker:
        made = walk(NARROW, url=long_words.url)
        theirs = {"Date of birth": "Date of birth", "Passport": "Passport"}
        if language == "ar":  # the upstream does not speak it: countries by CLDR, documents in our words
            theirs = {"Date of birth": "Date of birth", "United Kingdom": "المملكة المتحدة"}
        made.words = pseudo_words[1] | theirs
        return made.open("/", lang=language, **query)

    def fits(step: str, **data: str) -> None:
        walker.at(step, **data)
        assert walker.page.evaluate(TOO_WIDE) == [], step

    walker = visit(utm_source="x" * 300)
    fits("identify")
    expect(walker.page.locator("html")).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
    walker.press("Continue")
    expect(walker.summary).to_be_visible()
    fits("identify")
    walker.follow("Phone")
    fits("identify")
    walker.follow("E-mail")
    walker.identify(email="a.very.long.name.that.goes.on." + fresh_email("paths"))
    fits("password")
    walker.press("Continue")
    expect(walker.summary).to_be_visible()
    fits("password")
    walker.password()
    fits("verify")
    walker.verify(walker.wrong_code())
    expect(walker.summary).to_be_visible()
    walker.unfold("help")
    walker.unfold("delete")
    fits("verify")
    walker.verify()
    fits("path")
    walker.field("With an identity document").check()
    walker.press("Continue")
    fits("level")
    walker.press("Send")
    expect(walker.summary).to_be_visible()
    fits("level")
    walker.fill_level().attach("Passport, photo page", "a-very-long-file-name-" * 4 + ".png")
    fits("level")
    walker.press("Send")
    fits("done")
    walker = visit().register(email=fresh_email("exists"))
    fits("problem")
    walker = visit().register(email=fresh_email("drop"))
    fits("status")
    walker = visit().register(email=fresh_email("levels")).at("level").press("Continue on another device")
    fits("handover")


def test_a_swapped_in_step_has_the_address_of_the_flow_and_survives_a_reload(walk: Walk) -> None:
    walker = walk().open("/", **UTM)

    def swapped(step: str) -> str:
        walker.at(step)
        expect(walker.page).to_have_url(re.compile(r"/f/[\w.-]+/$"))
        assert walker.page.evaluate("window.still === true"), "the page was loaded anew"
        address = walker.page.url
        walker.page.reload()
        walker.at(step)
        assert walker.page.url == address
        walker.page.evaluate("window.still = true")
        return address

    walker.page.evaluate("window.still = true")
    walker.identify(email=fresh_email())
    before = swapped("password")
    walker.password()
    assert swapped("verify") == before
    walker.verify()
    after = swapped("level")
    assert after != before, "the registration moves the flow to a new address"
    walker.level()
    assert swapped("done") == after
    walker.watch.is_clean()


def test_deleted_data_is_gone_and_the_way_starts_anew(walk: Walk) -> None:
    walker = walk().open("/", **UTM).identify(email=fresh_email()).password()
    old = walker.page.url
    walker.unfold("delete")
    walker.press("Delete my data now").at("identify")
    expect(walker.step.get_by_role("status")).to_have_text("Your data has been deleted.")
    assert "utm_source=News" in walker.page.url
    walker.page.goto(old)
    walker.at("problem", problem="not-found")
