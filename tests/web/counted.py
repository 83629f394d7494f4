"""The application as it is served, telling of each answer which statements it took, for test_queries.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection

from onboarding.wsgi import application as served

MARKS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")  # where a transaction begins and ends

# Which text messages are stopped is read once in three seconds for all customers of a process, by whoever comes first:
# which answer that is depends on the clock.
SHARED = 'FROM "onboarding_smsstop"'


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    statements: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if not sql.startswith(MARKS) and SHARED not in sql:
            statements.append(sql)
        return execute(sql, params, many, context)

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, ("X-Statements", json.dumps(statements))], *rest)

    with connection.execute_wrapper(note):
        return served(environ, start)
