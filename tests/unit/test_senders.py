"""Which unsafe requests are our own pages': every value of the two headers against every value of the other."""

from __future__ import annotations

import itertools

import pytest
from django.core import signing
from django.test import RequestFactory, override_settings

from onboarding import embedding

HOST, OTHER = "onboarding.example", "https://form.example:8443"
SITES = (
    None, "same-origin", "same-site", "cross-site", "none", "", "SAME-ORIGIN", " same-origin ,", "same-origin, none",
    "same-origin;a=1", "nonsense", "\x00",
)  # fmt: skip
OURS = (f"https://{HOST}", OTHER)
ORIGINS = (
    None, *OURS, "", "null", "NULL", f"http://{HOST}", f"https://{HOST}:443", f"https://{HOST}:444", f"https://{HOST}/",
    f"HTTPS://{HOST}", f"https://{HOST.upper()}", f"https://{HOST}.", f"//{HOST}", HOST, f"https://x.{HOST}",
    f"https://{HOST}.evil.example", f"https://{HOST}@evil.example", f"https://evil.example#{HOST}",
    f"https://{HOST}, https://evil.example", f"https://{HOST} https://evil.example", "https://form.example",
    "http://form.example:8443", "https://ōnboarding.example", "https://xn--nboarding-8ob.example", "file://", "*",
)  # fmt: skip


def _request(site: str | None, origin: str | None, *, method: str = "POST", host: str = HOST) -> object:
    headers = {"Sec-Fetch-Site": site, "Origin": origin}
    sent = {name: value for name, value in headers.items() if value is not None}
    return RequestFactory().generic(method, "/", secure=True, headers=sent, HTTP_HOST=host)


@override_settings(PUBLIC_URL=OTHER, ALLOWED_HOSTS=[HOST])
def test_only_same_origin_and_our_own_origins_are_ours() -> None:
    taken = set()
    for site, origin in itertools.product(SITES, ORIGINS):
        request = _request(site, origin)
        assert embedding.is_silent(request) == (site is None and origin is None)
        if not embedding.is_foreign(request) and not embedding.is_silent(request):
            taken.add((site, origin))
    assert taken == {("same-origin", origin) for origin in ORIGINS} | {(None, origin) for origin in OURS}


@pytest.mark.parametrize(
    ("public", "sent"),
    [
        ("https://Form.Example", "https://form.example"),
        ("https://form.example:443", "https://form.example"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_our_own_address_may_be_configured_as_people_write_it(public: str, sent: str) -> None:
    with override_settings(PUBLIC_URL=public, ALLOWED_HOSTS=[HOST]):
        assert not embedding.is_foreign(_request(None, sent))
        assert not embedding.is_foreign(_request(None, f"https://{HOST}", host=HOST.upper()))
        assert embedding.is_foreign(_request(None, sent + ".evil.example"))


@override_settings(ALLOWED_HOSTS=[HOST])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "post", "QUERY"])
def test_every_method_that_may_have_an_effect_is_looked_at(method: str) -> None:
    assert embedding.is_foreign(_request("cross-site", None, method=method))


def test_a_proof_is_one_flows_and_lasts_as_long_as_a_page_is_believed() -> None:
    text = embedding.way_back("ABC-DEF-GHK")
    assert embedding.is_way_back(text, "ABC-DEF-GHK")
    assert not embedding.is_way_back(text, "ABC-DEF-GHM")
    assert not embedding.is_way_back(text[:-1] + ("A" if text[-1] != "A" else "B"), "ABC-DEF-GHK")
    assert not embedding.is_way_back("", "")
    assert not embedding.is_way_back(signing.dumps("ABC-DEF-GHK"), "ABC-DEF-GHK")
