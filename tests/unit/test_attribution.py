"""What of a link's values is kept, in what shape, and what is not taken."""

from __future__ import annotations

import json
import time
import unicodedata
from datetime import date

import pytest
import regex
from django.http import QueryDict
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from onboarding.domain import attribution
from onboarding.domain.attribution import CLICK_KEYS, KEYS, UTM_KEYS, Dropped, Touch, Touches, clean, personal, read
from tests.hostile import CHARACTERS, expected, links, meaning, texts

QUICK = settings(max_examples=300, deadline=None)


def taken(query: str, **options: bool) -> dict[str, str]:
    """What Django makes of a query string, and we of that."""
    pairs = ((key, values[0]) for key, values in QueryDict(query).lists())
    return dict(read(pairs, **options).values)


# -- Keys --------------------------------------------------------------------------------------------------------------


def test_only_known_keys_are_taken() -> None:
    assert taken("utm_source=a&email=b&token=c&utm_source_platform=d&utm=e&Utm_Medium=f&utm%5Fterm=g") == {
        "utm_source": "a", "utm_medium": "f", "utm_term": "g",
    }  # fmt: skip


@given(st.sampled_from(KEYS).flatmap(lambda key: st.tuples(st.just(key), st.lists(st.booleans(), min_size=20))))
def test_the_case_of_a_key_does_not_count(drawn: tuple[str, list[bool]]) -> None:
    key, upper = drawn
    spelt = "".join(ch.upper() if up else ch for ch, up in zip(key, upper, strict=False)) + key[len(upper) :]
    assert read([(spelt, "x")], clicks=True).values == {key: "x"}


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("utm_source=a&utm_source=b", "a"), ("UTM_SOURCE=a&utm_source=b", "a"), ("utm_source=a&UTM_SOURCE=b", "a"),
        ("utm_source=a&Utm_Source=b&utm_source=c", "a"), ("utm_source=&utm_source=b", ""),
        ("utm_source&utm_source=b", ""),
        ("utm_source=%E2%80%8B&utm_source=b", ""), ("utm_source=ann@example.org&utm_source=b", ""),
    ],
)  # fmt: skip
def test_the_first_of_duplicates_wins_whatever_it_is(query: str, source: str) -> None:
    """An empty first one says "none": `data-utm-source=""` stands before the value of the partner's page."""
    assert taken(query).get("utm_source", "") == source


# -- Values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "value"),
    [
        ("%2541", "%41"), ("a%2Bb", "a+b"), ("a+b", "a b"), ("a%20b", "a b"), ("%zz%", "%zz%"),
        ("50%25+off", "50% off"),
        ("e%CC%81t%C3%A9", "été"), ("%FF", "\ufffd"), ("%ED%A0%80", "\ufffd\ufffd\ufffd"), ("a%00b", "ab"),
        ("a%0D%0Ab", "ab"), ("%E2%80%AEcba", "cba"), ("%EF%BB%BFa", "a"), ("a%C2%ADb", "ab"), ("a%E2%80%A8b", "ab"),
        ("%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7", "\U0001f469\U0001f467"), ("%E2%9D%A4%EF%B8%8F", "\u2764"),
        ("%26amp%3B", "&amp;"),
    ],
)  # fmt: skip
def test_a_value_is_decoded_once_and_cleaned(link: str, value: str) -> None:
    assert taken(f"utm_content={link}") == {"utm_content": value}
    assert expected(meaning(link)) == value or "zz" in link


@QUICK
@given(links())
def test_whatever_a_link_holds_is_kept_as_another_reading_says(link: str) -> None:
    value = expected(meaning(link))
    assume(not personal("utm_term", attribution.visible(meaning(link))))
    assert taken(f"utm_term={link}") == ({"utm_term": value} if value else {})


@QUICK
@given(texts() | st.text(max_size=600))
def test_cleaning_what_is_clean_changes_nothing(value: str) -> None:
    once = clean(value)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert len(once) <= 255
    once.encode()  # no half of a surrogate pair: neither JSON nor PostgreSQL takes one
    values = read([("utm_term", value)]).values
    assert read(values.items()).values == values


LETTERS = st.sampled_from(
    ["a", "中", "e\u0301\u0323", "\U0001f1e9\U0001f1ea", "\U0001f1ea", "\U0001f44b\U0001f3fd", "क्ष", "क्षि", "நி", "ｶﾞ",
     "x\u20e3",
     "\U0001f469\u200d\U0001f467", "ก็", "가"]
)  # fmt: skip


@QUICK
@given(st.lists(LETTERS, min_size=120, max_size=140).map("".join), st.integers(0, 5))
def test_a_long_value_is_cut_between_letters(tail: str, shift: int) -> None:
    text = attribution.visible("x" * (150 + shift) + tail)
    assume(len(text) > 255)
    kept = clean(text)
    assert text.startswith(kept)
    ends = {0} | {found.end() for found in regex.finditer(r"\X", text)}
    assert len(kept) == max(end for end in ends if end <= 255)


def test_a_pile_of_accents_is_cut_all_the_same() -> None:
    assert len(clean("\u0301" * 400)) == 255


@pytest.mark.parametrize("key", UTM_KEYS)
@pytest.mark.parametrize(
    "value",
    [
        "ann@example.org", "Ann Example <ann@example.org>", "mailto:ann@example.org", "ann%40example.org",
        "ann%2540example.org", "ann%40example%2Eorg", "%61%6E%6E%40example.org", "ann@example\u3002org",
        "a.b+c@mail.example.co.uk", "ａｎｎ＠example.org", "анна@пример.рф", "ann@उदाहरण.भारत", "x ann@example.org y",
        "https://ann:secret@host.example/", "ann@xn--e1afmkfd.xn--p1ai", "ANN@EXAMPLE.ORG",
        "y" * 250 + "ann@example.org",
    ],
)  # fmt: skip
def test_a_value_that_looks_like_an_email_address_is_dropped_and_counted(key: str, value: str) -> None:
    found = read([(key, value)])
    assert (found.values, found.dropped) == ({}, {Dropped.EMAIL: 1})


@pytest.mark.parametrize("key", UTM_KEYS)
@pytest.mark.parametrize(
    "value",
    [
        "+447400123456", "+44 7400 123456", "+44 (0)7400 123456", "+49-30-1234567", "0044 7400 123456",
        "00447400123456",
        " 447400123456", "tel:+447400123456", "TEL: 447400123456", "+1 (202) 555-0123", "＋４４７４００１２３４５６",
        "call +447400123456 now", "%2B447400123456", "%252B44%25207400%2520123456",
        "+86 138 1234 5678", "+33 6 12 34 56 78", "+٤٤٧٤٠٠١٢٣٤٥٦", "+44\u20117400\u2011123456", "+201012345678",
    ],
)  # fmt: skip
def test_a_value_that_says_it_is_a_phone_number_is_dropped_and_counted(key: str, value: str) -> None:
    found = read([(key, value)])
    assert (found.values, found.dropped) == ({}, {Dropped.PHONE: 1})


@pytest.mark.parametrize(
    "value",
    [
        "07400123456", "07400 123456", "07400-123-456", "(020) 7946 0958", "06 12 34 56 78", "06.12.34.56.78",
        "202-555-0123",
        "(202) 555-0123", "202 555 0123", "138 1234 5678", "030/1234567", " 07400 123456 ",
    ],
)  # fmt: skip
def test_a_value_that_is_a_national_phone_number_is_dropped(value: str) -> None:
    assert {key for key in UTM_KEYS if personal(key, value)} == set(UTM_KEYS) - {"utm_id"}


def test_eleven_digits_are_a_chinese_phone_number_but_not_where_campaigns_have_theirs() -> None:
    assert {key for key in KEYS if personal(key, "13812345678")} == {
        "utm_source",
        "utm_medium",
        "utm_content",
        "utm_term",
    }


NO_PHONES = [
    "2026-11-24", "24.11.2026", "11/24/2026", "20261124", "20261124-001", "2026-11-24 2026-12-01",
    "2026-11-24 - 2026-12-01",
    "2026-11-24T10:30:00+0100", "20261124103000", "sale+2026-11-24 12:30", "+2026-11-24", "2026-11-24-001",
    "24/11/2026-001",
    "50% off", "50%40off", "1+1=3", "+20%", "100.000", "17", "0", "007", "000000123456", "000123456789012",
    "120210000000000123",
    "6412345678", "641234567890", "1795561234", "1795561234567", "300x250", "728x90", "v1.2.3", "3.14159265358979",
    "00123456-7890-1234-5678-901234567890", "abcdef12-0012-3456-7890-1234567890ab", "c0012345678901e",
    "f00447400123456a",
    "5f4dcc3b5aa765d61d8327deb882cf99", "9e107d9d372bb6826bd81d3542a419d6", "q1_2026_eu", "campaign 20261124 wave 003",
    "@acme.io", "medium.com/@acme", "2@10.99", "user@2.0", "a @ b.c", "google@cpc", "5 @ 3.50 each", "C++ 20", "24/7",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_PHONES)
@pytest.mark.parametrize("key", UTM_KEYS)
def test_numbers_dates_and_identifiers_of_campaigns_are_kept(key: str, value: str) -> None:
    assert read([(key, value)]).values == {key: value}


@pytest.mark.parametrize("key", ["utm_id", "utm_campaign"])
def test_a_campaigns_number_is_kept_whatever_its_length(key: str) -> None:
    for length in range(1, 25):
        value = "17412345678901234567890123"[:length]
        assert read([(key, value)]).values == {key: value}


@given(st.uuids().map(str) | st.binary(min_size=8, max_size=32).map(bytes.hex))
def test_hexadecimal_identifiers_are_kept(value: str) -> None:
    assume(regex.search(r"[a-f]", value))  # digits alone may be anything
    assert read([(key, value) for key in UTM_KEYS]).values == dict.fromkeys(UTM_KEYS, value)


@given(
    st.dates(min_value=date(1990, 1, 1), max_value=date(2099, 12, 31)),
    st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%Y%m%d"]),
)
def test_dates_are_kept(day: date, form: str) -> None:
    value = day.strftime(form)
    assert read([("utm_campaign", value), ("utm_term", value)]).values == {"utm_campaign": value, "utm_term": value}


SLOW = [
    "a", "a@", "@", "a.", "a@a.", "%40", "a%40", "%25", "+", "0", "00", "00 ", " 0", "1", "1 ", "+1", "+1 ",
    "(", "(1", "-", "1-1",
    "2026-11-24 ", "1/1/", "a1", "tel:", "tel: ", "1@1.", "\u0301", "\u0323\u0301", "\U0001f1e9", "\u094d",
    "١", "é", "0123456789-",
    "00000000-0000-",
]  # fmt: skip


@pytest.mark.parametrize("piece", SLOW)
def test_a_long_value_costs_little(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    for value in (text, f"12{text}", f"+{text}x", f"{text}@"):
        started = time.thread_time()
        read([("utm_term", value)])
        if not unicodedata.combining(piece[0]):  # else Unicode's own forms cost much, and `read` looks at a part only
            personal("utm_term", value)
        assert time.thread_time() - started < 0.5


def test_ten_thousand_pairs_cost_little() -> None:
    started = time.thread_time()
    found = read([(f"Utm_Source{n % 7 or ''}", "x" * 300) for n in range(10_000)])
    assert found.values == {"utm_source": "x" * 255}
    assert time.thread_time() - started < 0.5


# -- Click identifiers -------------------------------------------------------------------------------------------------


def test_click_identifiers_are_taken_only_where_wanted_and_not_from_who_objects() -> None:
    pairs = [("utm_source", "x"), *((key, "IwAR2-0044 7400") for key in CLICK_KEYS)]
    assert read(pairs).values == {"utm_source": "x"}
    assert read(pairs, objects=True).dropped == {}
    assert set(read(pairs, clicks=True).values) == {"utm_source", *CLICK_KEYS}
    found = read(pairs, clicks=True, objects=True)
    assert found.values == {"utm_source": "x"}
    assert found.dropped == {Dropped.OBJECTION: len(CLICK_KEYS)}


# -- Touches -----------------------------------------------------------------------------------------------------------

VALUES = st.dictionaries(st.sampled_from(KEYS), st.text(CHARACTERS, min_size=1, max_size=300), max_size=4)
VISITS = st.builds(
    lambda at, path, values: Touch(at.isoformat(timespec="seconds"), path, read(values.items(), clicks=True).values),
    st.datetimes(), st.sampled_from(["/", "/p/acme/", f"/p/{'a' * 60}/"]), VALUES,
)  # fmt: skip


@given(st.lists(VISITS, max_size=4))
@example([Touch("2026-11-24T10:00:00", "/", {}), Touch("2026-11-24T10:00:01", "/", {"utm_source": "a"})])
def test_touches_come_back_from_a_row_as_they_were(visits: list[Touch]) -> None:
    touches = Touches()
    for visit in visits:
        touches = touches.then(visit)
    row = json.loads(json.dumps(touches.stored()))
    assert Touches.of(row) == touches
    assert Touches.of(row).stored() == touches.stored()


@given(st.lists(VISITS, min_size=1, max_size=5))
def test_the_first_visit_stays_the_first_and_the_last_one_with_values_is_the_last(visits: list[Touch]) -> None:
    touches = Touches()
    for visit in visits:
        touches = touches.then(visit)
    assert touches.first == visits[0]
    told = [visit.values for visit in visits if visit.values]
    assert touches.last.values == (told[-1] if told else {})


def test_the_same_link_again_is_no_new_visit() -> None:
    first = Touch("2026-11-24T10:00:00+00:00", "/", {"utm_source": "a"})
    again = Touch("2026-11-24T11:00:00+00:00", "/p/acme/", {"utm_source": "a"})
    other = Touch("2026-11-24T12:00:00+00:00", "/", {"utm_source": "b"})
    assert Touches().then(first).then(again) == Touches(first, first)
    assert Touches().then(first).then(other).then(Touch("later", "/", {})) == Touches(first, other)


def test_a_row_of_an_earlier_release_holds_the_values_alone() -> None:
    touch = Touch(values={"utm_source": "a"})
    assert Touches.of({"utm_source": "a", "unknown": "b"}) == Touches(touch, touch)
    assert Touches.of({"utm_source": "ann@example.org"}).is_empty


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["first", "last", "at", "path", "values", "utm_source", "x"]), inner), max_leaves=12))  # fmt: skip
def test_any_nonsense_in_a_row_is_read_as_what_it_holds_of_touches(row: object) -> None:
    found = Touches.of(row)
    for touch in (found.first, found.last):
        assert len(touch.at) <= 32
        assert len(touch.path) <= 100
        assert set(touch.values) <= set(KEYS)


@given(VISITS, VISITS)
def test_without_clicks_the_rest_stays(one: Touch, two: Touch) -> None:
    bare = Touches(one, two).without_clicks()
    for before, after in ((one, bare.first), (two, bare.last)):
        assert (after.at, after.path) == (before.at, before.path)
        assert after.values == {key: value for key, value in before.values.items() if key.startswith("utm_")}
