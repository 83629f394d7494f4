"""What the benchmarks share: a number beside its floor or peer, its bound, how the two take turns, the table.

A part of the benchmark is a function that gives `list[Line]`. Nothing here passes or fails by the clock: machines are
shared and noisy, so a number counts only as a ratio to another one of the same minute.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROUNDS = 7  # medians of so many
PACKAGES = ("django", "granian", "requests", "urllib3", "cryptography", "pydantic", "psycopg", "whitenoise")
_NUMBERS = {2, 3, 5}  # columns of the table
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Line:
    """`mine` beside `floor`, both in `unit`. Without a floor the number stands alone, and its bound is about itself.

    `at_most` and `at_least` bound the ratio (or the number that stands alone); `or_mine` is a value of `mine` that is
    just as good, where a ratio to something tiny would say nothing.
    """

    name: str
    peer: str
    mine: float
    floor: float | None = None
    unit: str = "ms CPU"
    at_most: float | None = None
    at_least: float | None = None
    or_mine: float | None = None
    rounds: int = ROUNDS
    note: str = ""

    @property
    def figure(self) -> float:
        """What the bound is about."""
        return self.mine if self.floor is None else self.mine / self.floor

    @property
    def holds(self) -> bool | None:
        """None: nothing was promised."""
        if self.at_most is None and self.at_least is None:
            return None
        if self.or_mine is not None and self.mine <= self.or_mine:
            return True
        above = self.at_most is None or self.figure <= self.at_most
        return above and (self.at_least is None or self.figure >= self.at_least)

    @property
    def bound(self) -> str:
        parts = [
            f"{sign} {value:g}" for sign, value in (("≤", self.at_most), ("≥", self.at_least)) if value is not None
        ]
        if self.or_mine is not None:
            parts.append(f"or ≤ {self.or_mine:g} {self.unit}")
        return " ".join(parts)


def interleaved(
    mine: Callable[[], object],
    floor: Callable[[], object],
    calls: int,
    *,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.process_time,
) -> tuple[float, float]:
    """Medians, in milliseconds of the clock, of one call of each, the two taking turns. Both are warmed up before."""
    taken: tuple[list[float], list[float]] = ([], [])
    for function in (mine, floor):
        for _ in range(max(3, calls // 10)):
            function()
    for _ in range(rounds):
        for function, list_ in ((mine, taken[0]), (floor, taken[1])):
            started = clock()
            for _ in range(calls):
                function()
            list_.append((clock() - started) / calls * 1000)
    return statistics.median(taken[0]), statistics.median(taken[1])


def beside(
    name: str, peer: str, mine: Callable[[], object], floor: Callable[[], object], calls: int, **options: Any
) -> Line:
    """A line of two functions, by their CPU. Options are those of `Line`."""
    mine_ms, floor_ms = interleaved(mine, floor, calls, rounds=options.get("rounds", ROUNDS))
    return Line(name, peer, mine_ms, floor_ms, **options)


# -- Other processes ---------------------------------------------------------------------------------------------------


def cpu_seconds(processes: Iterable[int]) -> float:
    """CPU that these processes have used so far, in the kernel and out of it, in hundredths of a second."""
    return sum(sum(int(field) for field in _stat(process)[11:13]) for process in processes) / _TICKS


def memory_mb(processes: Iterable[int]) -> float:
    """Memory of these processes that nobody else shares (PSS where the kernel tells it, else RSS)."""
    return sum(_memory(process) for process in processes)


def _memory(process: int) -> float:
    with contextlib.suppress(OSError):
        for row in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if row.startswith("Pss:"):
                return int(row.split()[1]) / 1024
    return int(_stat(process)[21]) * _PAGE / 1024 / 1024


def _stat(process: int) -> list[str]:
    """The fields after the program's name, which may hold blanks itself."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


# -- What is said in the end -------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = "unknown"
    with contextlib.suppress(OSError):
        rows = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((row.partition(":")[2].strip() for row in rows if row.startswith("model name")), model)
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * _PAGE / 1024**3, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}{', profile-guided build' if optimised else ''}",
        "compiler": platform.python_compiler(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
    return ""


def as_data(lines: Iterable[Line], facts: dict[str, Any]) -> dict[str, Any]:
    """What stands in var/bench.json."""
    rows = [asdict(line) | {"figure": line.figure, "bound": line.bound, "holds": line.holds} for line in lines]
    return {"machine": facts, "lines": rows}


def as_table(lines: Iterable[Line]) -> str:
    """Markdown that can be read as it is."""
    head = ("what", "beside", "mine", "floor", "unit", "ratio", "bound", "")
    body = [
        (
            line.name,
            line.peer,
            _short(line.mine),
            "" if line.floor is None else _short(line.floor),
            line.unit,
            "" if line.floor is None else f"{line.figure:.2f}",
            line.bound,
            {True: "holds", False: "DOES NOT HOLD", None: ""}[line.holds] + (f" ({line.note})" if line.note else ""),
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
    rule = tuple("-" * (width - 1) + (":" if column in _NUMBERS else "-") for column, width in enumerate(widths))
    return "\n".join("| " + " | ".join(_padded(row, widths)) + " |" for row in (head, rule, *body))


def _padded(row: tuple[str, ...], widths: list[int]) -> list[str]:
    cells = enumerate(zip(row, widths, strict=True))
    return [cell.rjust(width) if column in _NUMBERS else cell.ljust(width) for column, (cell, width) in cells]


def _short(value: float) -> str:
    size = abs(value)
    return f"{value:.0f}" if size >= 1000 or size == 0 else f"{value:.3g}" if size >= 0.001 else f"{value:.1e}"


def say(text: str) -> None:
    """How far it is, for whoever waits."""
    print(text, file=sys.stderr, flush=True)
