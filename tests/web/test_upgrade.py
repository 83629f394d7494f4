"""A flow that the previous release began is finished by this one, and the two can serve side by side meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.db.migrations import Migration
from django.db.migrations.operations import (
    AddField,
    AddIndex,
    AlterModelOptions,
    CreateModel,
    RemoveField,
    RemoveIndex,
    SeparateDatabaseAndState,
)
from django.db.models import NOT_PROVIDED, IntegerField

from onboarding.sandbox.server import Sandbox
from tests import release_rows
from tests.support import ROOT, Customer, Server

LAST_UNCHECKED = 9  # migrations up to here were never beside a release without them
CONTRACTS = "contracts"  # a migration that is the second half of a change says so: `contracts = "since 1.4 unused: …"`


@dataclass
class Upgraded:
    server: Server
    sandbox: Sandbox
    kept: dict[str, Any]

    def customer(self, name: str) -> Customer:
        """Comes back to the address that the previous release gave."""
        known = self.kept["customers"][name]
        customer = Customer(self.server, self.sandbox)
        customer.sent = {"email": known["email"]}
        customer.get(known["path"])
        return customer


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """This release on the stored rows: they go in under their own migration, then the later ones run over them."""
    kept, file = release_rows.load(), tmp_path_factory.mktemp("upgrade") / "rows.sqlite3"
    with Sandbox(port=0, review_seconds=0.0) as sandbox:
        server = Server(database=f"sqlite:///{file}", upstream=sandbox.url + "/api", SECRET_KEY=kept["key"])
        server.manage("migrate", "--verbosity", "0", "onboarding", kept["migration"])
        release_rows.insert(file, kept)
        release_rows.remember(sandbox, kept)
        server.manage("migrate", "--verbosity", "0")
        with server:
            yield Upgraded(server, sandbox, kept)


@pytest.mark.parametrize("name", release_rows.WAYS)
def test_a_flow_begun_by_the_previous_release_finishes_on_this_one(upgraded: Upgraded, name: str) -> None:
    customer, known = upgraded.customer(name), upgraded.kept["customers"][name]
    assert customer.shown.step in {release_rows.WAYS[name][2], *(("level",) if name == "unknown" else ())}
    if name == "draft":
        assert customer.shown.value("el-name") == "Ann Example"
    if customer.shown.step == "password":
        customer.password()
    if customer.shown.step == "verify":
        customer.verify(known["code"] or customer.code())
    if name == "unknown":
        customer.wait(120)  # against what hangs
    if customer.shown.step == "path":
        customer.post(customer.flow_url + "path/", {"path": "P1"})
    if customer.shown.step == "level":
        customer.level(files={} if name == "draft" else None)  # the picture is kept
    assert customer.shown.step == "done", (customer.shown.step, customer.shown.problem, customer.shown.errors)
    number = [one["number"] for one in upgraded.kept["sandbox"]["customers"] if one["recipient"] == known["email"]]
    again = [r for r in upgraded.sandbox.registrations() if r["body"]["loginName"] == known["email"]]
    assert len(number) + len(again) == 1  # then or now, and never twice
    handed_in = [a["customerNo"] for a in upgraded.sandbox.applications() if not a["draft"]]
    number += [entry["customerNo"] for entry in again]
    assert handed_in.count(number[0]) == (0 if name == "done" else 1)


# -- Side by side ------------------------------------------------------------------------------------------------------


def is_harmless(operation: Any) -> bool:
    """Whether a release that does not know of it can go on reading and writing meanwhile."""
    match operation:
        case AddField(field=field):
            has_default = field.db_default is not NOT_PROVIDED  # Django's own default is no default of the column
            return bool(field.null or field.many_to_many or has_default)
        case SeparateDatabaseAndState(database_operations=operations):
            return all(is_harmless(one) for one in operations)
    # All else may take away, refuse or change what the other release reads, writes or relies on.
    return isinstance(operation, CreateModel | AddIndex | RemoveIndex | AlterModelOptions)


def migrations() -> Iterator[tuple[str, type[Migration]]]:
    for file in sorted((ROOT / "onboarding" / "migrations").glob("[0-9]*.py")):
        if int(re.match(r"\d+", Path(file).name)[0]) > LAST_UNCHECKED:  # type: ignore[index]
            yield file.stem, import_module(f"onboarding.migrations.{file.stem}").Migration


def test_a_migration_leaves_the_previous_release_working_unless_it_says_why_it_may_not() -> None:
    found = [
        f"{name}: {operation.describe()}"
        for name, migration in migrations()
        if not getattr(migration, CONTRACTS, "")
        for operation in migration.operations
        if not is_harmless(operation)
    ]
    assert not found


def test_a_new_column_is_harmless_where_the_previous_release_can_leave_it_out() -> None:
    fields = (IntegerField(null=True), IntegerField(db_default=0), IntegerField(), IntegerField(default=0))
    assert [is_harmless(AddField("flow", "news", field)) for field in fields] == [True, True, False, False]
    assert not is_harmless(RemoveField("flow", "agent"))
