"""What is looked at during the run, and what the books say in the end; both databases by the same statements."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.load.lines import cpu_seconds

TABLES = ("flow", "submission", "milestone", "once", "quota", "delivery", "funnel")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_METRICS = {
    "flows begun": "onboarding_flows_started_total",
    "codes by email": 'onboarding_codes_sent_total{channel="email"}',
    "codes by phone": 'onboarding_codes_sent_total{channel="phone"}',
    "registrations accepted": 'onboarding_submissions_total{kind="register",state="accepted"}',
    "levels accepted": 'onboarding_submissions_total{kind="level",state="accepted"}',
}


@dataclass(frozen=True)
class Sample:
    seconds: float
    begun: int  # customers
    memory: dict[str, int]  # bytes resident, by process
    cpu: dict[str, float]  # seconds, by process
    rows: dict[str, int]
    sealed: int  # bytes of personal data at rest
    size: int  # bytes of the database on disk
    deleted: int  # flows that began and are no row any more

    def as_line(self) -> str:
        return json.dumps({"sample": asdict(self)})


@dataclass
class Database:
    address: str
    _file: Path = field(init=False)

    def __post_init__(self) -> None:
        self._file = Path(self.address.removeprefix("sqlite:///"))

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        if self.address.startswith("sqlite"):
            with contextlib.closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=60)) as database:
                return database.execute(statement).fetchall()
        with psycopg.connect(self.address, autocommit=True) as server:
            return server.execute(statement).fetchall()

    def one(self, *columns: str) -> dict[str, int]:
        (row,) = self.ask("SELECT " + ", ".join(f"({column})" for column in columns))
        return {column: int(value or 0) for column, value in zip(columns, row, strict=True)}

    def rows(self) -> dict[str, int]:
        statements = {table: f"SELECT count(*) FROM onboarding_{table}" for table in TABLES}
        found = self.one(*statements.values())
        return {table: found[statement] for table, statement in statements.items()}

    def sealed(self) -> int:
        columns = ("personal)) FROM onboarding_flow", "payload)) FROM onboarding_submission")
        return sum(self.one(*(f"SELECT sum(length({column}" for column in columns)).values())

    def size(self) -> int:
        if self.address.startswith("sqlite"):
            return sum(file.stat().st_size for file in self._file.parent.glob(f"{self._file.name}*"))
        return int(self.ask("SELECT pg_database_size(current_database())")[0][0])

    def funnel(self) -> dict[str, dict[str, int]]:
        """As the console's page reads it, with the counts of all stages left out that say how long it took."""
        wanted = "SELECT dimension, value, flows FROM onboarding_funnel WHERE partner = ''"
        sums: dict[tuple[str, str], Counter[str]] = {}
        for dimension, value, flows in self.ask(wanted):
            sums.setdefault((dimension, value), Counter()).update(
                flows if isinstance(flows, dict) else json.loads(flows)
            )

        def of(dimension: str, what: str) -> dict[str, int]:
            return {value: flows[what] for (name, value), flows in sums.items() if name == dimension and flows[what]}

        return {
            "funnel": dict(sums.get(("all", ""), {})),
            "funnel by source": of("utm_source", "identified"),
            "funnel by partner": of("partner", "identified"),
            "funnel, refused": of("refused", "met"),
            "funnel, lost with": of("refused", "lost"),
        }


def metrics(url: str) -> dict[str, dict[str, int]]:
    with urllib.request.urlopen(url + "/metrics") as answer:
        told = answer.read().decode()

    def counted(name: str) -> int:
        return round(sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)$", told, re.MULTILINE)))

    return {"metrics": {what: counted(name) for what, name in _METRICS.items()}}


def resident(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as told:
            total += int(told.read().split()[1]) * _PAGE
    return total


def look(database: Database, processes: dict[str, list[int]], *, seconds: float, begun: int, flows: int) -> Sample:
    """`flows`: how many have begun as the database numbers them."""
    rows = database.rows()
    return Sample(
        round(seconds, 1), begun, {name: resident(pids) for name, pids in processes.items()},
        {name: round(_cpu(pids), 1) for name, pids in processes.items()}, rows, database.sealed(), database.size(),
        max(0, flows - rows["flow"]),
    )  # fmt: skip


def _cpu(pids: list[int]) -> float:
    with contextlib.suppress(OSError):
        return cpu_seconds(pids)
    return 0.0


def last_number(database: Database) -> int:
    """The highest number that a flow has now; rows keep theirs, so this counts those that are gone too."""
    return int(database.ask("SELECT coalesce(max(id), 0) FROM onboarding_flow")[0][0])
