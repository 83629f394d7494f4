"""One run: two server processes on one database, the sandbox behind a line that breaks, `settle` beside them, and
customers who meet what their plans say. Afterwards every side's books must agree.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from onboarding.sandbox.server import Sandbox
from tests.faults import books
from tests.faults.browser import read_json
from tests.faults.customer import Customer
from tests.faults.plan import KILLS, Disturbance, Fault, Kind, Plan, make
from tests.faults.proxy import Proxy
from tests.support import ROOT, Server, free_port

READ_TIMEOUT = 1.5  # seconds that the servers wait for the upstream
HELD_SECONDS = 1.0  # how long the first call of a kill waits for the others
LEASE = READ_TIMEOUT + 1 + 5  # of a call whose process died (onboarding/submissions.py)
MOST_KILLED = 24  # calls in flight at one kill
# Customers; more than two batches, because their members wait for each other. SQLite lets one write at a time.
AT_A_TIME = {"sqlite": 50, "postgres": 80}
ASKED = [{"levelCode": "level_1", "elementList": [{"elementCode": "name", "elementName": "Name", "showType": "input"}]}]


# -- The parts ---------------------------------------------------------------------------------------------------------


def serve_upstream(port: int, emails: list[str]) -> None:
    """The sandbox in a process of its own. Whoever is asked for a level is asked for a name alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sandbox = Sandbox(port=port, review_seconds=24 * 3600.0, rate_limit=10**9)
    for email in emails:
        sandbox.ask(email, ASKED)
    sandbox.serve_forever()


@dataclass
class Batch:
    """Calls that are in flight when one server dies, or that find the door closed."""

    members: list[Plan]
    victim: int = 0
    arrived: int = 0
    go: threading.Event = field(default_factory=threading.Event)


class Run:
    def __init__(self, database: str, seed: int, flows: int) -> None:
        self.seed = seed
        self.plans = make(seed, flows)
        self.database = books.Database(database)
        self.upstream_port = free_port()
        self.proxy = Proxy(self.upstream_port, self.plans, hang_seconds=READ_TIMEOUT + 1)
        self.proxy.listen()
        address = f"http://127.0.0.1:{self.proxy.port}/api"
        self.servers = [
            Server(
                database=database, upstream=address, threads=64, UPSTREAM_READ_TIMEOUT=str(READ_TIMEOUT),
                UPSTREAM_BREAKER_FAILURES="0",  # nearly every call fails here: a circuit would keep them from it
                UPSTREAM_CONNECT_TIMEOUT="1", PASSWORD_STEP="off", TRUSTED_PROXY_COUNT="1",
            )
            for _ in range(2)
        ]  # fmt: skip
        self.ports = [server.port for server in self.servers]
        self.customers = [Customer(plan, self, seed) for plan in self.plans]
        self.killed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._one_batch = threading.Lock()
        self._batches: dict[int, Batch] = {}
        self._doors: dict[int, Batch] = {}
        self._queue = self._arrange()

    def _arrange(self) -> list[Customer]:
        """The order of the customers: those of a batch near each other, so that nobody waits long for the others."""
        order: list[tuple[float, Customer]] = []
        for kill in KILLS:
            found = [plan for plan in self.plans if plan.disturbance is kill]
            for start in range(0, len(found), MOST_KILLED):
                batch = Batch(found[start : start + MOST_KILLED], victim=len(self._batches) % 2)
                self._batches |= {plan.number: batch for plan in batch.members}
        refused = [plan for plan in self.plans if Fault.REFUSED in plan.faults]
        for start in range(0, len(refused), MOST_KILLED):
            door = Batch(refused[start : start + MOST_KILLED])
            self._doors |= {plan.number: door for plan in door.members}
        batches = list({id(batch): batch for batch in (*self._doors.values(), *self._batches.values())}.values())
        place = {id(batch): (number + 0.5) / len(batches) for number, batch in enumerate(batches)}
        plain = [one for one in self.customers if one.plan.number not in {**self._batches, **self._doors}]
        for number, customer in enumerate(plain):
            order.append((number / len(plain), customer))
        for customer in self.customers:
            batch = self._batches.get(customer.plan.number) or self._doors.get(customer.plan.number)
            if batch is not None:
                order.append((place[id(batch)] * 0.8, customer))
        return [customer for _, customer in sorted(order, key=lambda pair: pair[0])]

    # -- What customers ask of it

    def code_for(self, email: str) -> str:
        return str(read_json(self.upstream_port, "/inbox", email)[0]["code"])

    def await_kill(self, plan: Plan) -> int:
        """Returns once the others of the kill are ready too; gives the server that is going to die."""
        batch = self._batches[plan.number]
        self._arrive(batch, self._kill)
        return batch.victim

    def await_closed_door(self, plan: Plan) -> None:
        self._arrive(self._doors[plan.number], self._refuse)

    def is_open(self, plan: Plan, kind: Kind) -> bool:
        """Whether a call of the customer may have been carried out and no usable answer came back since."""
        unknown = False
        for attempt in list(self.proxy.attempts[plan.number]):
            if attempt.kind is kind and attempt.is_over and attempt.answer != "429":
                unknown = not attempt.is_definite
        return unknown

    def _arrive(self, batch: Batch, act: Any) -> None:
        with self._lock:
            batch.arrived += 1
            if batch.arrived == 1:
                threading.Thread(target=self._lead, args=(batch, act), daemon=True).start()
        batch.go.wait(90)

    def _lead(self, batch: Batch, act: Any) -> None:
        end = time.monotonic() + 20
        while batch.arrived < len(batch.members) and time.monotonic() < end:
            time.sleep(0.05)
        with self._one_batch:
            act(batch)

    def _refuse(self, batch: Batch) -> None:
        self.proxy.close()
        batch.go.set()
        time.sleep(1.0)
        self.proxy.listen()

    def _kill(self, batch: Batch) -> None:
        """Waits until the calls are in flight, and kills their server."""
        kill = batch.members[0].disturbance
        server = self.servers[batch.victim]
        self.proxy.deliver.clear()
        self.proxy.release.clear()
        batch.go.set()
        first = 0.0
        began = time.monotonic()
        while time.monotonic() < began + 15 and len(self.proxy.held) < len(batch.members):
            first = first or (time.monotonic() if self.proxy.held else 0.0)
            if first and time.monotonic() > first + HELD_SECONDS:
                break
            time.sleep(0.01)
        with self.database.locked() if kill is Disturbance.KILL_STORE else contextlib.nullcontext():
            in_flight = sum(held.is_waited_for for held in list(self.proxy.held.values()))
            if kill is Disturbance.KILL_STORE:
                self.proxy.deliver.set()
                time.sleep(0.2)
            server.stop(signal.SIGKILL)
        self.killed[kill] += in_flight
        self.proxy.deliver.set()
        self.proxy.release.set()
        server.start()

    # -- From start to end

    def go(self) -> list[str]:
        """Gives what is wrong, one text for each finding."""
        began, cpu = time.monotonic(), _cpu()
        emails = [plan.email for plan in self.plans if plan.kind is Kind.LEVEL]
        upstream = multiprocessing.get_context("spawn").Process(
            target=serve_upstream, args=(self.upstream_port, emails), daemon=True
        )
        upstream.start()
        try:
            self.servers[0].manage("migrate", "--verbosity", "0")
            with self.servers[0], self.servers[1]:
                with self._settling(), ThreadPoolExecutor(AT_A_TIME[self.database.kind]) as pool:
                    list(pool.map(Customer.walk, self._queue))
                walked = time.monotonic()
                self.proxy.recovered = True
                time.sleep(LEASE)
                settled = self.servers[0].manage("settle", check=False)
                with ThreadPoolExecutor(16) as pool:
                    list(pool.map(Customer.come_back, self.customers))
                found = [f"settle left something: {settled.stdout}"] if settled.returncode else []
                found += books.compare(self.customers, self.proxy, self.database, self.upstream_port)
                found += [text for server in self.servers for text in books.accidents(server.log)]
        finally:
            self.proxy.close()
            upstream.terminate()
            upstream.join()
        self._tell(time.monotonic() - began, walked - began, _cpu() - cpu)
        return found

    def _tell(self, seconds: float, walked: float, cpu: float) -> None:
        calls = sum(len(attempts) for attempts in self.proxy.attempts.values())
        killed = ", ".join(f"{number} {kill}" for kill, number in self.killed.items())
        print(
            f"  {self.database.kind}: {len(self.plans)} flows in {seconds:.0f} s (walked after {walked:.0f} s), "
            f"{cpu / len(self.plans) * 1000:.0f} ms of CPU each, {calls} calls; in flight at a kill: {killed}",
            flush=True,
        )

    @contextlib.contextmanager
    def _settling(self) -> Iterator[None]:
        """`settle --loop`, as in production."""
        command = [sys.executable, "manage.py", "settle", "--loop", "--pause", "3", "--left", "4"]
        with self.servers[0].log.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self.servers[0].env, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=15)


def _cpu() -> float:
    """Seconds of all processes of the run that have ended, and of this one."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
