"""Flows of every fate, begun and recorded by the product's own functions, in this process and without HTTP.

Only the upstream is made up: each `Write` keeps what it makes of an answer and is handed the answer itself. Where
thousands are wanted, each of them is stored several times, as of other customers at other times.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import random
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings

import tests.conftest  # noqa: F401 (sets Django up when this runs as a program)
from onboarding import services
from onboarding.domain.attribution import Touch, Touches, read
from onboarding.domain.flow import AccountType, Channel, Consent, Device, Identity, Outcome
from onboarding.domain.levels import Element, Kind, Level
from onboarding.domain.levels import Path as LevelPath
from onboarding.milestones import end
from onboarding.models import Flow, Submission, SubmissionKind
from onboarding.models.flow import new_reference
from onboarding.submissions import locked, perform, plan
from onboarding.upstream.codes import Field
from onboarding.upstream.errors import Refused, UpstreamError
from onboarding.upstream.wire import Registration
from onboarding.writes import WRITES
from tests.support import ROOT

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 12
AFTER = START + timedelta(days=60)  # every flow is over
EMAIL = "ann.simulated.{}@example.org"  # what no page of the console may show
TOKEN = "token-of-a-simulated-customer"
CODE = "951753"
SOURCES = (
    "letter",
    "search",
    "partner page",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2",
    "@SUM(A1)",
    '"=1"',
    "（other）",
    "Ünï",
)
CAMPAIGNS = ("spring", "<script>alert(1)</script>", "summer,=1+1", "a;=2", "＝HYPERLINK", "(none)", "x" * 300, "")
PARTNERS = ("default", "acme", "globex")
COUNTRIES = ("GB", "ES", "CN", "BR")
LANGUAGES = ("en", "es", "zh-hans")
REFUSALS = ("CUSTOMER_API_0000109", "CUSTOMER_API_0000110", "CUSTOMER_API_0000144")


@contextlib.contextmanager
def database(address: str) -> Iterator[None]:
    """This process works on this database meanwhile, migrated; as in production, statements are not kept."""
    before = connections.settings["default"]
    connections["default"].close()
    wanted = environ.Env.db_url_config(address)
    if address.startswith("sqlite"):
        wanted = {**before, "NAME": wanted["NAME"]}
    connections.settings["default"] = connections.configure_settings({"default": wanted})["default"]
    del connections["default"]
    try:
        call_command("migrate", verbosity=0, interactive=False)
        with override_settings(DEBUG=False):
            yield
    finally:
        connections["default"].close()
        connections.settings["default"] = before
        del connections["default"]


def level(code: str) -> Level:
    return Level(code, code, (LevelPath("a", "a", (Element("name", "Name", Kind.INPUT),)),))


@dataclass
class Way:
    """One customer on the way; the clock goes on with every step."""

    dice: random.Random
    now: datetime
    flow: Flow
    submissions: dict[tuple[str, str], Submission] = field(default_factory=dict)

    def wait(self, low: float, high: float) -> datetime:
        self.now += timedelta(seconds=self.dice.uniform(low, high))
        return self.now

    def write(self, kind: str, answer: Any, code: str = "") -> None:
        """One intended write, answered so: a value that the upstream gave, or an error."""

        def send(_submission: object) -> Any:
            if isinstance(answer, UpstreamError):
                raise answer
            return answer

        payload = {"request": {"secret": CODE}, "call": {}}
        before = self.submissions.get((kind, code))
        submission = plan(self.flow, kind, payload, now=self.now, level=code, before=before)
        write = dataclasses.replace(WRITES[kind], send=send)
        self.submissions[kind, code] = perform(submission, write, clock=lambda: self.wait(0.2, 3))

    def refuse(self, kind: str, code: str = "", level: str = "", concerns: Field = Field.CODE) -> None:
        self.write(kind, Refused(code or self.dice.choice(REFUSALS), field=concerns, trace=secrets.token_hex(6)), level)

    def go(self) -> None:
        """As far as the dice say."""
        dice = self.dice
        if dice.random() < 0.55:
            return  # closed the page
        if dice.random() < 0.1:
            self.wait(1, 20)
            Flow.objects.filter(pk=self.flow.pk).update(sends=1)  # a refusal takes it back
            self.refuse(SubmissionKind.CODE, "CUSTOMER_API_0000108")
            if dice.random() < 0.5:
                return
        self.wait(1, 60)
        self.write(SubmissionKind.CODE, "ticket-of-a-simulated-customer")
        if dice.random() < 0.3:
            return
        for _ in range(dice.choice((0, 0, 0, 0, 1, 2))):
            self.wait(10, 200)
            self.refuse(SubmissionKind.REGISTER)
        if dice.random() < 0.1:
            return
        self.wait(10, 400)
        if dice.random() < 0.06:
            return self.refuse(SubmissionKind.REGISTER, "CUSTOMER_API_0000101", concerns=Field.IDENTIFIER)
        self.register(dice.choice(((), ("basic",), ("basic", "advanced"), ("basic", "=level"))))

    def register(self, levels: tuple[str, ...]) -> None:
        number = f"C{secrets.token_hex(8)}"
        answer = Registration(number, TOKEN, tuple(level(code) for code in levels), trace=secrets.token_hex(6))
        self.write(SubmissionKind.REGISTER, answer)
        for code in levels:
            if self.dice.random() < 0.2:
                return
            if self.dice.random() < 0.1:
                self.wait(30, 600)
                self.refuse(SubmissionKind.LEVEL, "CUSTOMER_API_0000611", code, Field.PAGE)
                if self.dice.random() < 0.5:
                    return
            self.wait(30, 3000)
            self.write(SubmissionKind.LEVEL, "", code)
        if levels and self.dice.random() < 0.7:
            self.wait(3600, 90_000)
            with locked(self.flow) as row:
                end(row, Outcome.PASSED, self.now)
                row.save()


def begin(dice: random.Random, number: int, now: datetime) -> Way:
    link = [
        ("utm_source", dice.choice(SOURCES)),
        ("utm_campaign", dice.choice(CAMPAIGNS)),
        ("utm_medium", dice.choice(("", "post"))),
        ("utm_term", f"term {number}"),  # each its own
    ]
    touches = Touches().then(Touch(now.isoformat(), "/", read(link).values))
    if dice.random() < 0.3:
        touches = touches.then(Touch(now.isoformat(), "/p/acme/", read([("utm_source", "second visit")]).values))
    channel = dice.choice(list(Channel))
    named = {"email": EMAIL.format(number)} if channel is Channel.EMAIL else {"area": "+44", "phone": f"74{number:08}"}
    identity = Identity(channel, dice.choice(list(AccountType)), dice.choice(COUNTRIES), **named)
    entry = services.Entry(
        dice.choice(PARTNERS), secrets.token_hex(8), dice.choice(LANGUAGES), touches, device=dice.choice(list(Device))
    )
    flow, _handle = services.start_flow(entry=entry, identity=identity, consent=Consent(now, "en", "", ""), now=now)
    return Way(dice, now, flow)


def flows(count: int, *, seed: int = 1, first: int = 0) -> None:
    """Begins so many flows, spread over the days, and takes each as far as it gets."""
    dice = random.Random(seed)
    logging.disable(logging.INFO)
    try:
        for start in range(first, first + count, 250):  # as one transaction: nothing here is about what lies between
            with transaction.atomic():
                for number in range(start, min(start + 250, first + count)):
                    begin(dice, number, START + timedelta(seconds=dice.uniform(0, DAYS * 86_400))).go()
    finally:
        logging.disable(logging.NOTSET)


# -- Many of them, a share for each processor --------------------------------------------------------------------------

TABLES = ("onboarding_flow", "onboarding_submission", "onboarding_milestone")
TIMES_STORED = 6  # each flow: to begin one by the product's functions takes fifty times as long as to store it again
NUMBERS = 10**8  # above those of the rows of one time
UNIQUE = re.compile(r"key|customer_no|\w+_digest")
MOMENT = re.compile(r"\w+_at|at|look_at|link_until")


def many(folder: Path, count: int) -> str:
    """The address of an SQLite file with so many flows. Each process fills a file of its own; then they are joined."""
    assert count % TIMES_STORED == 0
    begun = count // TIMES_STORED
    address = sqlite(folder)
    with database(address):
        connections["default"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    parts = min(os.cpu_count() or 1, 4)
    files = [folder / f"part-{number}.sqlite3" for number in range(parts)]
    running = []
    for number, file in enumerate(files):
        shutil.copy(folder / "simulated.sqlite3", file)
        share = [begun * n // parts for n in (number, number + 1)]
        command = [sys.executable, "-m", "tests.simulated", str(file), *(str(n) for n in share)]
        running.append(subprocess.Popen(command, cwd=ROOT))
    assert [process.wait() for process in running] == [0] * parts
    with contextlib.closing(sqlite3.connect(folder / "simulated.sqlite3")) as whole:
        for file in files:
            whole.execute("ATTACH ? AS part", [str(file)])
            for table in TABLES:
                whole.execute(f"INSERT INTO main.{table} SELECT * FROM part.{table}")
            whole.commit()
            whole.execute("DETACH part")
        store_again(whole)
    return address


def store_again(whole: sqlite3.Connection) -> None:
    """Every flow and what belongs to it, some more times: under other names, with its own search term, on other days.

    All moments of a flow move by the same time, so that what lies between them stays, and it begins within the days.
    """
    whole.row_factory = sqlite3.Row
    begun = dict(whole.execute("SELECT id, created_at FROM onboarding_flow").fetchall())
    for table in TABLES:
        rows = [dict(row) for row in whole.execute(f"SELECT * FROM {table}")]
        for time in range(1, TIMES_STORED):
            again = [another(row, time, begun[row.get("flow_id", row["id"])]) for row in rows]
            places = ", ".join("?" * len(rows[0]))
            whole.executemany(f"INSERT INTO {table} VALUES ({places})", [tuple(row.values()) for row in again])
    whole.commit()


def another(row: dict[str, Any], time: int, created_at: str) -> dict[str, Any]:
    by = timedelta(days=DAYS) * time / TIMES_STORED
    if datetime.fromisoformat(created_at).replace(tzinfo=UTC) + by >= START + timedelta(days=DAYS):
        by -= timedelta(days=DAYS)

    def changed(name: str, value: Any) -> Any:
        if name in ("id", "flow_id"):
            return value + time * NUMBERS
        if name == "reference":
            return new_reference()
        if name == "attribution":
            return re.sub(r'"(term \d+)"', rf'"\1 of {time}"', value)
        if name == "history":
            entries = json.loads(value)
            return json.dumps([entry | {"at": moved(entry["at"]) if entry["at"] else ""} for entry in entries])
        if UNIQUE.fullmatch(name):
            return value and f"{time}x{value[2:]}"  # no digest, no key and no number has an x there
        return moved(value) if value and MOMENT.fullmatch(name) else value

    def moved(moment: str) -> str:
        kept = datetime.fromisoformat(moment)
        return (kept + by).isoformat(sep=moment[10])

    return {name: changed(name, value) for name, value in row.items()}


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'simulated.sqlite3'}"


def fill_part(file: str, first: int, last: int) -> None:
    """Flows `first` to `last`, under numbers that no other part gives its rows."""
    with database(f"sqlite:///{file}"):
        cursor = connections["default"].cursor()
        for table in TABLES:
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, first * 100])
        flows(last - first, seed=first, first=first)


if __name__ == "__main__":
    fill_part(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
