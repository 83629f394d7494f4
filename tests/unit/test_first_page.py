"""First pages that many visitors share: as the templates draw them, and never with anything of another visitor's."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.utils import translation

from onboarding import embedding, first_page, pages, start_views
from onboarding.domain.partner import Partner
from onboarding.gateway import upstream
from onboarding.landing import Landing, from_request

HOSTILE = [
    "",
    "ann@example.org",
    '"><script>alert(1)</script>',
    "{{ csp_nonce }}{% now 'Y' %}&amp;",
    f"{first_page.AGENT} {first_page.NONCE}{first_page.LINK}",  # even if somebody knew them
    "\u202egro.elpmaxe\u2066\x00\x1b",
    "ä" * 5_000,
]
PARTNERS = [
    Partner("default"),
    Partner("bank", "A & <b>", ("https://bank.example",), theme="dark", sign_in_url="https://bank.example/{lang}"),
    Partner("shop", "Shop", ("https://shop.example", "https://other.example"), channel="phone", agent="7"),
]
WAYS = [{"channel": "email"}, {"channel": "phone", "country": "GB", "deleted": "1"}, {"openAccountType": "1"}]
HEADERS = [{}, {"HTTP_HX_REQUEST": "true"}, {"HTTP_SEC_FETCH_DEST": "iframe"}]


@pytest.fixture(autouse=True)
def _as_in_production() -> Iterator[None]:
    """Nobody is there as the upstream. No circuit opens for that: a page that counts seconds is never put together."""
    with override_settings(DEBUG=False, UPSTREAM_BREAKER_FAILURES=1_000_000):
        upstream.cache_clear()
        yield
    upstream.cache_clear()
    translation.activate("en")


def _visit(partner: Partner, query: dict[str, str], **headers: str) -> tuple[HttpRequest, Landing, dict[str, str]]:
    request = RequestFactory().get("/", query, **headers)
    request.csp_nonce = embedding.Nonce()  # type: ignore[attr-defined]
    landing = from_request(request, partner)
    pages.set_page(request, partner=partner, landing=landing)
    given = {"channel": query.get("channel", ""), "email": query.get("email", ""), "phone": query.get("mobile", "")}
    return request, landing, given | {"country": query.get("country", ""), "account_type": landing.account_type}


def _plain(answer: HttpResponse) -> str:
    """The page without its landing field, which is signed with the second at which that was done."""
    return re.sub(r'name="landing" value="[^"]+"', "", answer.content.decode())


@pytest.mark.parametrize("partner", PARTNERS, ids=lambda partner: partner.slug)
def test_a_page_put_together_is_what_the_templates_draw(partner: Partner) -> None:
    for language, text, way, headers in itertools.product(("es", "zh-hans"), HOSTILE, WAYS, HEADERS):
        link = {"lang": language, "email": text, "mobile": text, "utm_source": text[:300], "b_superiorAgent": text[:60]}
        request, landing, given = _visit(partner, link | way, **headers)
        drawn = start_views.show_identify(request, given)
        for _first_and_from_what_is_kept in range(2):
            quick = start_views.show_first(request, landing, given)
            assert _plain(quick) == _plain(drawn), (language, text[:40], way, headers)
            assert quick.headers == drawn.headers


def test_visitors_at_the_same_moment_get_their_own_values_and_nobody_elses() -> None:
    def visit(number: int) -> str:
        mine = f"visitor{number}x@example.org"
        link = {"lang": ("en", "es", "zh-hans")[number % 3], "email": mine, "channel": "email", "utm_id": f"u{number}x"}
        request, landing, given = _visit(PARTNERS[number % 3], link)
        request.csp_nonce.value = f"nonce{number}x"  # type: ignore[attr-defined]
        return start_views.show_first(request, landing, given).content.decode()

    with ThreadPoolExecutor(8) as pool:
        for number, page in enumerate(pool.map(visit, range(400))):
            assert set(re.findall(r"visitor\d+x", page)) == {f"visitor{number}x"}
            assert set(re.findall(r"nonce\d+x", page)) == {f"nonce{number}x"}
            assert set(re.findall(r"utm_id=(u\d+x)", page)) == {f"u{number}x"}


def test_what_is_kept_is_bounded_and_holds_nobodys_text() -> None:
    for number in range(first_page.MOST_KEPT + 50):
        partner = Partner(f"p{number}")
        start_views.show_first(*_visit(partner, {"email": "visitor@example.org", "utm_source": "visitors-own"}))
    assert len(first_page._kept) <= first_page.MOST_KEPT
    kept = "".join(part for parts in first_page._kept.values() for part in parts)
    assert "visitor" not in kept
