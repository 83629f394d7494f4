"""Flows as a release stored them, one for each step: written by that release, finished by the next one.

`python -m tests.release_rows` renews tests/web/release_rows.json from the code as it is; run it on a release, before
the first change after it. The file holds the rows, the migration they were written under, the made-up key that
sealed them, the customers' addresses, and what the sandbox remembers of them. Nobody in it exists.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from onboarding.sandbox.protocol import Reply
from onboarding.sandbox.server import Sandbox
from onboarding.sandbox.state import Customer as Known
from onboarding.sandbox.state import LevelState, StoredFile, Ticket
from tests.support import Customer, Server

FILE = Path(__file__).parent / "web" / "release_rows.json"
TABLES = ("onboarding_flow", "onboarding_submission", "onboarding_milestone")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?")


# -- Written by a release ----------------------------------------------------------------------------------------------


def at_password(customer: Customer, email: str) -> None:
    customer.identify(email=email)


def at_verify(customer: Customer, email: str) -> None:
    customer.identify(email=email)
    customer.password("Example-pass-1")


def after_a_wrong_code(customer: Customer, email: str) -> None:
    at_verify(customer, email)
    customer.verify("000000" if customer.code() != "000000" else "111111")


def registered(customer: Customer, email: str) -> None:
    customer.register(email=email)


def at_draft(customer: Customer, email: str) -> None:
    """Everything but the date is filled in, the picture with it, and it is kept for later."""
    customer.register(email=email)
    customer.level(birthday="")
    assert customer.shown.errors, "the date is missing"


def at_done(customer: Customer, email: str) -> None:
    customer.register(email=email)
    customer.level()


# Name → scenario, the way there, the step that is shown then.
WAYS: dict[str, tuple[str, Callable[[Customer, str], None], str]] = {
    "password": ("", at_password, "password"),
    "verify": ("", at_verify, "verify"),
    "wrong": ("", after_a_wrong_code, "verify"),
    "path": ("+paths", registered, "path"),
    "level": ("", registered, "level"),
    "draft": ("", at_draft, "level"),
    "unknown": ("+drop", registered, "status"),
    "done": ("", at_done, "done"),
}


def write() -> None:
    folder = Path(tempfile.mkdtemp(prefix="onboarding-rows-"))
    key = "made-up-for-stored-rows-" + secrets.token_urlsafe(30)
    customers = {}
    with Sandbox(port=0, review_seconds=0.0) as sandbox:
        server = Server(database=f"sqlite:///{folder / 'rows.sqlite3'}", upstream=sandbox.url + "/api", SECRET_KEY=key)
        server._migrate()
        with server:
            for name, (tag, go, step) in WAYS.items():
                customer = Customer(server, sandbox)
                go(customer, f"ann.{name}{tag}@example.org")
                assert customer.shown.step == step, (name, customer.shown.step, customer.shown.errors)
                customers[name] = {
                    "email": customer.sent["email"],
                    "path": customer.flow_url.removeprefix(server.url),
                    "code": next((one["code"] for one in sandbox.inbox() if one["to"] == customer.sent["email"]), ""),
                }
        with contextlib.closing(sqlite3.connect(folder / "rows.sqlite3")) as database:
            database.row_factory = sqlite3.Row
            rows = {table: [dict(row) for row in database.execute(f"SELECT * FROM {table}")] for table in TABLES}
            (migration,) = database.execute(
                "SELECT name FROM django_migrations WHERE app = 'onboarding' ORDER BY id DESC LIMIT 1"
            ).fetchone()
        kept = {
            "written_at": time.time(), "migration": migration, "key": key, "customers": customers, "rows": rows,
            "sandbox": remembered(sandbox),
        }  # fmt: skip
    FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(folder)
    server.log.unlink(missing_ok=True)


def remembered(sandbox: Sandbox) -> dict[str, Any]:
    """What the upstream must still know so that these flows can go on."""
    state = sandbox.state
    replies = [
        (key, at, {"status": reply.status, "body": reply.body.decode(), "code": reply.code})
        for key, (at, reply) in state._replies.items()
        if isinstance(reply, Reply)
    ]
    return {
        "tickets": {token: asdict(ticket) for token, ticket in state.tickets.items()},
        "customers": [asdict(known) | {"tags": sorted(known.tags)} for known in state.customers.values()],
        "tokens": {token: known.recipient for token, known in state.tokens.items()},
        "files": {
            name: [base64.b64encode(file.content).decode(), file.content_type, file.owner]
            for name, file in state.files.items()
        },
        "replies": replies,
        "counts": [(list(key), number) for key, number in state._counts.items()],
        "serial": state._serial,
    }


# -- Read by the next one ----------------------------------------------------------------------------------------------


def load() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(FILE.read_text())
    return kept


def remember(sandbox: Sandbox, kept: dict[str, Any]) -> None:
    """Puts it back, as if it had been written just now."""
    state, known, by = sandbox.state, kept["sandbox"], time.time() - kept["written_at"]
    for token, ticket in known["tickets"].items():
        state.tickets[token] = Ticket(**ticket | {"sent_at": ticket["sent_at"] + by})
    for entry in known["customers"]:
        levels = {code: _level(level, by) for code, level in entry["levels"].items()}
        customer = Known(**entry | {"tags": frozenset(entry["tags"]), "levels": levels})
        state.customers[customer.recipient] = customer
    for token, recipient in known["tokens"].items():
        state.tokens[token] = state.customers[recipient]
    for name, (content, content_type, owner) in known["files"].items():
        state.files[name] = StoredFile(base64.b64decode(content), content_type, owner)
    for key, at, reply in known["replies"]:
        state._replies[tuple(key)] = (at + by, Reply(reply["status"], reply["body"].encode(), code=reply["code"]))
    state._counts.update({tuple(key): number for key, number in known["counts"]})
    state._serial = known["serial"]


def _level(level: dict[str, Any], by: float) -> LevelState:
    at = level["submitted_at"]
    return LevelState(**level | {"submitted_at": None if at is None else at + by})


def insert(file: Path, kept: dict[str, Any]) -> None:
    """The rows into a database of their migration, all their moments moved so that they were written just now.

    What is sealed keeps its moments: nothing in it expires.
    """
    by = timedelta(seconds=time.time() - kept["written_at"])
    with contextlib.closing(sqlite3.connect(file)) as database:
        for table in TABLES:
            for row in kept["rows"][table]:
                columns = ", ".join(f'"{name}"' for name in row)
                places = ", ".join("?" * len(row))
                values = [_moved(value, by) for value in row.values()]
                database.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", values)
        database.commit()


def _moved(value: Any, by: timedelta) -> Any:
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        return value
    return (datetime.fromisoformat(value) + by).isoformat(sep=value[10])


if __name__ == "__main__":
    sys.exit(write())
