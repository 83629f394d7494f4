"""Pages of a server process while the upstream hangs and 500 customers have met it, against the same before.

Milliseconds of the clock, in one run: what a visitor waits.
"""

from __future__ import annotations

import statistics
import tempfile
import time

import requests

from onboarding.sandbox.server import Sandbox
from tests.load.lines import ROUNDS, Line
from tests.stuck import Post, Relay, collect, first_answers, send_at_once
from tests.support import Customer, Server

STUCK = 500  # customers who send the first form at once
FURTHER = 20  # one after the other, while they wait
RECOVERING = 100  # tries, a tenth of a second apart
PLACES = 64  # UPSTREAM_MAX_IN_FLIGHT's default: so many of them wait, the others hear at once that it is busy


def lines(sandbox: Sandbox) -> list[Line]:
    relay = Relay(sandbox.url)
    database = f"sqlite:///{tempfile.mkdtemp()}/stuck.sqlite3"
    server = Server(
        database=database, upstream=relay.url + "/api", threads=128, PASSWORD_STEP="off", PROOF_OF_WORK="off"
    )
    server.manage("migrate", "--verbosity", "0")
    with server:
        customer = Customer(server, sandbox)
        customer.identify()
        customer.verify()
        pages = {"first page": server.url + "/", "a flow's page": customer.flow_url}
        before = {name: visits(url) for name, url in pages.items()}
        well = send_at_once(server, first_answers(customer, STUCK))
        collect(well, 120)
        bodies = first_answers(customer, STUCK)
        relay.turn("hang")
        posts = send_at_once(server, bodies)
        collect(posts, 60, lambda: sum(not post.took for post in posts) > PLACES)
        during = {name: visits(url) for name, url in pages.items()}
        refused = [post for post in posts if post.took]
        assert all(post.status == 503 and post.retry_after for post in refused)
        further = [alone(server, body) for body in first_answers(customer, FURTHER)]
        assert all(post.status == 503 for post in further)
        bodies = first_answers(customer, RECOVERING)
        relay.turn("pass")
        recovered = recovery(server, bodies)
        relay.close()
    hung = STUCK - len(refused)
    mine, floor = (statistics.median(post.took for post in found) * 1000 for found in (refused, well))
    return [
        *(
            Line(
                f"{name}, {hung} calls hang: 99th percentile", "the same before", nearly_worst(during[name]),
                nearly_worst(found), unit="ms", at_most=2 if name == "first page" else None,
                or_mine=50 if name == "first page" else None, rounds=len(found),
            )
            for name, found in before.items()
        ),
        Line(
            "busy page of one more customer: slowest", "", max(post.took for post in further) * 1000, unit="ms",
            at_most=100, rounds=FURTHER,
        ),
        Line("a code is sent again after the upstream's recovery", "", recovered, unit="s", at_most=5, rounds=1),
        Line(f"busy page of {len(refused)} at once: median", f"{STUCK} at once, the upstream well", mine, floor, "ms"),
    ]  # fmt: skip


def alone(server: Server, body: bytes) -> Post:
    posts = send_at_once(server, [body])
    collect(posts, 60)
    return posts[0]


def recovery(server: Server, bodies: list[bytes]) -> float:
    """Seconds from now until a customer gets past the first page."""
    began = time.monotonic()
    for body in bodies:
        if alone(server, body).status == 303:
            break
        time.sleep(0.1)
    return time.monotonic() - began


def visits(url: str) -> list[float]:
    """Milliseconds of a visitor's GETs, one after the other."""
    taken = []
    for _ in range(30 * ROUNDS):
        began = time.perf_counter()
        assert requests.get(url, timeout=60).status_code == 200
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def nearly_worst(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]
