"""Says of a run's records what holds. Needs nothing but its file, so that they can be judged again."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WARM_UP = 900.0  # seconds: by then everything was used, and as much is deleted as comes
LONG_ENOUGH = 900.0  # seconds after that
MOST_GROWTH = 1.1  # from the first third after the warm-up to the last
MOST_ON_DISK = 1.25  # likewise; PostgreSQL by itself begins to clear a table when a fifth of it is dead rows
# Seconds that nothing is older than: what the settings say (see COMPRESSED) and as much again for rounds that are late.
OLDEST = {
    "sealed": 260,
    "once": 740,
    "quota": 380,
    "delivery": 900,
    "flow": 1000,
    "submission": 1000,
    "milestone": 1000,
}
NOTHING_DELETED = 110.0  # seconds: until then everything that came is kept
NOT_OURS = ("sandbox",)  # remembers every customer, as a platform does
GONE = ("flow", "submission", "milestone", "once", "quota", "delivery")


@dataclass(frozen=True)
class Verdict:
    what: str
    found: str
    holds: bool | None  # None: the run was too short

    @property
    def row(self) -> str:
        word = {True: "holds", False: "DOES NOT HOLD", None: "not judged: too short"}[self.holds]
        return f"| {self.what} | {self.found} | {word} |"


def judge(file: Path) -> list[Verdict]:
    records = [json.loads(line) for line in file.read_text().splitlines()]
    samples = [record["sample"] for record in records if "sample" in record]
    ends = [record["end"] for record in records if "end" in record]
    if not ends:
        return [Verdict("the run", "did not come to its end", False)]
    meanwhile = [one for one in samples if one["begun"] < ends[-1]["walked"]]
    return [*counts(ends[-1]), *left(ends[-1]), *growth(meanwhile), *cost(samples)]


def counts(end: dict[str, Any]) -> Iterator[Verdict]:
    yield Verdict(f"{end['walked']:,} customers saw what they must", f"{len(end['wrong'])} did not", not end["wrong"])
    for side, wanted in end["expected"].items():
        told = end["books"][side]
        differ = [
            f"{name}: {told.get(name, 0):,}, not {wanted.get(name, 0):,}"
            for name in sorted({**told, **wanted})
            if told.get(name, 0) != wanted.get(name, 0)
        ]
        exact = ", ".join(f"{name} {n:,}" for name, n in sorted(wanted.items(), key=lambda item: -item[1])[:8])
        yield Verdict(f"exact: {side}", "; ".join(differ) or exact, not differ)


def left(end: dict[str, Any]) -> Iterator[Verdict]:
    last = end["last"]
    yield Verdict("personal data left in the end", f"{last['sealed']} bytes", not last["sealed"])
    rows = {table: last["rows"][table] for table in GONE}
    found = ", ".join(f"{n} of {table}" for table, n in rows.items())
    yield Verdict("rows left in the end", f"{found}; {last['rows']['funnel']} of the funnel", not any(rows.values()))


def growth(samples: list[dict[str, Any]]) -> Iterator[Verdict]:
    """What went on growing after the warm-up.

    A machine is faster now and slower then, and with it comes more or less to be kept. So rows are compared with the
    customers who came lately, and a file on disk, which never shrinks, with the most flows that it had to hold at once.
    """
    for name in samples[0]["memory"]:
        if name not in NOT_OURS:
            yield _level(f"memory of {name}, MiB", samples, _memory(samples, name), MOST_GROWTH)
    for what, seconds in OLDEST.items():
        yield _young(what, seconds, samples)
    most = [max(one["rows"]["flow"] for one in samples[: n + 1]) for n in range(len(samples))]
    yield _level(
        "database on disk, KiB for each flow kept", samples, lambda n: samples[n]["size"] / 1024 / most[n], MOST_ON_DISK
    )


def _memory(samples: list[dict[str, Any]], name: str) -> Callable[[int], float]:
    return lambda number: float(samples[number]["memory"][name] / 2**20)


def _young(what: str, seconds: int, samples: list[dict[str, Any]]) -> Verdict:
    """Is what is kept no more than what the customers of the last so many seconds brought?"""
    name = f"bounded: {what}, nothing older than {seconds} s"
    warm = _warm(samples)
    if not warm:
        return Verdict(name, "", None)
    each = max(_kept(one, what) / one["begun"] for one in samples if one["seconds"] <= NOTHING_DELETED and one["begun"])
    worst = 0.0
    for number in warm:
        now = samples[number]
        before = max((one["begun"] for one in samples if one["seconds"] <= now["seconds"] - seconds), default=0)
        worst = max(worst, _kept(now, what) / (each * max(1, now["begun"] - before)))
    return Verdict(name, f"at most {worst:.0%} of what came in that time", worst <= 1)


def _kept(one: dict[str, Any], what: str) -> float:
    return float(one["sealed"] if what == "sealed" else one["rows"][what])


def _warm(samples: list[dict[str, Any]]) -> list[int]:
    """The samples after the warm-up, if there are enough."""
    if samples[-1]["seconds"] - WARM_UP < LONG_ENOUGH:
        return []
    return [number for number, one in enumerate(samples) if one["seconds"] >= WARM_UP]


def _level(what: str, samples: list[dict[str, Any]], value: Callable[[int], float], most: float) -> Verdict:
    name, warm = f"level: {what}", _warm(samples)
    if not warm:
        return Verdict(name, "", None)
    third = len(warm) // 3
    early, late = (statistics.median(value(number) for number in part) for part in (warm[:third], warm[-third:]))
    return Verdict(name, f"{early:,.2f}, then {late:,.2f} ({late / early - 1:+.1%})", late <= early * most)


def cost(samples: list[dict[str, Any]]) -> Iterator[Verdict]:
    """What the run itself costs beside what it is about."""
    spent = samples[-1]["cpu"]
    found = ", ".join(f"{name} {seconds:,.0f} s" for name, seconds in spent.items())
    yield Verdict("CPU of the customers below that of the servers", found, spent["customers"] < spent["servers"])


def table(verdicts: list[Verdict]) -> str:
    return "\n".join(["| what | found | |", "|---|---|---|", *(verdict.row for verdict in verdicts)])
