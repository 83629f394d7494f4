"""SQLite with a few open connections that all threads share, and one gate for all who write.

Two things of SQLite hurt where many threads serve customers. Whoever finds it locked looks again every now and then, in
no order, until the time-out; and every connection costs a millisecond to open, while the last one that is closed writes
the whole log into the file. So a connection that is handed back stays open for whoever comes next, as in PostgreSQL's
pool, and writers queue before they begin.

Django finds this module by the engine's name. Imports nothing of ours.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import sqlite3
import threading
from collections import deque
from functools import partial
from typing import Any

from django.db.backends.sqlite3 import base, features
from django.db.utils import OperationalError

KEPT = 8  # idle connections of a process; more are open while more threads are at work
_NO_WRITES = ("SELECT", "PRAGMA", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "COMMIT", "EXPLAIN")
_Place = tuple[str, int, int]  # a database: its name, and which file that is, so that one made anew is another one


class _Gate:
    """Lets one writer in at a time, in the order of coming.

    Within the process by hand: a lock of Python's goes to whoever grabs it. Between processes by a file beside the
    database, locked for as long as the gate is held; the system opens it again for one that died.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._inner = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False

    def enter(self, timeout: float) -> None:
        if not self._turn(timeout):
            raise OperationalError("database is locked: nobody got through to write in time")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._next()
            raise

    def leave(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._next()

    def _turn(self, timeout: float) -> bool:
        with self._inner:
            if not self._held:
                self._held = True
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=timeout):
            return True
        with self._inner:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return False
        return True  # it came in the very last moment

    def _next(self) -> None:
        with self._inner:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class _Shared:
    """What the threads of this process share: the gates, and open connections that nobody uses, newest last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[_Place, sqlite3.Connection]] = []
        self._gates: dict[str, _Gate] = {}

    def gate(self, name: str) -> _Gate:
        with self._lock:
            if name not in self._gates:
                self._gates[name] = _Gate(f"{name}-gate")
            return self._gates[name]

    def take(self, place: _Place | None) -> sqlite3.Connection | None:
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number][0] == place:
                    return self._idle.pop(number)[1]
        return None

    def put(self, place: _Place, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._idle.append((place, connection))
            surplus = self._idle.pop(0)[1] if len(self._idle) > KEPT else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


_shared = _Shared()
_of_parents: list[_Shared] = []  # never touched again: SQLite forbids to use or close a connection across a fork


def _begin_anew() -> None:
    global _shared
    _of_parents.append(_shared)
    _shared = _Shared()


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(lambda: _shared.close())  # the last one that is closed leaves one whole file


def _place(name: str) -> _Place | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return name, found.st_dev, found.st_ino


class _Features(features.DatabaseFeatures):
    minimum_database_version = (3, 35)  # the first whose INSERT gives back what it wrote


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with the connections and the gate of the process."""

    features_class = _Features
    _at: _Place | None = None
    _through: _Gate | None = None  # held since BEGIN

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        name = str(conn_params["database"])
        self._at = _place(name)
        if self._at is not None and (kept := _shared.take(self._at)) is not None:
            return kept
        made = super().get_new_connection(conn_params)
        self._at = None if self.is_in_memory_db() else _place(name)  # the file may have been made by this
        return made

    def _close(self) -> None:
        clean = not (self.connection.in_transaction or self.in_atomic_block or self.errors_occurred)
        if self._at is not None and clean:
            _shared.put(self._at, self.connection)
            return
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self.leave_gate()

    # -- The gate ------------------------------------------------------------------------------------------------------

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=partial(_Cursor, wrapper=self))

    def _start_transaction_under_autocommit(self) -> None:
        self.pass_gate()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self.leave_gate()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self.leave_gate()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self.leave_gate()

    def writes_alone(self, statement: str) -> bool:
        """Whether it begins and ends a transaction of its own."""
        return not self.connection.in_transaction and not statement.lstrip().startswith(_NO_WRITES)

    def pass_gate(self) -> None:
        if self._through is None and not self.is_in_memory_db():
            gate = _shared.gate(str(self.settings_dict["NAME"]))
            gate.enter(float(self.settings_dict["OPTIONS"].get("timeout", 5)))
            self._through = gate

    def leave_gate(self) -> None:
        gate, self._through = self._through, None
        if gate is not None:
            gate.leave()


class _Cursor(base.SQLiteCursorWrapper):
    """A statement that writes outside a transaction passes the gate too."""

    def __init__(self, connection: sqlite3.Connection, wrapper: DatabaseWrapper) -> None:
        super().__init__(connection)
        self._wrapper = wrapper

    def execute(self, query: str, params: Any = None) -> Any:
        if not self._wrapper.writes_alone(query):
            return super().execute(query, params)
        self._wrapper.pass_gate()
        try:
            return super().execute(query, params)
        finally:
            self._wrapper.leave_gate()

    def executemany(self, query: str, param_list: Any) -> Any:
        if not self._wrapper.writes_alone(query):
            return super().executemany(query, param_list)
        self._wrapper.pass_gate()
        try:
            return super().executemany(query, param_list)
        finally:
            self._wrapper.leave_gate()
