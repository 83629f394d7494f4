"""Exactly once under parallel requests, two server processes and a killed one, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, Shown, fresh_email, picture

PARALLEL = 20


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def pair(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two server processes on one database."""
    database = f"sqlite:///{tmp_path / 'pair.sqlite3'}"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres")
    upstream = sandbox.url + "/api"
    one, two = (
        Server(
            database=database,
            upstream=upstream,
            PASSWORD_STEP="off",
            UPSTREAM_READ_TIMEOUT="2",
            UPSTREAM_CONNECT_TIMEOUT="1",
        )
        for _ in range(2)
    )
    one.migrate()
    with one, two:
        yield one, two


def at_once(post: Callable[[int], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(post, range(PARALLEL)))


def calls(sandbox: Sandbox, name: str, text: str) -> list[dict]:
    return [c for c in sandbox.calls() if c["biz_type"].endswith(name) and text in str(c["body"])]


def test_twenty_final_posts_on_two_processes_register_once(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    customer = Customer(pair[0], sandbox)
    email = fresh_email("slow")
    customer.identify(email=email)
    code, path = customer.code(), customer.flow_url.removeprefix(pair[0].url) + "verify/"
    answers = at_once(
        lambda n: requests.post(pair[n % 2].url + path, data={"code": code}, allow_redirects=False, timeout=60)
    )
    assert {answer.status_code for answer in answers} == {303}
    (target,) = {answer.headers["Location"] for answer in answers}
    assert customer.get(pair[1].url + target).step == "level"
    assert len([r for r in sandbox.registrations() if r["body"]["loginName"] == email]) == 1
    assert len(calls(sandbox, ".register", email)) == 1


def test_twenty_first_posts_make_one_flow_and_send_one_code(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    customer = Customer(pair[0], sandbox)
    landing = customer.get("/").value("landing")
    email = fresh_email()
    data = {"landing": landing, "channel": "email", "email": email, "country": "GB", "terms": "on"}
    answers = at_once(lambda n: requests.post(pair[n % 2].url + "/", data=data, allow_redirects=False, timeout=60))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(calls(sandbox, ".verifyCodeSend", email)) == 1


def test_twenty_wrong_codes_at_once_cost_one_attempt(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    customer = Customer(pair[0], sandbox)
    email = fresh_email()
    customer.identify(email=email)
    right = customer.code()
    wrong = "000000" if right != "000000" else "111111"
    path = customer.flow_url.removeprefix(pair[0].url) + "verify/"
    answers = at_once(
        lambda n: requests.post(pair[n % 2].url + path, data={"code": wrong}, allow_redirects=False, timeout=60)
    )
    assert {answer.status_code for answer in answers} == {422}
    assert len(calls(sandbox, ".register", email)) == 1
    assert customer.verify(right).step == "level"


def test_twenty_sent_levels_are_submitted_once(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    customer = Customer(pair[0], sandbox)
    email = fresh_email()
    customer.register(email=email)
    path = customer.flow_url.removeprefix(pair[0].url) + "level/"
    data = {"level": "level_1", "el-name": "Ann Example", "el-birthday": "1990-05-17"}
    data |= {"el-id_card_type-kind": "passport", "el-id_card_type-number": "E12345678"}

    def send(n: int) -> requests.Response:
        files = {"el-proof_of_passpord": ("p.png", picture(), "image/png")}
        return requests.post(pair[n % 2].url + path, data=data, files=files, timeout=60)

    answers = at_once(send)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {Shown(answer).step for answer in answers} == {"done"}
    (number,) = [r["customerNo"] for r in sandbox.registrations() if r["body"]["loginName"] == email]
    assert len([a for a in sandbox.applications() if a["customerNo"] == number]) == 1


def test_a_killed_process_loses_no_registration(pair: tuple[Server, Server], sandbox: Sandbox) -> None:
    customer = Customer(pair[0], sandbox)
    email = fresh_email("slow")
    customer.identify(email=email)
    code, path = customer.code(), customer.flow_url.removeprefix(pair[0].url) + "verify/"
    with ThreadPoolExecutor(1) as pool:
        post = pool.submit(requests.post, pair[0].url + path, data={"code": code}, timeout=60)
        while not calls(sandbox, ".register", email) and not post.done():
            time.sleep(0.02)
        pair[0].stop(signal.SIGKILL)
        with pytest.raises(requests.RequestException):
            post.result()
    # The customer's browser sends the same again, now to the process that lives.
    customer.server = pair[1]
    shown = customer.post(path, {"code": code})
    assert shown.step in ("status", "level")
    assert customer.wait(30).step == "level"
    assert len([r for r in sandbox.registrations() if r["body"]["loginName"] == email]) == 1
    assert len({c["headers"]["idempotency-key"] for c in calls(sandbox, ".register", email)}) == 1


@pytest.mark.postgres
def test_customers_who_wait_for_the_upstream_hold_no_database_connection(
    start_server: Callable[..., Server], sandbox: Sandbox, postgres: str
) -> None:
    server = start_server(database=postgres, UPSTREAM_READ_TIMEOUT="7", PASSWORD_STEP="off")
    waiting = [Customer(server, sandbox) for _ in range(12)]  # more than the pool has connections
    for customer in waiting:
        customer.identify(email=fresh_email("hang"))
    other = Customer(server, sandbox)
    other.identify()
    with ThreadPoolExecutor(len(waiting)) as pool:
        posts = [
            pool.submit(
                requests.post, c.flow_url + "verify/", data={"code": c.code()}, allow_redirects=False, timeout=60
            )
            for c in waiting
        ]
        while len(calls(sandbox, ".register", "+hang")) < len(waiting):
            time.sleep(0.05)
        assert requests.get(other.flow_url, timeout=4).status_code == 200
        assert not any(post.done() for post in posts)
        assert {post.result().status_code for post in posts} == {303}
    for customer in waiting:
        email = customer.sent["email"]
        server.manage("settle", check=False)
        assert len([r for r in sandbox.registrations() if r["body"]["loginName"] == email]) == 1


def test_a_process_that_slept_through_its_lease_changes_nothing(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    settings = {"UPSTREAM_READ_TIMEOUT": "1", "UPSTREAM_CONNECT_TIMEOUT": "1", "PASSWORD_STEP": "off"}
    sleeper = start_server(**{**settings, "UPSTREAM_READ_TIMEOUT": "30"})
    awake = start_server(database=sleeper.env["DATABASE_URL"], **settings)
    customer = Customer(sleeper, sandbox)
    email = fresh_email("slow")
    customer.identify(email=email)
    code, path = customer.code(), customer.flow_url.removeprefix(sleeper.url) + "verify/"
    assert sleeper.process is not None
    with ThreadPoolExecutor(1) as pool:
        post = pool.submit(requests.post, sleeper.url + path, data={"code": code}, allow_redirects=False, timeout=60)
        while not calls(sandbox, ".register", email) and not post.done():
            time.sleep(0.02)
        os.killpg(sleeper.process.pid, signal.SIGSTOP)
        try:
            deadline = time.monotonic() + 30
            while awake.manage("settle", check=False).returncode and time.monotonic() < deadline:
                time.sleep(0.3)
        finally:
            os.killpg(sleeper.process.pid, signal.SIGCONT)
        assert post.result().status_code == 303
    customer.server = awake
    assert customer.get(awake.url + post.result().headers["Location"]).step == "level"
    assert len([r for r in sandbox.registrations() if r["body"]["loginName"] == email]) == 1
    # A replay of the very POST still finds its way: the acceptance was recorded once.
    assert customer.post(path, {"code": code}).step == "level"


def test_two_processes_of_sixty_four_threads_write_to_one_sqlite_file(sandbox: Sandbox, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'crowded.sqlite3'}"
    one, two = (Server(database=database, upstream=sandbox.url + "/api", threads=64) for _ in range(2))
    one.migrate()
    with one, two:
        customer = Customer(one, sandbox)
        customer.identify()
        path = customer.flow_url.removeprefix(one.url) + "language/"

        def change(number: int) -> set[int]:
            server, languages = (one, two)[number % 2], ("es", "en") * 3
            with requests.Session() as session:
                answers = [session.post(server.url + path, data={"lang": lang}, allow_redirects=False, timeout=60)
                           for lang in languages]  # fmt: skip
            return {answer.status_code for answer in answers}

        with ThreadPoolExecutor(128) as pool:
            found = set[int]().union(*pool.map(change, range(128)))
        assert found == {303}, "who does not get a turn within twenty seconds is told that we are busy"
        assert not [server for server in (one, two) if "locked" in server.log.read_text()]
