"""What a partner's page and the frame in it tell each other, what others tell them, and what such a page gets wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import BrowserContext, Page, expect

from onboarding.embedding import EMBED_VERSION, integrity
from onboarding.sandbox.server import Sandbox
from tests.browser.checks import frame_fits, told, told_done
from tests.browser.conftest import Walk
from tests.browser.sites import FRONT, PARTNER, SHOP, STRANGER, Sites, event_lines
from tests.browser.walker import COOKIES_ALLOWED, NARROW, NO_SCRIPT, Walker
from tests.support import Customer, Server, fresh_email

pytestmark = pytest.mark.browser

Visit = Callable[..., Walker]
UTM = {"utm_source": "news", "utm_campaign": "été & more"}


@pytest.fixture
def visit(walk: Walk, worlds: Callable[..., BrowserContext], sites: Sites) -> Visit:
    """Opens an address of the sites; the walker is inside the page's first frame."""

    def go(url: str, preferences: dict[str, Any] = COOKIES_ALLOWED, **options: Any) -> Walker:
        sites.answers.clear()
        walker = walk(context=worlds(preferences, **options), url=sites.origin(PARTNER))
        walker.page.goto(url)
        return walker.inside()

    return go


def heard(page: Page) -> list[dict[str, Any]]:
    return event_lines(page.locator("#events").text_content() or "")


def settled(page: Page) -> None:
    """Waits until the partner's page was told a height."""
    expect(page.locator("#events")).to_contain_text("onboarding:resize")


def inner(walker: Walker) -> Any:
    return walker.page.frames[1]


# -- Others ------------------------------------------------------------------------------------------------------------


def test_a_hostile_frame_beside_it_changes_nothing(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/hostile", PARTNER))
    walker.inside("div iframe")
    walker.at("identify")
    attacker = walker.page.frame_locator("#attacker")
    expect(attacker.frame_locator("iframe").locator("#rounds")).to_have_text(re.compile("[4-9]"))
    form = next(frame for frame in walker.page.frames if urlsplit(frame.url).path == "/p/default/")
    form.evaluate("addEventListener('message', ({data}) => window.arrived = [...(window.arrived || []), data])")
    form.wait_for_function("() => window.arrived?.some((data) => data?.theme === 'dark')")  # they do arrive
    walker.page.wait_for_function("heard.some(([origin, text]) => text?.includes('FORGED'))")

    walker.identify(email=fresh_email())
    expect(walker.root.locator("html")).to_have_attribute("lang", "en")
    for frame in walker.page.frames:
        assert frame.evaluate("[document.documentElement.dataset.theme, {}.polluted]") == [None, None]
    events = heard(walker.page)
    assert [event["payload"]["step"] for event in events if event["type"] == "step"] == ["identify", "password"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert not [event for event in events if event["reference"] == "FORGED"]
    height = [event["payload"]["height"] for event in events if event["type"] == "resize"][-1]
    assert walker.page.locator("div iframe").evaluate("frame => frame.clientHeight") == height
    assert walker.watch.console == []


def is_refused(walker: Walker) -> None:
    """The innermost frame shows the browser's own page instead of ours."""
    deadline = time.monotonic() + 15
    while not walker.page.frames[-1].url.startswith("chrome-error://"):
        assert time.monotonic() < deadline, walker.page.frames[-1].url
        walker.page.wait_for_timeout(50)


def test_a_page_that_is_not_listed_shows_the_way_out_and_tells_its_console_why(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/", STRANGER, **UTM))
    link = walker.page.get_by_role("link", name="Open in a new window")
    expect(link).to_be_visible()
    expect(walker.page.locator("iframe")).to_be_hidden()
    is_refused(walker)
    assert any(f"{sites.origin(STRANGER)} among the partner's origins" in text for text in walker.watch.warnings)
    with walker.page.expect_popup() as opened:
        link.click()
    alone = opened.value
    expect(alone.locator("#step")).to_have_attribute("data-step", "identify")
    assert parse_qs(urlsplit(alone.url).query) == {key: [value] for key, value in UTM.items()}
    alone.close()


@pytest.mark.parametrize("around", ["plain http", "a stranger around the partner"])
def test_no_page_further_out_may_be_another(visit: Visit, sites: Sites, around: str) -> None:
    page = sites.url("/", PARTNER)
    plain = around == "plain http"
    walker = visit(page.replace("https", "http") if plain else sites.framing(page, STRANGER))
    root = walker.page if plain else walker.page.frame_locator("iframe")
    expect(root.get_by_role("link", name="Open in a new window")).to_be_visible()
    is_refused(walker)


REFUSED = {
    "a page": "/p/default/",
    "an unknown address": "/f/x/",
    "no partner": "/p/nobody/",
    "the check": "/p/default/check/",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_stranger_frames_nothing(visit: Visit, sites: Sites, what: str) -> None:
    walker = visit(sites.framing(sites.url(REFUSED[what]), STRANGER))
    is_refused(walker)


def test_a_flow_is_framed_by_the_partner_it_began_at_and_by_no_other(
    visit: Visit, sites: Sites, secured: Server, sandbox: Sandbox
) -> None:
    customer = Customer(secured, sandbox, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"})
    reference = customer.identify("/p/wild/").reference
    address = sites.url(urlsplit(customer.flow_url).path)
    for step in ("password", "problem"):
        visit(sites.framing(address, SHOP)).at(step)
        for other in (PARTNER, STRANGER):
            walker = visit(sites.framing(address, other))
            is_refused(walker)
        expired = f"Flow.objects.filter(reference={reference!r}).update(expires_at='2020-01-01T00:00Z')"
        secured.manage("shell", "-c", f"from onboarding.models import Flow; {expired}")


@pytest.mark.parametrize("to", ["/p/default/", "/p/nobody/"])
def test_a_post_from_a_strangers_page_is_refused_and_not_shown_there(visit: Visit, sites: Sites, to: str) -> None:
    walker = visit(sites.url("/post", STRANGER, to=sites.url(to)))
    with walker.page.expect_event("framenavigated", lambda frame: frame.url != "about:blank"):
        walker.page.get_by_role("button").click()
    is_refused(walker)
    assert [answer.status for answer in sites.answers_to(to)] == [403]


FORGE = """async (addresses) => {
  for (const address of addresses) {
    const body = () => new URLSearchParams({lang: "es", code: "123456"});
    for (const sent of [body(), "lang=es", new Blob(["lang=es"], {type: "multipart/form-data; boundary=x"})]) {
      await fetch(address, {method: "POST", mode: "no-cors", credentials: "include", body: sent}).catch(() => 0);
    }
    navigator.sendBeacon(address, body());
    const form = Object.assign(document.createElement("form"), {method: "post", action: address, target: "inside"});
    document.body.append(form);
    form.submit();
    await new Promise((done) => { document.querySelector("iframe").onload = done; });
  }
}"""


def test_no_way_of_posting_from_a_strangers_page_has_an_effect(
    visit: Visit, sites: Sites, secured: Server, sandbox: Sandbox
) -> None:
    customer = Customer(secured, sandbox, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"})
    customer.register()
    flow = urlsplit(customer.flow_url).path
    names = "password verify path level resend identify language handover upload delete continue".split()
    paths = ["/", "/p/default/", flow, *(f"{flow}{name}/" for name in names)]
    walker = visit(sites.url("/post", STRANGER, to=sites.url("/")))
    told = len(sandbox.calls())
    walker.page.evaluate(FORGE, [sites.url(path) for path in paths])
    forged = [answer for answer in sites.answers if answer.method == "POST"]
    assert {answer.path for answer in forged} == set(paths)
    assert len(forged) >= 4 * len(paths), "a beacon may still be on its way"
    assert {answer.status for answer in forged} == {403}
    assert {answer.asked["Sec-Fetch-Site"] for answer in forged} == {"cross-site"}
    assert len(sandbox.calls()) == told
    assert customer.get(customer.flow_url).step == "level"


# -- The partner -------------------------------------------------------------------------------------------------------


def test_the_partner_chooses_colours_and_language_while_the_form_stands_there(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/", PARTNER, attributes='data-theme="dark" data-lang="es"', **UTM))
    root = walker.root.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    expect(root).to_have_attribute("lang", "es")
    host = walker.page.locator("[data-onboarding]")
    host.evaluate("host => { host.dataset.theme = 'light'; host.dataset.lang = 'zh-CN'; }")
    expect(root).to_have_attribute("lang", "zh-hans")
    expect(root).to_have_attribute("data-theme", "light")  # told again to the new page
    host.evaluate("host => host.dataset.lang = 'en-GB'")
    expect(root).to_have_attribute("lang", "en")
    walker.identify(email=fresh_email()).password()
    host.evaluate("host => host.dataset.lang = 'es'")
    expect(root).to_have_attribute("lang", "es")
    host.evaluate("host => host.dataset.lang = 'en'")
    expect(root).to_have_attribute("lang", "en")
    for nonsense in ("klingon", "", "x", "<b>", "de"):
        host.evaluate("(host, lang) => host.dataset.lang = lang", nonsense)
    walker.verify().at("level")
    assert walker.entry()["body"]["utmCampaign"] == UTM["utm_campaign"]
    host.evaluate("host => host.dataset.lang = 'es'")
    expect(root).to_have_attribute("lang", "es")
    assert walker.watch.console == []


def test_attributes_come_before_the_address_and_nothing_else_of_it_is_passed_on(visit: Visit, sites: Sites) -> None:
    attributes = 'data-utm-source="" data-utm-campaign="mine" data-country="ES" data-channel="phone" data-lang="es"'
    query = {"UTM_SOURCE": "theirs", "Utm_Campaign": "theirs", "utm_id": "17", "email": "a@b.example", "lang": "zh"}
    walker = visit(sites.url("/", PARTNER, attributes=attributes, **query))
    walker.at("identify")
    (first, *_) = sites.answers_to("/p/default/")
    asked = parse_qs(first.query, keep_blank_values=True)
    assert (asked.pop("utm_source"), asked.pop("utm_campaign")) == ([""], ["mine"])
    assert asked == {
        "UTM_SOURCE": ["theirs"], "Utm_Campaign": ["theirs"], "utm_id": ["17"], "country": ["ES"],
        "channel": ["phone"], "lang": ["es"],
    }  # fmt: skip
    alone = parse_qs(urlsplit(walker.step.get_attribute("data-alone") or "").query)
    assert ("utm_source" in alone, alone["utm_campaign"], alone["utm_id"]) == (False, ["mine"], ["17"])
    expect(walker.root.locator("#id_country")).to_have_value("ES")


def test_several_frames_keep_apart_and_the_script_may_run_again(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/", PARTNER, times="2"))
    page = walker.page
    expect(page.locator("iframe")).to_have_count(2)
    page.wait_for_function("document.getElementById('events').textContent.match(/onboarding:resize/g)?.length >= 2")
    walker.inside("iframe >> nth=0").identify(email=fresh_email())
    page.wait_for_function("document.getElementById('events').textContent.includes('password')")
    own, other = page.locator("iframe").evaluate_all("frames => frames.map((frame) => frame.clientHeight)")
    assert own < other
    page.evaluate(
        """async (src) => {
            document.body.insertAdjacentHTML("beforeend", "<div data-onboarding></div>");
            const script = Object.assign(document.createElement("script"), {src});
            await new Promise((done) => { script.onload = done; document.body.append(script); });
        }""",
        sites.url("/embed.js"),
    )
    expect(page.locator("iframe")).to_have_count(3)
    expect(page.frame_locator("iframe >> nth=2").locator("#step")).to_be_visible()
    page.locator("[data-onboarding] >> nth=2").evaluate("host => { host.remove(); host.dataset.theme = 'dark'; }")
    walker.at("password")
    walker.watch.is_clean()


def test_the_numbered_script_runs_with_its_hash_and_with_no_other(visit: Visit, sites: Sites) -> None:
    script = requests.get(f"http://127.0.0.1:{sites.front_end}/embed/{EMBED_VERSION}.js", headers={
        "X-Forwarded-Proto": "https", "Host": FRONT,
    }, timeout=10)  # fmt: skip
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    right, wrong = integrity(script.content), integrity(script.content + b" ")
    home = sites.origin(FRONT)
    policy = f"default-src 'none'; script-src {home}; frame-src {home}"  # as docs/embedding.md has it
    walker = visit(sites.url("/", PARTNER, version=EMBED_VERSION, integrity=right, policy=policy))
    walker.at("identify")
    walker.page.evaluate("document.querySelector('iframe').height = '77'")
    walker.page.frames[1].evaluate("location.reload()")
    walker.page.wait_for_function("() => document.querySelector('iframe').height !== '77'")
    assert walker.page.evaluate("typeof heard") == "undefined", "the page's policy holds"
    other = visit(sites.url("/", PARTNER, version=EMBED_VERSION, integrity=wrong))
    other.page.wait_for_function("performance.getEntriesByType('resource').some(({name}) => name.includes('/embed/'))")
    assert other.page.locator("iframe").count() == 0


def test_a_picture_in_the_partners_page_does_not_choose_where_the_form_comes_from(visit: Visit, sites: Sites) -> None:
    page = visit(sites.url("/", PARTNER)).page
    page.evaluate(
        """([home, evil]) => {
          document.body.innerHTML = `<img name="currentScript" src="${evil}/x.png"><div data-onboarding></div>`;
          document.body.append(Object.assign(document.createElement("script"), {src: `${home}/embed.js`}));
        }""",
        [sites.origin(FRONT), sites.origin(STRANGER)],
    )
    expect(page.locator("iframe")).to_have_attribute("src", re.compile("^" + re.escape(sites.origin(FRONT)) + "/p/"))


def test_a_page_that_tells_no_referrer_is_told_all_the_same(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/", PARTNER, referrer="no-referrer", **UTM))
    settled(walker.page)
    walker.identify(email=fresh_email())
    assert "Referer" not in sites.answers_to("/p/default/")[0].asked
    assert [event["type"] for event in heard(walker.page)][:3] == ["ready", "step", "resize"]


def test_the_way_back_in_the_frame_and_a_reload_lead_to_the_step_and_events_begin_anew(
    visit: Visit, sites: Sites
) -> None:
    walker = visit(sites.url("/", PARTNER))
    walker.identify(email=fresh_email()).password()
    inner(walker).evaluate("location.reload()")
    walker.page.wait_for_function("document.getElementById('events').textContent.match(/onboarding:ready/g).length > 1")
    walker.at("verify")
    ready = [i for i, event in enumerate(heard(walker.page)) if event["type"] == "ready"]
    again = heard(walker.page)[ready[1] :]
    assert [event["seq"] for event in again] == list(range(1, len(again) + 1))
    assert again[1]["payload"] == {"step": "verify", "level": ""}
    walker.page.evaluate("history.back()")  # of the frame: the partner's page stays
    walker.at("identify")
    walker.page.evaluate("history.forward()")
    walker.at("verify").verify().at("level")
    walker.page.goto(sites.url("/attack", STRANGER))
    walker.page.go_back()
    walker.inside()
    expect(walker.step).to_have_attribute("data-step", re.compile("level|identify"))
    settled(walker.page)


def test_deleted_data_is_told_as_closed(visit: Visit, sites: Sites) -> None:
    walker = visit(sites.url("/", PARTNER))
    walker.identify(email=fresh_email()).unfold("delete").press("Delete my data now").at("identify")
    events = told(walker, "closed")
    assert [event["payload"] for event in events if event["type"] == "closed"] == [{}]
    assert events[-1]["reference"] == ""


# -- Height ------------------------------------------------------------------------------------------------------------

_SHIFTS = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => list.getEntries().forEach(({value}) => sum += value))
    .observe({type: "layout-shift", buffered: true});
  setTimeout(() => done(sum), 300);
})"""
# Kept free until the script has arrived, as docs/embedding.md has it.
ROOM = '[data-onboarding=""] { min-height: 1120px }'
STYLES = {
    "as it comes": "",
    "as high as the window": "html, body { height: 100vh; margin: 0 } div { height: 100vh }",
    "a flexible column": "body { display: flex; flex-direction: column; min-height: 100vh } div { flex: 1 }",
    "zoomed": "div { zoom: 2 }",
}
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {},
    "phone": NARROW,
    "zoomed to 200 %": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    "zoomed to 110 %": {"viewport": {"width": 1164, "height": 727}, "device_scale_factor": 1.1},
}


@pytest.mark.parametrize("screen", SCREENS)
def test_what_stands_below_the_form_stays_there_while_it_loads(visit: Visit, sites: Sites, screen: str) -> None:
    walker = visit(sites.url("/", PARTNER, style=ROOM), **SCREENS[screen])
    settled(walker.page)
    frame_fits(walker)
    assert walker.page.evaluate(_SHIFTS) < 0.01
    resizes = [event["payload"]["height"] for event in heard(walker.page) if event["type"] == "resize"]
    assert len(resizes) <= 2
    walker.page.evaluate(  # the control: a shift is seen
        "document.body.prepend(Object.assign(document.createElement('p'), {innerHTML: '<br><br><br>'}))"
    )
    assert walker.page.evaluate(_SHIFTS) > 0.01


@pytest.mark.parametrize("style", STYLES)
def test_the_height_comes_to_rest_whatever_the_partners_style(visit: Visit, sites: Sites, style: str) -> None:
    walker = visit(sites.url("/", PARTNER, style=STYLES[style]))
    settled(walker.page)
    frame_fits(walker)
    inner(walker).evaluate("document.querySelector('.card').append(document.createElement('hr'))")
    walker.page.wait_for_timeout(400)
    frame_fits(walker)
    before = len(heard(walker.page))
    walker.page.wait_for_timeout(600)
    assert 4 <= len(heard(walker.page)) == before <= 6
    assert walker.page.locator("iframe").get_attribute("style") is None


# -- Frames that let the form do too little ----------------------------------------------------------------------------

NEEDED = "allow-scripts allow-forms allow-same-origin allow-popups allow-popups-to-escape-sandbox"


def sandboxed(sites: Sites, flags: str, **query: str) -> str:
    return sites.framing(sites.url("/p/default/", **query), attributes=f'sandbox="{flags}"')


def test_a_sandbox_that_allows_what_is_needed_is_no_hindrance(visit: Visit, sites: Sites) -> None:
    walker = visit(sandboxed(sites, NEEDED))
    walker.identify(email=fresh_email())
    expect(walker.root.locator("#frame-help")).to_be_hidden()
    assert not [text for text in walker.watch.warnings if "sandbox" in text]


@pytest.mark.parametrize(
    ("flags", "lacking"),
    [
        ("allow-scripts", "allow-same-origin and allow-forms"),
        ("allow-scripts allow-forms", "allow-same-origin"),
        ("allow-scripts allow-same-origin", "allow-forms"),
    ],
)
def test_a_sandbox_that_allows_too_little_is_told_to_both(visit: Visit, sites: Sites, flags: str, lacking: str) -> None:
    walker = visit(sandboxed(sites, flags, lang="es", **UTM))
    help_ = walker.root.locator("#frame-help")
    expect(help_).to_be_visible()
    address = urlsplit(help_.locator("bdi").text_content() or "")
    assert f"{address.scheme}://{address.netloc}" == sites.origin(FRONT)
    assert parse_qs(address.query) == {"lang": ["es"], **{key: [value] for key, value in UTM.items()}}
    assert f"onboarding: the iframe's sandbox lacks {lacking}" in walker.watch.warnings


def test_the_new_window_of_a_sandbox_works_or_says_how_to_get_on(visit: Visit, sites: Sites) -> None:
    """A window that a sandboxed frame opens is sandboxed too and stays empty, unless the partner lets it escape."""
    for escape in (True, False):
        flags = "allow-scripts allow-forms allow-popups" + " allow-popups-to-escape-sandbox" * escape
        walker = visit(sandboxed(sites, flags, **UTM))
        with walker.page.expect_popup() as opened:
            walker.root.locator("#frame-help").get_by_role("link").click()
        address = walker.root.locator("#frame-help bdi").text_content() or ""
        walker.page.close()
        walker.page = walker.root = opened.value
        if not escape:
            assert walker.page.url.startswith("chrome-error://")
            walker.page.close()
            walker.page = walker.root = walker.watch.context.new_page()
            walker.page.goto(address)
        walker.register(email=fresh_email()).at("level")
        assert walker.entry()["body"]["utmCampaign"] == UTM["utm_campaign"]


def test_without_script_a_sandboxed_frame_is_told_when_it_sends(visit: Visit, sites: Sites) -> None:
    walker = visit(sandboxed(sites, "allow-forms", **UTM), NO_SCRIPT)
    walker.at("identify").fill_identity(email=fresh_email())
    walker.root.get_by_role("checkbox").check()
    walker.press("Continue").at("problem", problem="not-allowed")
    address = walker.step.locator("bdi.address").text_content() or ""
    expect(walker.root.get_by_role("link", name="Open in a new window").first).to_be_visible()
    walker.page.goto(address)
    walker.root = walker.page
    walker.register(email=fresh_email()).at("level")
    assert walker.entry()["body"]["utmSource"] == UTM["utm_source"]


def test_a_forbidden_camera_is_told_to_both(visit: Visit, sites: Sites) -> None:
    warning = 'onboarding: the iframe lacks allow="camera", or the page\'s Permissions-Policy forbids it'
    walker = visit(sites.framing(sites.url("/p/default/"), attributes='allow="camera"')).at("identify")
    assert warning not in walker.watch.warnings
    walker = visit(sites.framing(sites.url("/p/default/", **UTM)))
    walker.register(email=fresh_email()).at("level").fill_level()
    expect(walker.step).to_contain_text("Received:")  # what comes after it is not drawn anew any more
    assert warning in walker.watch.warnings
    walker.press("Take a photo")
    expect(walker.step).to_contain_text("The camera cannot be used here")
    with walker.page.expect_popup() as opened:
        walker.root.locator(".no-camera").get_by_role("link", name="Open in a new window").click()
    expect(opened.value.locator("#step")).to_have_attribute("data-step", "level")
    opened.value.close()
    walker.press("Send")
    told_done(walker)
