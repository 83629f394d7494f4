"""The long run judges itself: what is bounded and exact holds, what is not does not; and nobody waits hours to see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.load.soak import judging, visitors

RATE = 20  # customers in a second


def sample(number: int, **other: Any) -> dict[str, Any]:
    """Of a run in which everything is level."""
    seconds = 10.0 * (number + 1)
    rows = {table: int(RATE * min(seconds, judging.OLDEST[table] / 2)) for table in judging.GONE}
    sealed = 200 * int(RATE * min(seconds, judging.OLDEST["sealed"] / 2))
    one = {
        "seconds": seconds, "begun": int(RATE * seconds), "memory": {"servers": 300 * 2**20, "purge": 100 * 2**20},
        "cpu": {"servers": 900.0, "customers": 20.0}, "rows": rows | {"funnel": 500},
        "sealed": sealed, "size": 10**7 + 5000 * rows["flow"], "deleted": 0,
    }  # fmt: skip
    return one | other


def judged(file: Path, samples: list[dict[str, Any]], **end: Any) -> dict[str, bool | None]:
    coming = visitors.visits(500, 1)
    expected = visitors.expected(coming)
    last = {"sealed": 0, "rows": dict.fromkeys(judging.GONE, 0) | {"funnel": 500}}
    records = [{"sample": one} for one in samples]
    whole = {"walked": 10**6, "wrong": [], "expected": expected, "books": expected, "last": last} | end
    file.write_text("\n".join(json.dumps(record) for record in [{"run": {}}, *records, {"end": whole}]))
    return {verdict.what: verdict.holds for verdict in judging.judge(file)}


def test_a_run_that_is_level_and_exact_holds(tmp_path: Path) -> None:
    found = judged(tmp_path / "run", [sample(number) for number in range(300)])
    assert set(found.values()) == {True}, found
    assert len(found) > 15


def test_what_grows_does_not_hold(tmp_path: Path) -> None:
    def growing(number: int) -> dict[str, Any]:
        one = sample(number)
        one["memory"]["servers"] += number * 2**20
        one["rows"]["milestone"] = one["begun"]
        return one | {"size": 10**7 + 5000 * one["begun"]}

    found = judged(tmp_path / "run", [growing(number) for number in range(300)])
    assert {what.split(":")[1].split(",")[0].strip() for what, holds in found.items() if holds is False} == {
        "memory of servers", "milestone", "database on disk",
    }  # fmt: skip


def test_a_count_that_is_off_by_one_does_not_hold(tmp_path: Path) -> None:
    books = visitors.expected(visitors.visits(500, 1))
    books["funnel"]["registered"] += 1
    del books["webhook"]["done"]
    rows = dict.fromkeys(judging.GONE, 0) | {"flow": 1, "funnel": 500}
    found = judged(
        tmp_path / "run", [sample(number) for number in range(300)], books=books, last={"sealed": 9, "rows": rows}
    )
    assert {what for what, holds in found.items() if holds is False} == {
        "exact: funnel", "exact: webhook", "personal data left in the end", "rows left in the end",
    }  # fmt: skip


def test_a_short_run_says_that_it_cannot_tell_what_is_level(tmp_path: Path) -> None:
    found = judged(tmp_path / "run", [sample(number) for number in range(100)])
    assert [holds for what, holds in found.items() if what.startswith("level")] == [None] * 3
    assert False not in found.values()


def test_a_run_that_was_cut_off_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "run").write_text(json.dumps({"sample": sample(0)}))
    assert [verdict.holds for verdict in judging.judge(tmp_path / "run")] == [False]


def test_customers_are_who_the_shares_say_and_nobody_twice() -> None:
    coming = visitors.visits(20_000, 7)
    assert coming == visitors.visits(20_000, 7)
    assert len({one.recipient for one in coming}) == len(coming)
    assert sum(fate.share for fate in visitors.FATES.values()) == 100
    for name, fate in visitors.FATES.items():
        assert abs(sum(one.name == name for one in coming) / 200 - fate.share) < 2, name
