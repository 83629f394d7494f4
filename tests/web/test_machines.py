"""Nothing but the database is shared: customers go on from one server process to the other, and one may die."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from onboarding.sandbox.server import Sandbox
from tests.faults import customer as walking
from tests.faults.browser import Page
from tests.faults.harness import ASKED
from tests.faults.plan import Disturbance, Fault, Kind, Plan
from tests.support import Server

CUSTOMERS = 20
ON_THEIR_WAY = 4  # slow registrations that have come to the upstream when one process is killed


@dataclass(frozen=True)
class Walk(Plan):
    """A customer to the end of a level, undisturbed but by the death of a process. Every second one waits a while."""

    run: str = ""

    @property
    def email(self) -> str:
        return f"{self.run}.{self.mark}{'+slow' if self.number % 2 else ''}@example.org"


class Walker(walking.Customer):
    def pause(self, looks: int) -> float:
        """Looks more often than the page does: a call whose process died is anybody's after some seconds."""
        return 0.5

    def _begin(self) -> Page:
        """Looks at the flow until the code is sent: the process that was about to send it may have died."""
        home = super()._begin().home
        look = lambda: self.browser.send("GET", home)  # noqa: E731
        return self._follow(look(), look, home, "")


class Machines:
    """Two servers, of which the balancer takes either one; and the death of one of them."""

    def __init__(self, servers: tuple[Server, Server], sandbox: Sandbox, run: str) -> None:
        self.servers, self.sandbox, self.run = servers, sandbox, run
        self.ports = [server.port for server in servers]
        self.over = threading.Event()

    def code_for(self, email: str) -> str:
        return next(str(message["code"]) for message in self.sandbox.inbox() if message["to"] == email)

    def await_closed_door(self, plan: Plan) -> None:
        """No customer here has such a plan."""

    def await_kill(self, plan: Plan) -> int:
        raise NotImplementedError("no customer here has such a plan")

    def is_open(self, plan: Plan, kind: Kind) -> bool:
        return False

    def registering(self) -> int:
        """How many of those who wait a while at the upstream have come there."""
        calls = [call["body"] for call in self.sandbox.calls() if call["biz_type"].endswith(".register")]
        logins = {str(body["loginName"]) for body in calls}
        return sum(login.startswith(self.run) and "+slow" in login for login in logins)

    def kill_one(self, victim: int) -> bool:
        """Kills once registrations are on their way; the process comes back, as an orchestrator would start it."""
        while self.registering() < ON_THEIR_WAY:
            if self.over.wait(0.01):
                return False
        self.servers[victim].stop(signal.SIGKILL)
        self.servers[victim].start()
        return True


@contextlib.contextmanager
def both_started(*servers: Server) -> Iterator[None]:
    """At once, because a start takes seconds."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        for server in servers:
            stack.push(server.__exit__)
        list(pool.map(Server.start, servers))
        yield


@pytest.mark.postgres
def test_every_customer_finishes_on_whichever_process_answers_while_one_is_killed(
    sandbox: Sandbox, postgres: str
) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
    sys.stdout.write(f"SEED={seed}\n")
    one, two = (
        Server(
            database=postgres, upstream=sandbox.url + "/api", PASSWORD_STEP="off",
            UPSTREAM_READ_TIMEOUT="2", UPSTREAM_CONNECT_TIMEOUT="1",
        )
        for _ in range(2)
    )  # fmt: skip
    one.migrate()
    machines = Machines((one, two), sandbox, f"ann{secrets.token_hex(4)}")
    plain = Walk(0, Kind.LEVEL, (Fault.NONE,), Disturbance.NONE, run=machines.run)
    walkers = [Walker(replace(plain, number=number), machines, seed) for number in range(CUSTOMERS)]
    for walker in walkers:
        sandbox.ask(walker.plan.email, ASKED)
    with both_started(one, two), ThreadPoolExecutor(CUSTOMERS + 1) as pool:
        killed = pool.submit(machines.kill_one, random.Random(seed).randrange(2))
        list(pool.map(Walker.walk, walkers))
        machines.over.set()
        was_killed = killed.result()
    assert {walker.error for walker in walkers} == {""}, [(w.plan.email, w.error, w.trail) for w in walkers if w.error]
    assert was_killed, "nobody was on the way"
    registered = Counter(entry["body"]["loginName"] for entry in sandbox.registrations())
    assert {registered[walker.plan.email] for walker in walkers} == {1}
