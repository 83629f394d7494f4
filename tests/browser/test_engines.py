"""The way to the first level in a partner's frame, in the other engines that customers have: Firefox and WebKit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from onboarding.sandbox.server import Sandbox
from tests.browser import engines
from tests.browser.checks import PASSWORD
from tests.browser.conftest import needed
from tests.browser.engines import Driven
from tests.browser.sites import PARTNER, SHOP, STRANGER, Sites
from tests.browser.walker import SHOTS
from tests.campaign import UTM
from tests.provide import engine_packages
from tests.support import Server, fresh_email

pytestmark = pytest.mark.browser

Start = Callable[[Sites, Any], AbstractContextManager[Driven]]
# Engine, how it is set up, and what the control page tells in a frame: the cookie, script, storage.
WORLDS = {
    "firefox as it comes": ("firefox", {}, ("control=framed", "works")),
    "firefox, every cookie rejected": ("firefox", {"network.cookie.cookieBehavior": 2}, ("", "throws")),
    "webkit as it comes": ("webkit", (), ("", "works")),
}


@pytest.fixture(params=WORLDS, scope="module")
def world(request: pytest.FixtureRequest, sites: Sites, secured: Server) -> Any:
    engine, options, told = WORLDS[request.param]
    lacking = [package for package, there in engine_packages(engine).items() if not there]
    needed(not lacking, f"{engine}: packages {' '.join(lacking)}")
    start: Start = getattr(engines, engine)
    with start(sites, options) as driven:
        yield driven, told, request.param


def test_a_customer_gets_to_the_first_level_in_a_frame_of_another_site(
    world: tuple[Driven, tuple[str, str], str], sites: Sites, sandbox: Sandbox
) -> None:
    driven, told, name = world
    for cookie in ({"cookie": "framed"}, {}):
        driven.open(sites.framing(sites.url("/control/", **cookie))).inside()
        storage = driven.until("document.getElementById('storage').textContent")
    assert driven.run("return document.getElementById('cookie').textContent") == told[0]
    assert f'"localStorage":"{told[1]}"' in storage
    sites.answers.clear()

    email = fresh_email()
    driven.open(sites.url("/", PARTNER, **UTM)).inside()
    driven.until("document.getElementById('step')?.dataset.step === 'identify'")
    driven.run("const one = document.querySelector('select[name=country]'); one.value = 'GB'")
    driven.click("[name=terms]").answer("#id_email", email)
    driven.until("document.getElementById('step')?.dataset.step === 'password'")
    driven.answer("#id_password", PASSWORD)
    driven.until("document.getElementById('step')?.dataset.step === 'verify'")
    (code,) = [message["code"] for message in sandbox.inbox() if message["to"] == email]
    driven.answer("#id_code", code)
    driven.until("document.getElementById('step')?.dataset.level === 'level_1'")

    (entry,) = [one for one in sandbox.registrations() if one["body"]["loginName"] == email]
    assert {name: entry["body"][name] for name in ("country", "utmSource", "utmCampaign", "utmTerm")} == {
        "country": "GB", "utmSource": UTM["utm_source"], "utmCampaign": UTM["utm_campaign"], "utmTerm": UTM["utm_term"],
    }  # fmt: skip
    assert [answer.path for answer in sites.answers if answer.all("Set-Cookie")] == []
    inside = driven.until("document.documentElement.scrollHeight <= innerHeight + 1 && innerHeight")
    driven.outside().until("document.getElementById('events').textContent.includes('\"step\":\"level\"')")
    events = driven.run("return document.getElementById('events').textContent")
    assert entry["customerNo"] in events and email not in events
    assert driven.run("return document.querySelector('iframe').clientHeight") == inside
    driven.photograph(SHOTS / "tests" / f"{name.replace(' ', '-')}.png")


def test_a_stranger_may_not_frame_the_page(world: tuple[Driven, tuple[str, str], str], sites: Sites) -> None:
    driven, _told, _name = world
    page = sites.url("/p/default/")
    driven.open(sites.framing(page)).inside()
    assert driven.until("document.getElementById('step')?.dataset.step") == "identify"
    driven.open(sites.framing(page, STRANGER)).inside()
    assert driven.run("return document.getElementById('step')") is None


def test_a_page_listed_by_a_wildcard_that_tells_no_referrer_is_told_all_the_same(
    world: tuple[Driven, tuple[str, str], str], sites: Sites
) -> None:
    driven, _told, _name = world
    driven.open(sites.url("/", SHOP, partner="wild", referrer="no-referrer"))
    driven.until("document.getElementById('events').textContent.includes('onboarding:resize')")
    driven.run("document.querySelector('iframe').height = '77'")
    driven.inside().run("location.reload()")
    driven.outside().until("document.getElementById('events').textContent.match(/:ready/g).length === 2")
    driven.until("document.querySelector('iframe').height !== '77'")
