"""Fixtures: one sandbox and one server for most tests; those that change settings or break things start their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import ROOT, TEST_KEY, Customer, Server, memory_folder, postgres_cluster, postgres_programs, running

if memory := memory_folder():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))  # where tmp_path lies
os.environ.setdefault("SECRET_KEY", TEST_KEY)
os.environ.setdefault("DEBUG", "true")
os.environ.setdefault("UPSTREAM_BASE_URL", "http://127.0.0.1:9/api")
os.environ.setdefault("UPSTREAM_COMPANY_ID", "439")
os.environ.setdefault("DATABASE_URL", f"sqlite:///{ROOT / 'var' / 'tests.sqlite3'}")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "onboarding.settings")

import django
from hypothesis import settings

django.setup()
# CI tries the same examples every time, so that what it says is about the change; runs by hand try others.
settings.register_profile("ci", derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

from onboarding.sandbox.server import Sandbox  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew", action="store_true", help="write tests/web/headers.txt anew")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(port=0, slow_seconds=1.5, hang_seconds=8.0, review_seconds=0.0) as running_sandbox:
        yield running_sandbox


@pytest.fixture(scope="session")
def server(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The front end on an SQLite file, with short time-outs."""
    database = f"sqlite:///{tmp_path_factory.mktemp('db') / 'onboarding.sqlite3'}"
    with running(sandbox, database, UPSTREAM_READ_TIMEOUT="2.5", UPSTREAM_CONNECT_TIMEOUT="1") as started:
        yield started


@pytest.fixture
def customer(server: Server, sandbox: Sandbox) -> Customer:
    return Customer(server, sandbox)


@pytest.fixture
def start_server(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server with settings of its own on a fresh SQLite file (or the `database` given)."""
    started: list[Server] = []

    def start(*, database: str = "", upstream: str = "", **settings: str) -> Server:
        server = Server(
            database=database or f"sqlite:///{tmp_path / f'{len(started)}.sqlite3'}",
            upstream=upstream or sandbox.url + "/api",
            **settings,
        )
        started.append(server.migrate().start())
        return server

    yield start
    for server in started:
        server.stop()
        server.log.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    if postgres_programs() is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have PostgreSQL")
        pytest.skip("no PostgreSQL programs on this machine")
    with postgres_cluster() as address:
        yield address
