"""What every side wrote down of a run, and whether the books agree: the upstream, the line, our database, our logs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.browser import read_json
from tests.faults.customer import Customer
from tests.faults.plan import Ending, Kind, Plan
from tests.faults.proxy import Proxy


class Database:
    """The servers' database, seen from beside them."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.file = address.removeprefix("sqlite:///") if address.startswith("sqlite") else ""
        self.kind = "sqlite" if self.file else "postgres"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(self._connect()) as connection:
            return list(connection.execute(query))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody can write an outcome down meanwhile."""
        with contextlib.closing(self._connect()) as connection:
            for line in (
                ("BEGIN IMMEDIATE",) if self.file else ("BEGIN", "LOCK TABLE onboarding_flow IN EXCLUSIVE MODE")
            ):
                connection.execute(line)
            yield
            connection.execute("ROLLBACK")

    def _connect(self) -> Any:
        if self.file:
            return sqlite3.connect(self.file, timeout=20, isolation_level=None)
        return psycopg.connect(self.address, autocommit=True)


def compare(customers: Sequence[Customer], proxy: Proxy, database: Database, upstream: int) -> list[str]:
    """A finding for each customer whose books do not agree."""
    registered: Counter[str] = Counter()
    owners: dict[str, str] = {}
    for entry in read_json(upstream, "/registrations"):
        email = entry["body"]["loginName"]
        registered[email] += 1
        owners[entry["customerNo"]] = email
    done = [entry for entry in read_json(upstream, "/applications") if not entry["draft"]]
    handed_in = Counter(owners[entry["customerNo"]] for entry in done)
    open_ones = database.rows(
        "SELECT flow.reference, one.kind, one.state FROM onboarding_submission one "
        "JOIN onboarding_flow flow ON flow.id = one.flow_id WHERE one.state NOT IN ('accepted', 'rejected')"
    )
    left = {reference: f"{kind} is {state}" for reference, kind, state in open_ones}
    found = []
    for customer in customers:
        plan = customer.plan
        wrong = [customer.error, left.get(customer.reference, ""), *_keys(plan, proxy)]
        if registered[plan.email] != (plan.ending is not Ending.EXISTS):
            wrong.append(f"registered {registered[plan.email]} times")
        if handed_in[plan.email] != (plan.kind is Kind.LEVEL):
            wrong.append(f"handed in {handed_in[plan.email]} times")
        if any(wrong):
            found.append(_report(customer, proxy, database, [text for text in wrong if text]))
    return found


def _keys(plan: Plan, proxy: Proxy) -> Iterator[str]:
    """The same key until an answer is definite, and one body for each key.

    What was refused before any work may be followed by another body, and that one has a key of its own.
    """
    for kind in Kind:
        bodies: dict[str, str] = {}
        before = None
        for attempt in [one for one in proxy.attempts[plan.number] if one.kind is kind]:
            if bodies.setdefault(attempt.key, attempt.body) != attempt.body:
                yield f"one key carries two bodies of {kind}"
            corrected = before is not None and before.answer == "429" and before.body != attempt.body
            if before is not None and attempt.key != before.key and not before.is_definite and not corrected:
                yield f"another key of {kind} without a definite answer"
            before = attempt


def _report(customer: Customer, proxy: Proxy, database: Database, wrong: Sequence[str]) -> str:
    attempts = proxy.attempts[customer.plan.number]
    calls = [f"{one.kind} {one.key[:8]} {one.what} -> {one.answer or 'nothing'}" for one in attempts]
    rows = database.rows(
        "SELECT flow.outcome, flow.notice, flow.code_attempts, one.kind, one.state, one.code, one.tries, one.key "
        "FROM onboarding_flow flow LEFT JOIN onboarding_submission one ON flow.id = one.flow_id "
        f"WHERE flow.reference = '{customer.reference}' ORDER BY one.id"
    )
    return (
        f"{'; '.join(wrong)}\n    plan   {customer.plan}\n    pages  {', '.join(customer.trail)}\n"
        f"    line   {'; '.join(calls)}\n    ours   {customer.reference} {rows}"
    )


def accidents(log: Path) -> list[str]:
    """What a server logged as an error; at most ten."""
    found = []
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            # Django logs every 503, and a busy page is one. On a slow machine SQLite gives somebody no turn within 20
            # seconds: what becomes of that customer is looked at all the same.
            if (
                isinstance(entry, dict)
                and entry.get("level") in ("ERROR", "CRITICAL")
                and entry.get("status_code") != 503
                and entry.get("message") != "the database did not do it"
            ):
                found.append(f"logged: {entry}"[:1500])
    return found[:10]
