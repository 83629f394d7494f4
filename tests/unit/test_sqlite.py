"""The connections that the threads of a process share, and the gate before which writers queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from django.db.utils import NotSupportedError, OperationalError

from onboarding.sqlite.base import DatabaseWrapper, _Gate


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], DatabaseWrapper]]:
    """Connections to one database, each as a thread of its own has it."""
    made: list[DatabaseWrapper] = []
    wanted = {**connections.settings["default"], "NAME": str(tmp_path / "some.sqlite3")}

    def one_more() -> DatabaseWrapper:
        made.append(DatabaseWrapper(wanted, "default"))
        made[-1].inc_thread_sharing()
        return made[-1]

    yield one_more
    for wrapper in made:
        wrapper.close()


def ask(wrapper: DatabaseWrapper, statement: str) -> list[tuple[object, ...]]:
    with wrapper.cursor() as cursor:
        return list(cursor.execute(statement).fetchall())


def queued(gate: _Gate, number: int) -> None:
    deadline = time.monotonic() + 10
    while len(gate._waiting) < number:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_connection_that_was_handed_back_is_used_by_whoever_comes_next(opened: Callable[[], DatabaseWrapper]) -> None:
    one, other = opened(), opened()
    ask(one, "SELECT 1")
    underneath = one.connection
    one.close()
    ask(other, "SELECT 1")
    assert other.connection is underneath
    assert ask(one, "SELECT 1") == [(1,)]
    assert one.connection is not underneath, "two never share one at a time"


def test_a_database_that_was_deleted_is_not_written_to_any_more(
    opened: Callable[[], DatabaseWrapper], tmp_path: Path
) -> None:
    one = opened()
    ask(one, "CREATE TABLE of_the_old_file (a)")
    one.close()
    for file in tmp_path.iterdir():
        file.unlink()
    assert ask(one, "SELECT name FROM sqlite_master") == []


def test_a_connection_that_was_lost_in_a_transaction_is_not_used_again(opened: Callable[[], DatabaseWrapper]) -> None:
    one, other = opened(), opened()
    ask(one, "CREATE TABLE some (a)")
    ask(one, "BEGIN IMMEDIATE")
    ask(one, "INSERT INTO some VALUES (1)")
    one.close()
    assert ask(other, "SELECT a FROM some") == []
    ask(other, "INSERT INTO some VALUES (2)")
    assert ask(other, "SELECT a FROM some") == [(2,)]


def test_a_statement_of_its_own_waits_for_the_transaction_of_another_thread(
    opened: Callable[[], DatabaseWrapper],
) -> None:
    one, other = opened(), opened()
    ask(one, "CREATE TABLE some (a)")
    one._start_transaction_under_autocommit()
    ask(one, "INSERT INTO some VALUES (1)")
    writer = threading.Thread(target=ask, args=(other, "INSERT INTO some SELECT max(a) + 1 FROM some"))
    writer.start()
    assert one._through is not None
    queued(one._through, 1)
    one._commit()
    writer.join(10)
    assert ask(one, "SELECT a FROM some") == [(1,), (2,)]


def test_writers_come_in_in_the_order_in_which_they_asked(tmp_path: Path) -> None:
    gate, came = _Gate(str(tmp_path / "gate")), []

    def write(number: int) -> None:
        gate.enter(10)
        came.append(number)
        gate.leave()

    gate.enter(10)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for number, writer in enumerate(writers, start=1):
        writer.start()
        queued(gate, number)
    gate.leave()
    for writer in writers:
        writer.join(10)
    assert came == list(range(12))


def test_a_writer_who_waits_too_long_is_told_so_and_holds_nobody_up(tmp_path: Path) -> None:
    gate = _Gate(str(tmp_path / "gate"))
    gate.enter(10)
    with pytest.raises(OperationalError):
        gate.enter(0.01)
    gate.leave()
    gate.enter(0.01)
    gate.leave()


def test_a_database_that_cannot_give_back_what_it_wrote_stops_the_start(opened: Callable[[], DatabaseWrapper]) -> None:
    class Old(DatabaseWrapper):
        def get_database_version(self) -> tuple[int, ...]:
            return 3, 34, 1

    with pytest.raises(NotSupportedError, match=r"SQLite 3\.35 or later is required \(found 3\.34\.1\)"):
        Old(opened().settings_dict, "default").check_database_version_supported()
