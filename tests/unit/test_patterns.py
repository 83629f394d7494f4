"""Third-party patterns: read as JavaScript reads them, and never for long."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboarding.patterns import matches

_numbers = count()


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """Makes a pattern that this process has not seen yet out of one; what it finds stays the same."""
    return lambda pattern: f"(?:{pattern})|never{next(_numbers)}"


# What `new RegExp(…).test(…)` answers in Node.js 20, text by text. A literal, `/…/flags`, stands for itself.
JAVASCRIPT: list[tuple[str, list[str], list[str]]] = [  # pattern, texts it is found in, texts it is not found in
    # Nothing is anchored, the ends are the ends, and a dot is not the end of a line.
    (r"\d{3}", ["ab123cd"], ["a12b"]),
    (r"^a$", ["a"], ["a\n", "\na"]),
    (r"/^a$/m", ["b\na", "a\r\nb", "a\u2028b"], ["xa"]),
    (r"^.$", ["\x85"], ["\r", "\n", "\u2028"]),
    (r"/^.$/s", ["\n"], []),
    (r"^[^]{2}$", ["\n\n"], ["a"]),
    (r"a[]|b", ["b"], ["a"]),
    # The classes are those of ASCII, but space is that of Unicode.
    (r"^\d+$", ["12"], ["１２", "12\n", "١"]),
    (r"^\w+$", ["e_1"], ["é", "ſ"]),
    (r"/\W/i", ["é"], ["s", "k"]),
    (r"^\s$", ["\xa0", "\ufeff", "\v", "\u3000"], ["\u200b", "\x1c"]),
    (r"[^\S]", [" "], ["a"]),
    (r"\bfoo\b", ["a foo b", "éfoo"], ["foobar"]),
    (r"\Boo", ["foo"], ["oo"]),
    (r"\B", ["", "ab"], ["a", "1éx"]),
    # Escapes.
    (r"^[\u4e00-\u9fa5]+$", ["中文"], ["abc"]),
    (r"\x41\u0042\103", ["ABC"], []),
    (r"\x4\u12", ["x4u12"], []),
    (r"\cJ", ["\n"], ["cJ"]),
    (r"\c1", ["\\c1"], ["c1"]),
    (r"[\cA\b]", ["\x01", "\b"], ["b"]),
    (r"\e\i\_\é\-\#", ["ei_é-#"], []),
    (r"^\A\Z\z\Q$", ["AZzQ"], ["", "a"]),
    (r"a\/b", ["a/b"], []),
    # Literals and flags.
    (r"/a\/b/", ["a/b"], []),
    (r"/a/b/", ["a/b"], []),
    (r"/[/]/", ["/"], ["a"]),
    (r"/^A+$/i", ["aaa", "AA"], ["b"]),
    (r"/É/gi", ["é"], ["e"]),
    (r"/a/q", ["/a/q"], ["a"]),
    (r"/a", ["/a"], ["a"]),
    # Characters beyond U+FFFF are two, unless the flag u says otherwise.
    (r"^.{2}$", ["😀", "ab"], ["a"]),
    (r"/^.$/u", ["😀"], ["ab"]),
    (r"^[^a]$", ["é"], ["😀"]),
    (r"[\ud800-\udbff][\udc00-\udfff]", ["😀"], ["a"]),
    (r"/^\ud83d\ude00$/u", ["😀"], ["a"]),
    (r"/^\u{1F600}$/u", ["😀"], ["a"]),
    (r"/^\p{L}+$/u", ["é", "𠮷"], ["1"]),
    (r"/^\p{Script=Greek}+$/u", ["αβ"], ["ab"]),
    (r"/^[\p{L}\d]+$/u", ["é1"], ["-"]),
    # Classes.
    (r"[\d-z]", ["-", "5", "z"], ["y"]),
    (r"[a\-z]", ["-"], ["b"]),
    (r"^[[:alpha:]]$", ["a]", ":]"], ["b"]),
    (r"^[a&&b]$", ["&", "a"], ["c"]),
    (r"[^\[\]]", ["a"], ["["]),
    (r"[\\]", ["\\"], ["a"]),
    # Braces that repeat nothing are braces.
    (r"^a{,3}$", ["a{,3}"], ["aaa"]),
    (r"^a{1$", ["a{1"], ["a"]),
    (r"^]}$", ["]}"], []),
    (r"x{0}y", ["y"], ["x"]),
    # Look-around and back-references.
    (r"(?<=a)b", ["ab"], ["zzz"]),
    (r"(?<!a)b", ["cb"], ["ab"]),
    (r"(?<=\d+)x", ["12x"], ["x"]),
    (r"^(?=.*\d)(?=.*[a-z]).{4,}$", ["abc1"], ["abcd", "a1"]),
    (r"^(?!0+$)\d+$", ["010"], ["000"]),
    (r"^(?=a)*b", ["b"], ["a"]),
    (r"(?=é)\B", ["é"], ["aé"]),
    (r"(a)\1", ["aa"], ["ab", "zzz"]),
    (r"^(a)?\1b", ["b", "aab"], ["ab"]),
    (r"^\1(a)$", ["a"], ["aa"]),
    (r"^(a\1)$", ["a"], ["aa"]),
    (r"(a)\2", ["a\x02"], ["aa"]),
    (r"(?<year>\d{4})-\k<year>", ["2020-2020"], ["2020-2021"]),
    (r"(?<$>a)(?<b>b)\k<b>\k<$>", ["abba"], ["abab"]),
    (r"^\k<a>$", ["k<a>"], ["a"]),
    # As they come.
    (r"^[A-Z]{2}\d{6}[A-D]?$", ["AB123456C"], ["ab123456"]),
    (r"^(\+?86)?1[3-9]\d{9}$", ["13800138000", "+8613800138000"], ["23800138000"]),
    (r"(^\d{15}$)|(^\d{18}$)|(^\d{17}(\d|X|x)$)", ["11010519491231002X"], ["1"]),
    (r"^[\w.-]+@[\w-]+\.\w{2,}$", ["ann@example.org"], ["ann@"]),
    (r"^.{2,500}$", ["xy", "x" * 500], ["x", "x" * 501]),  # too large for RE2
]


@pytest.mark.parametrize(("pattern", "found", "not_found"), JAVASCRIPT, ids=[row[0] for row in JAVASCRIPT])
def test_a_pattern_finds_what_it_finds_in_javascript(pattern: str, found: list[str], not_found: list[str]) -> None:
    assert [text for text in found if not matches(pattern, text)] == []
    assert [text for text in not_found if matches(pattern, text)] == []


@pytest.mark.parametrize("pattern", [r"^\p{L}+$", r"^\u{4e2d}+$"])
def test_what_needs_the_flag_u_is_meant_without_it_too(pattern: str) -> None:
    assert matches(pattern, "中")
    assert not matches(pattern, "1")


@pytest.mark.parametrize(
    "pattern",
    [
        "([", "(", ")", "[", "\\", "*a", "^*", "a|*", "(*a)", "a**", "a++", "a{2}+", "a{2}{3}", "(?<=a)*b", "[z-a]",
        "x{3,2}", "(?>a)", "(?P<n>a)", "(?#x)", "(?R)", "(?(1)a)", "(?", "(?<n>a)(?<n>b)", "(?<n>a)\\k<m>", "/a/y",
        "/[a--b]/v", "/a/ii", "\\p{Nonsense}", "\\u{110000}", "(?:" * 60 + "a" + ")" * 60, "a" * 2001,
    ],
)  # fmt: skip
def test_what_cannot_be_compiled_is_skipped(pattern: str) -> None:
    assert matches(pattern, "zzz")


def test_no_pattern_finds_everything() -> None:
    assert matches("", "anything")


CATASTROPHIC = [
    (r"^(?=x)?(a|a)*$", "a" * 60 + "!"), (r"^(a|a)*\1?$", "a" * 500 + "!"), (r"(?!b)(a+)+$", "a" * 500 + "!"),
    (r"^(?:(?:(?:a*)*)*)*(?=b)", "a" * 500 + "cb"), (r"(\w*)*(?!a)\W", "a" * 1000), (r"^(\w+\s?)*\1$", "a" * 60 + "!"),
    (r"(.*)(.*)(.*)(.*)(.*)(.*)\6x\b", "ax" * 300 + "!"), (r"(?<=(?:a+)+b)c", "a" * 500 + "c"),
    (r"(?=(?:.*.*.*.*.*.*=))x", "x" * 400 + "=" * 3), (r"^(([a-z])+.)+[A-Z](\2)+$", "a" * 1000),
    (r"(.*)" * 400 + r"\400", "a" * 999 + "!"), (r"(a?){1000}(?=b)\1{1000}c", "a" * 900 + "bc"),
    (r"^(a+)+$", "a" * 500 + "!"), (r"((a?){0,30}){0,30}$", "a" * 999 + "!"), (r"a{0,1000}" * 8 + "b", "a" * 1000),
    (r"(\w?\W?){0,400}x$", "é" * 1000), ("|".join(f"a{{0,{i}}}" for i in range(180)) + "$", "a" * 999 + "!"),
    (r"(?:\p{L}?\p{N}?)*(?:\p{L}?){30}x$", "é" * 1000), ("(?:a+|" * 45 + "b" + ")+" * 45, "a" * 1000),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text"), CATASTROPHIC, ids=[row[0][:40] for row in CATASTROPHIC])
def test_no_pattern_can_hold_a_worker(pattern: str, text: str) -> None:
    started = time.thread_time()
    matches(pattern, text)
    assert time.thread_time() - started < 0.5  # about 0.05 when nothing else runs; years without a limit


def test_a_pattern_that_takes_too_long_is_skipped_from_then_on(
    fresh: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    pattern = fresh(r"^(a|a)*\1?$")
    assert not matches(pattern, "!")
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: matches(pattern, "a" * 500 + "!"), range(8)))
    for _ in range(20):  # with four at once, the engine's clock may have blamed nobody yet
        matches(pattern, "a" * 500 + "!")
    started = time.thread_time()
    assert all(matches(pattern, "!") for _ in range(100))
    assert time.thread_time() - started < 0.5
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "a pattern is not used any more, it takes too long"
    ]


def test_a_complaint_is_logged_once_and_without_the_text(
    fresh: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    patterns = [fresh(r"(?>a)"), fresh(r"^(a|a)*\1?$"), fresh("a" * 2000)]
    secret = "a" * 300 + "secret!"
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            for pattern in patterns:
                assert matches(pattern, secret)
    assert len(caplog.records) == 3
    assert all(
        record.name == "onboarding.patterns" and "secret" not in record.getMessage() for record in caplog.records
    )


def test_a_text_too_long_to_be_judged_passes() -> None:
    assert not matches("^b", "a" * 1000)
    assert matches("^b", "a" * 1001)
    assert matches("^b(?=c)", "😀" * 501)


_PIECES = st.sampled_from(
    "a b 1 . ^ $ | ? * + ( ) [ ] { } \\ / - , : = ! < > é 😀 \ud83d (?: (?= (?! (?<= (?<! (?<n> \\d \\W \\s \\b \\B \\1"
    " \\k<n> {2} {1,2} {,2} [^ \\cA \\x61 \\u0061 \\u{61} \\p{L} \\p{ \\c \\0 [] [^] (a) (b)? /i /".split()
)


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=30), st.text(max_size=20))
def test_whatever_is_sent_nothing_is_raised(pattern: str, text: str) -> None:
    assert matches(pattern, text) in (True, False)
    assert matches(pattern, text + "\ud83d") in (True, False)
