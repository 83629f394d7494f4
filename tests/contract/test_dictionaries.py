"""Lists of the upstream, however it answers from the start: every page that needs one still has it, and soon."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from onboarding import dictionaries
from onboarding.domain.levels import COMPANY_TYPES, COUNTRIES, DOCUMENT_KINDS
from onboarding.gateway import upstream
from onboarding.upstream.errors import UpstreamUnavailable
from tests.contract.test_replies import Line
from tests.support import free_port

MODES = ["dead", "hanging", "garbage", "too many requests", "failing", "an empty list", "odd data", "misconfigured"]


@pytest.fixture
def line() -> Iterator[Line]:
    """An upstream for this process, which has asked for nothing yet."""
    opened = Line()
    with override_settings(UPSTREAM_BASE_URL=f"http://127.0.0.1:{opened.port}/api"):
        upstream.cache_clear()
        dictionaries.forget()
        yield opened
    opened.close()
    upstream.cache_clear()
    dictionaries.forget()


def behave(line: Line, mode: str) -> str:
    """The address to ask."""
    match mode:
        case "dead":
            return f"http://127.0.0.1:{free_port()}/api"
        case "hanging":
            line.answer = lambda _peer: line.stopping.wait(20) and None
        case "garbage":
            line.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<p>sorry\n")
        case "too many requests":
            line.says(b"", "429 Too Many", "Retry-After: 30\r\n")
        case "failing":
            line.says(b"", "502 Bad Gateway")
        case "an empty list":
            line.tells(data=[])
        case "odd data":
            line.tells(data={"list": [None, 7, {"code": 5}]})
        case _:
            line.tells("CUSTOMER_API_0000111")
    return f"http://127.0.0.1:{line.port}/api"


@pytest.mark.parametrize("mode", MODES)
def test_every_list_is_there_however_the_upstream_answers(line: Line, mode: str) -> None:
    with override_settings(UPSTREAM_BASE_URL=behave(line, mode)):
        began = time.monotonic()
        page = Client().get("/", {"lang": "es"}, SERVER_NAME="localhost")
        assert page.status_code == 200 and "Reino Unido" in page.content.decode()
        assert {"GB", "CN"} <= {item.code for item in dictionaries.options(COUNTRIES, "en")}
        assert "passport" in {item.code for item in dictionaries.options(DOCUMENT_KINDS, "zh-hans")}
        assert isinstance(dictionaries.company_countries(), frozenset)
        with pytest.raises(UpstreamUnavailable) as caught:
            dictionaries.needed_options(COMPANY_TYPES, "en")
        assert caught.value.retry_after
        waited = time.monotonic() - began
        assert waited < 3 * dictionaries.FIRST_WAIT, "one wait in all, not one for each list"


def test_a_list_that_was_there_once_is_served_for_ever_without_waiting(line: Line) -> None:
    item = {"code": "GB", "name": "Kept", "countryCode": "44", "isEnable": 1, "nationalCode": "GB"}
    line.tells(data=[item])
    assert [country.name for country in dictionaries.countries("en")] == ["Kept"]
    behave(line, "hanging")
    for key, kept in list(dictionaries._kept.items()):
        dictionaries._kept[key] = dictionaries._Kept(kept.value, kept.tried - 3600, kept.until - 3600)
    began = time.monotonic()
    assert [country.name for country in dictionaries.countries("en")] == ["Kept"]
    assert time.monotonic() - began < dictionaries.FIRST_WAIT / 2


def test_what_the_upstream_has_in_english_only_gets_our_names_and_their_order(line: Line) -> None:
    named = {"GB": "United Kingdom", "AX": "Aland", "EG": "Egypt", "xx-1": "Somewhere", "other": "Other"}
    line.tells(
        data=[{"code": code, "displayName": name, "nationalCode": code, "status": 1} for code, name in named.items()]
    )
    shown = {lang: [country.name for country in dictionaries.countries(lang)] for lang in ("en", "pt", "ar", "ja")}
    assert shown == {
        "en": list(named.values()),
        "pt": ["Egito", "Ilhas Aland", "Reino Unido", "Somewhere", "Outro"],
        "ar": ["المملكة المتحدة", "جزر آلاند", "مصر", "Somewhere", "أخرى"],
        "ja": ["イギリス", "エジプト", "オーランド諸島", "Somewhere", "その他"],
    }
    assert dictionaries.countries("ja") is dictionaries.countries("ja")
    assert line.requests == 1, "one list in English, whatever the languages"
    line.tells(data=[{"code": "passport", "displayName": "Passport"}, {"code": "new", "displayName": "New kind"}])
    assert [item.name for item in dictionaries.options(DOCUMENT_KINDS, "vi")] == ["Hộ chiếu", "New kind"]


def test_lists_leave_places_for_customers(line: Line) -> None:
    behave(line, "hanging")
    for number in range(3 * dictionaries.AT_A_TIME):
        dictionaries.options(f"list {number}", "en")
    time.sleep(0.2)
    assert line.requests <= dictionaries.AT_A_TIME
