"""Benchmarks as ratios: each number stands beside its floor or peer, measured interleaved in the same run.

Prints a table and writes `var/bench.json`. Nothing here passes or fails by the clock: machines are shared and noisy.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import django
import requests
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from onboarding.sandbox.server import Sandbox
from tests.stuck import Relay, collect, first_answers, send_at_once
from tests.support import ROOT, TEST_KEY, Customer, Server

ROUNDS = 7
STUCK = 500  # customers who send the first form at once
PLACES = 64  # UPSTREAM_MAX_IN_FLIGHT's default: so many of them wait, the others hear at once that it is busy


@dataclass
class Line:
    name: str
    floor: str
    ratio: float
    mine_ms: float
    floor_ms: float


def interleaved(mine: Callable[[], object], floor: Callable[[], object], calls: int) -> tuple[float, float]:
    """Median CPU milliseconds of one call of each, the two taking turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for function, list_ in ((mine, taken[0]), (floor, taken[1])):
            started = time.process_time()
            for _ in range(calls):
                function()
            list_.append((time.process_time() - started) / calls * 1000)
    return statistics.median(taken[0]), statistics.median(taken[1])


def main() -> int:
    os.environ.update(
        SECRET_KEY=TEST_KEY, DEBUG="true", UPSTREAM_COMPANY_ID="1", ALLOWED_HOSTS="testserver", LOG_FORMAT="json",
        DJANGO_SETTINGS_MODULE="onboarding.settings",
        DATABASE_URL=f"sqlite:///{tempfile.mkdtemp()}/bench.sqlite3",
    )  # fmt: skip
    with Sandbox(port=0, rate_limit=10_000_000) as sandbox:
        os.environ["UPSTREAM_BASE_URL"] = sandbox.url + "/api"
        django.setup()
        lines = measure(sandbox.url) + stuck(sandbox)
    print(f"{'what':34} {'against':38} {'ratio':>7} {'ms':>8} {'floor ms':>9}")
    for line in lines:
        print(f"{line.name:34} {line.floor:38} {line.ratio:7.2f} {line.mine_ms:8.3f} {line.floor_ms:9.3f}")
    target = ROOT / "var" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps([line.__dict__ for line in lines], indent=1))
    return 0


def measure(upstream_url: str) -> list[Line]:
    import urllib3
    from django.core.handlers.wsgi import WSGIHandler

    from onboarding.gateway import upstream
    from onboarding.upstream.client import Call

    handler = WSGIHandler()
    factory = RequestFactory()

    def through(path: str, **headers: str) -> HttpResponse:
        request: HttpRequest = factory.get(path, **headers)
        response = handler.get_response(request)
        assert response.status_code == 200, response.status_code
        return response

    pool = urllib3.PoolManager(num_pools=1, maxsize=4)
    address = upstream_url + "/api/global/config.app.AppDictDubboService.getListByParentCode"
    sent = {
        "companyId": "1",
        "trace": "x",
        "timestamp": str(int(time.time() * 1000)),
        "Content-Type": "application/json",
    }
    found = []

    def add(name: str, floor: str, mine: Callable[[], object], bare: Callable[[], object], calls: int) -> None:
        mine_ms, floor_ms = interleaved(mine, bare, calls)
        found.append(Line(name, floor, mine_ms / floor_ms, mine_ms, floor_ms))

    add("first page", "health page, same middleware", lambda: through("/"), lambda: through("/healthz"), 60)
    add(
        "first page as fragment",
        "health page, same middleware",
        lambda: through("/", HTTP_HX_REQUEST="true"),
        lambda: through("/healthz"),
        60,
    )
    add(
        "upstream call by our client", "bare urllib3, same call, kept connection",
        lambda: upstream().dictionary("id_card_type", Call(idempotency_key="")),
        lambda: pool.request("POST", address, body=b'{"parentCode":"id_card_type"}', headers=sent).data,
        60,
    )  # fmt: skip
    return found


def stuck(sandbox: Sandbox) -> list[Line]:
    """Pages of a server process while the upstream hangs and 500 customers have met it, against the same before.

    Milliseconds of the clock, medians, in one run: what a visitor waits.
    """
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
        before = {name: visit(url) for name, url in pages.items()}
        well = send_at_once(server, first_answers(customer, STUCK))
        collect(well, 120)
        bodies = first_answers(customer, STUCK)
        relay.turn("hang")
        posts = send_at_once(server, bodies)
        collect(posts, 60, lambda: sum(not post.took for post in posts) > PLACES)
        during = {name: visit(url) for name, url in pages.items()}
        refused = [post for post in posts if post.took]
        assert all(post.status == 503 and post.retry_after for post in refused)
        relay.close()
    hung = STUCK - len(refused)
    mine, floor = (statistics.median(post.took for post in found) * 1000 for found in (refused, well))
    return [
        *(Line(f"{name}, {hung} calls hang", "the same before", during[name] / ms, during[name], ms)
          for name, ms in before.items()),
        Line(f"busy page of {len(refused)} at once", f"{STUCK} at once, the upstream well", mine / floor, mine, floor),
    ]  # fmt: skip


def visit(url: str) -> float:
    """Median milliseconds of a visitor's GET."""
    taken = []
    for _ in range(5 * ROUNDS):
        began = time.perf_counter()
        assert requests.get(url, timeout=60).status_code == 200
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
