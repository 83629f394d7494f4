"""How visitors' texts are read: attribution, phone numbers, codes, addresses, devices, languages, patterns."""

from __future__ import annotations

import time
import unicodedata
from datetime import date

import pytest
from django.test import override_settings
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from onboarding import i18n, visitor
from onboarding.domain import attribution
from onboarding.forms import read_code, read_phone
from onboarding.logs import mask
from onboarding.patterns import matches
from onboarding.upstream.wire import Country

GB = Country("GB", "United Kingdom", "GB", "+44", r"^7\d{9}$")
US = Country("US", "United States", "US", "+1", r"^\d{10}$")
CA = Country("CA", "Canada", "CA", "+1", r"^[2-9]\d{9}$")
IT = Country("IT", "Italy", "IT", "+39", "")
ALL = [GB, CA, US, IT]


@given(st.dictionaries(st.sampled_from([*attribution.UTM_KEYS, "email", "token", "UTM_SOURCE"]), st.text()))
def test_only_allowed_keys_without_control_characters_are_read(query: dict[str, str]) -> None:
    found = attribution.read(query.items()).values
    assert set(found) <= set(attribution.UTM_KEYS)
    assert all(0 < len(value) <= 255 for value in found.values())
    assert not any(unicodedata.category(ch) == "Cc" for value in found.values() for ch in value)


def test_a_value_stays_as_the_link_had_it_and_the_first_of_duplicates_wins() -> None:
    pairs = [("UTM_Source", " Spring «50 %» + more "), ("utm_source", "second"), ("utm_term", "")]
    assert attribution.read(pairs).values == {"utm_source": " Spring «50 %» + more "}


@pytest.mark.parametrize(
    ("text", "area", "expected"),
    [
        ("07400 123456", GB, ("GB", "7400123456")),
        ("+1 (416) 555-0123", GB, ("CA", "4165550123")),
        ("+1 202 555 0123", GB, ("US", "2025550123")),
        ("06 1234 5678", IT, ("IT", "0612345678")),
        ("1234", GB, ("GB", None)),
        ("8400123456", GB, ("GB", None)),
        ("+999 123456789", GB, ("GB", None)),
        ("", GB, ("GB", None)),
    ],
)
def test_a_phone_number_is_read_with_its_own_countrys_pattern(
    text: str, area: Country, expected: tuple[str, str]
) -> None:
    found, number = read_phone(text, area, ALL)
    assert (found.code, number) == expected


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_numbers_and_codes(text: str) -> None:
    _area, number = read_phone(text, GB, ALL)
    assert number is None or (number.isascii() and number.isdigit())
    code = read_code(text)
    assert code is None or (code.isdigit() and 4 <= len(code) <= 8)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("482913", "482913"),
        (" 482 913 ", "482913"),
        ("４８２９１３", "482913"),
        ("٤٨٢٩١٣", "482913"),
        ("482–913", "482913"),
        ("Your code: 482913.", "482913"),
        ("482913 or 123456", None),
        ("", None),
        ("12", None),
    ],
)
def test_a_code_is_read_from_what_people_paste(text: str, code: str | None) -> None:
    assert read_code(text) == code


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "", "192.0.2.1"),
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (2, "203.0.113.9", "192.0.2.1"),
        (1, "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "203.0.113.9:4711", "203.0.113.9"),
        (1, "nonsense", ""),
        (1, " 203.0.113.9 ", "203.0.113.9"),
        (1, "203.0.113.9,", "203.0.113.9"),
        (1, ",,,", "192.0.2.1"),
        (1, "203.0.113.9 10.0.0.1", ""),
        (1, "203.0.113.9;10.0.0.1", ""),
        (1, "127.0.0.1, 203.0.113.9:80:80", ""),
        (1, "203.0.113.256", ""),
        (1, "0xcb007109", ""),
        (1, "3405803785", ""),
        (1, "0203.0.113.9", ""),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, "[2001:DB8:0::1]:1", "2001:db8::1"),
        (1, "2001:db8::1]:4711", ""),
        (1, "[203.0.113.9]:4711", "203.0.113.9"),
        (1, "fe80::1%eth0<svg>", ""),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "unknown", ""),
        (1, "_hidden", ""),
        (1, "\u0661.1.1.1", ""),
        (1, "1.1.1.1\x00", ""),
        (10, "1.1.1.1," * 5000 + "203.0.113.9" + ", 10.0.0.1" * 9, "203.0.113.9"),
        (1, "a\r\nb", ""),
    ],
)
def test_the_customers_address_is_taken_only_from_our_own_proxies(proxies: int, forwarded: str, expected: str) -> None:
    with override_settings(TRUSTED_PROXY_COUNT=proxies):
        assert visitor.client_address("192.0.2.1", forwarded) == expected


@pytest.mark.parametrize(
    ("hint", "agent", "mobile"),
    [
        ("?1", "", True),
        ("?0", "Mobile", False),
        ("", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)", True),
        ("", "X11; Linux", False),
    ],
)
def test_a_phone_is_known_by_the_hint_else_by_the_user_agent(hint: str, agent: str, mobile: bool) -> None:
    assert visitor.is_mobile(hint, agent) is mobile


@settings(deadline=None)  # the parser reads its patterns once
@given(st.text(max_size=200))
def test_the_device_is_a_short_printable_line_whatever_the_header_says(agent: str) -> None:
    device = visitor.device(agent)
    assert len(device) <= 100
    assert device.isascii()
    assert device.isprintable()


@pytest.mark.parametrize(
    ("asked", "browser", "language"),
    [
        (("zh-CN",), "", "zh-hans"),
        (("es_MX",), "", "es"),
        (("xx",), "es;q=0.5, zh", "zh-hans"),
        ((), "de", "en"),
        ((), "*", "en"),
        (("",), "zh-Hans-CN", "zh-hans"),
        (("zh-TW",), "", "zh-hant"),
        (("zh_HK",), "", "zh-hant"),
        (("zh-Hant",), "", "zh-hant"),
        ((), "zh-Hant-HK,zh;q=0.9,en;q=0.8", "zh-hant"),
        ((), "yue-HK", "zh-hant"),
        (("pt-BR",), "", "pt"),
        ((), "pt-PT,pt;q=0.9", "pt"),
        (("in",), "", "id"),
        ((), "in-ID", "id"),
        ((), "ar-EG,ar;q=0.9,en-US;q=0.8", "ar"),
        ((), "fr-CA", "fr"),
        ((), "ja", "ja"),
        ((), "inx", "en"),
        (("<script>",), ";;;", "en"),
    ],
)
def test_a_language_is_the_first_asked_for_that_we_have(asked: tuple[str, ...], browser: str, language: str) -> None:
    assert i18n.negotiate(asked, browser) == language


@pytest.mark.parametrize(
    ("browser", "region"),
    [
        ("en-GB,en;q=0.9", "GB"),
        ("zh-Hant-TW", "TW"),
        ("pt-BR,pt;q=0.9,en-US;q=0.8", "BR"),
        ("ja,en-US;q=0.7,en;q=0.3", "JP"),  # as a browser in Japan asks; the American part is its own addition
        ("fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3", "FR"),
        ("ar,en-US;q=0.7,en;q=0.3", ""),
        ("en-US,en;q=0.5", "US"),
        ("en,de-DE;q=0.5", "DE"),
        ("es-419", ""),
        ("in", "ID"),
        ("*", ""),
        ("", ""),
    ],
)
def test_the_country_proposed_is_that_of_the_browsers_language(browser: str, region: str) -> None:
    assert i18n.region(browser) == region


def test_languages_are_offered_by_their_own_names() -> None:
    assert [name for _code, name in i18n.choices()] == [
        "Bahasa Indonesia", "English", "Español", "Français", "Português", "Tiếng Việt", "Türkçe", "العربيّة", "ภาษาไทย",
        "日本語", "简体中文", "繁體中文", "한국어",
    ]  # fmt: skip


def test_days_are_written_as_each_language_does() -> None:
    written = {}
    for code, _name in i18n.choices():
        with translation.override(code):
            written[code] = i18n.day_in_words(date(1990, 5, 17))
    assert written == {
        "en": "May 17, 1990", "zh-hans": "1990年5月17日", "zh-hant": "1990年5月17日", "es": "17 de mayo de 1990",
        "fr": "17 mai 1990", "pt": "17 de maio de 1990", "tr": "17 Mayıs 1990", "ko": "1990년 5월 17일",
        "ja": "1990年5月17日", "th": "17 พฤษภาคม ค.ศ. 1990", "vi": "17 tháng 5, 1990", "id": "17 Mei 1990",
        "ar": "17 مايو 1990",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("", "anything", True),
        (r"^.{2,40}$", "x", False),
        (r"\d{3}", "ab123cd", True),  # unanchored, like RegExp.test
        (r"^[\u4e00-\u9fa5]+$", "中文", True),
        (r"^[\u4e00-\u9fa5]+$", "abc", False),
        (r"/^a+$/", "aaa", True),
        (r"(?<=a)b", "ab", True),  # RE2 cannot take it: another matcher does, within 50 ms
        (r"(?<=a)b", "zzz", False),
        (r"^(a)\1$", "aa", True),
        (r"^(a)\1$", "ab", False),
        (r"([", "zzz", True),  # nothing can compile it: skipped
    ],
)
def test_third_party_patterns_are_searched_and_unusable_ones_skipped(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


def test_no_pattern_can_hold_a_worker() -> None:
    started = time.thread_time()
    for pattern in (r"^(a+)+$", r"^(a|a)*$", r"^(\w+\s?)*$", r"(.*)*x", r"^(?=(a+)+$)b", r"^(a+)+\1$"):
        matches(pattern, "a" * 500 + "!")
    assert time.thread_time() - started < 2  # the catastrophic ones take years when backtracking


def test_handles_are_masked_wherever_a_path_is_logged() -> None:
    handle = "A" * 22 + "." + "b" * 43
    assert mask(f'Not Found: /f/{handle}/verify/ "GET /f/{handle}/?x=1"') == 'Not Found: /f/…/verify/ "GET /f/…/?x=1"'
