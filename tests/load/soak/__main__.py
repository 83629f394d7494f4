"""`python -m tests.load.soak [flows] [--database sqlite]`: a hundred thousand on PostgreSQL by default.

Every customer goes over real HTTP to two production processes of the front end, which share nothing but the database,
and from there to the sandbox; `settle`, `purge`, `webhooks` and `rollup` run beside them as in production. Time is
compressed by settings alone: a flow is over two minutes after its last answer, its personal data goes then, and its
rows go some minutes later. Customers come as fast as the machine lets them, in the shares of `visitors.FATES`.

Everything seen is written to var/soak-*.jsonl; `--judge FILE` judges that again. An interrupted run (Ctrl-C) is judged
by the customers who came until then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from tests.load.lines import machine, say
from tests.load.soak import records, upstream, visitors
from tests.load.soak.judging import GONE, judge, table
from tests.support import ROOT, Server, postgres_cluster

WORKERS = 2
LOOK_EVERY = 10.0  # seconds
LAST_WAIT = 1800.0  # seconds that the loops get to delete what is left
COMPRESSED = {
    "FLOW_IDLE_MINUTES": "2", "FLOW_MAX_HOURS": "0.1", "RETENTION_HOURS": "0", "KEEP_FLOWS_DAYS": "0.003",
    "KEEP_EVENTS_DAYS": "0.005", "LIMIT_RECIPIENT": "3/1m,5/3m", "LIMIT_ADDRESS": "10/1m,30/3m",
}  # fmt: skip
PATIENT = {"UPSTREAM_READ_TIMEOUT": "60", "REQUEST_BUDGET_SECONDS": "100"}  # the machine may do other things as well
LOOPS = {"settle": (), "webhooks": (), "purge": ("--pause", "10"), "rollup": ("--pause", "30")}


@contextlib.contextmanager
def beside(server: Server) -> Iterator[dict[str, list[int]]]:
    """The loops, and by name the processes that run."""
    with server.log.open("ab") as log, contextlib.ExitStack() as stack:
        found = {}
        for name, options in LOOPS.items():
            command = [sys.executable, "manage.py", name, "--loop", *options]
            process = subprocess.Popen(command, cwd=ROOT, env=server.env, stdout=log, stderr=log)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
            found[name] = [process.pid]
        yield found


def add_partner(server: Server, url: str) -> None:
    keys = "{'now': 'whsec_of-a-run-that-nobody-checks'}"
    code = f"from onboarding.models import Partner\nPartner(slug={visitors.PARTNER!r}, name='P', webhook_url={url!r}, "
    server.manage("shell", "-c", f"{code}webhook_keys={keys}).save()")


class Watch(threading.Thread):
    """Looks again and again, and writes down what it sees."""

    def __init__(self, database: records.Database, processes: dict[str, list[int]], crowd: visitors.Crowd, to: TextIO):
        super().__init__()
        self.database, self.processes, self.crowd, self.to = database, processes, crowd, to
        self.over = threading.Event()
        self.began, self.flows = time.monotonic(), 0

    def run(self) -> None:
        while not self.over.wait(LOOK_EVERY):
            try:
                self.look()
            except Exception as exc:  # one look less; the run is worth more
                say(f"not seen: {type(exc).__name__}: {exc}")

    def look(self) -> records.Sample:
        self.flows = max(self.flows, records.last_number(self.database))
        seconds = time.monotonic() - self.began
        one = records.look(self.database, self.processes, seconds=seconds, begun=self.crowd.begun, flows=self.flows)
        self.to.write(one.as_line() + "\n")
        self.to.flush()
        print(
            f"{one.seconds:6.0f} s {one.begun:8,} customers {one.rows['flow']:7,} flows kept {one.deleted:8,} deleted"
            f" {one.sealed / 2**20:6.1f} MiB sealed {one.size / 2**20:6.1f} MiB on disk   "
            + " ".join(f"{name} {size / 2**20:.0f}" for name, size in one.memory.items())
            + f" MiB   {len(self.crowd.wrong)} wrong",
            flush=True,
        )
        return one


def run(address: str, coming: list[visitors.Visit], at_a_time: int, to: TextIO) -> None:
    asked = [one.recipient for one in coming if one.is_asked]
    with contextlib.ExitStack() as stack:
        platform = stack.enter_context(upstream.running(asked))
        server = Server(
            database=address, upstream=f"{platform.url}/api", threads=32, GRANIAN_WORKERS=str(WORKERS),
            PASSWORD_STEP="off", TRUSTED_PROXY_COUNT="1", WEBHOOK_PRIVATE_HOSTS="127.0.0.1",
            PROMETHEUS_MULTIPROC_DIR=stack.enter_context(tempfile.TemporaryDirectory()), **PATIENT, **COMPRESSED,
        )  # fmt: skip
        server.manage("migrate", "--verbosity", "0")
        add_partner(server, f"http://127.0.0.1:{platform.desk}/hook")
        stack.enter_context(server)
        loops = stack.enter_context(beside(server))
        crowd = visitors.Crowd((server.port, platform.desk), coming, at_a_time)
        processes = {"servers": server.workers(), **loops, "sandbox": [platform.pid], "customers": [os.getpid()]}
        watch = Watch(records.Database(address), processes, crowd, to)
        walk(crowd, watch)
        wait_until_gone(watch)
        end = {
            "walked": len(crowd.walked), "wrong": crowd.wrong, "expected": visitors.expected(crowd.walked),
            "books": {**watch.database.funnel(), **records.metrics(server.url), **platform.books()},
            "last": json.loads(watch.look().as_line())["sample"],
        }  # fmt: skip
        to.write(json.dumps({"end": end}) + "\n")


def walk(crowd: visitors.Crowd, watch: Watch) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        say("no more customers; waiting for those who are there")
        crowd.stop.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    watch.start()
    try:
        crowd.go()
    finally:
        watch.over.set()
        watch.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    seconds = time.monotonic() - watch.began
    print(f"{len(crowd.walked):,} customers in {seconds:.0f} s: {len(crowd.walked) / seconds:.1f} in a second")


def wait_until_gone(watch: Watch) -> None:
    """The loops delete what is left, each thing in its time."""
    end = time.monotonic() + LAST_WAIT
    while time.monotonic() < end:
        rows = watch.database.rows()
        if not any(rows[table] for table in GONE):
            return
        time.sleep(LOOK_EVERY)


def report(file: Path) -> int:
    verdicts = judge(file)
    print(table(verdicts))
    wrong = sum(verdict.holds is False for verdict in verdicts)
    unjudged = sum(verdict.holds is None for verdict in verdicts)
    print(f"{len(verdicts) - wrong - unjudged} hold, {wrong} do not, {unjudged} were not judged.")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak")
    parser.add_argument("flows", nargs="?", type=int, default=100_000)
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--at-a-time", type=int, default=visitors.AT_A_TIME)
    parser.add_argument("--judge", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.judge:
        return report(given.judge)
    if given.flows > visitors.MOST:
        parser.error(f"at most {visitors.MOST:,}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # or what was started would go on
    file = ROOT / "var" / f"soak-{given.database}-{given.seed}.jsonl"
    file.parent.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        to = stack.enter_context(file.open("w"))
        if given.database == "postgres":
            address = stack.enter_context(postgres_cluster())
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="onboarding-soak-"))
            address = f"sqlite:///{folder}/soak.sqlite3"
        began = {"flows": given.flows, "database": given.database, "seed": given.seed, "machine": machine()}
        to.write(json.dumps({"run": began}) + "\n")
        print(f"{given.flows:,} customers, {given.database}, --seed {given.seed}", flush=True)
        run(address, visitors.visits(given.flows, given.seed), given.at_a_time, to)
    return report(file)


if __name__ == "__main__":
    sys.exit(main())
