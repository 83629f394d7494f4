"""`python -m tests.faults --seed N --flows M --database sqlite|postgres|both`. Without arguments: what CI runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.harness import Run
from tests.support import ROOT, memory_folder, postgres_cluster, postgres_programs

MOST_IN_A_ROUND = 2000  # the sandbox keeps the books of some more


@contextlib.contextmanager
def fresh_database(name: str) -> Iterator[str]:
    if name == "postgres":
        with postgres_cluster() as address:
            yield address
    else:
        # In memory where that can be had, as PostgreSQL runs without fsync here: processes die, the machine does not.
        with tempfile.TemporaryDirectory(prefix="onboarding-faults-", dir=memory_folder()) as folder:
            yield f"sqlite:///{Path(folder) / 'onboarding.sqlite3'}"


def run(name: str, seed: int, flows: int) -> int:
    """Rounds on fresh databases; gives the number of findings."""
    if name == "postgres" and postgres_programs() is None:
        print(f"faults on {name}: skipped, there are no PostgreSQL programs on this machine")
        return 1 if os.environ.get("CI") else 0
    findings = 0
    for start in range(0, flows, MOST_IN_A_ROUND):
        several = min(MOST_IN_A_ROUND, flows - start)
        print(f"faults on {name}: --seed {seed} --flows {several} --database {name}", flush=True)
        with fresh_database(name) as address:
            found = Run(address, seed, several).go()
        for text in found:
            print(f"  {name}, seed {seed}: {text}", flush=True)
        findings += len(found)
        seed += 1
    print(f"faults on {name}: {findings} findings", flush=True)
    return findings


def both(seed: int, flows: int) -> int:
    """Each database by a process of its own: one waits while the other works."""
    env = {**os.environ, "PYTEST_XDIST_TESTRUNUID": secrets.token_hex(16)}  # static files are collected once
    command = [sys.executable, "-m", "tests.faults", "--seed", str(seed), "--flows", str(flows), "--database"]
    running = [subprocess.Popen([*command, name], cwd=ROOT, env=env) for name in ("sqlite", "postgres")]
    return sum(process.wait() for process in running)


def main() -> int:
    parser = argparse.ArgumentParser(description="Breaks the way to the upstream everywhere, and compares the books.")
    # CI breaks the same things every time, so that what it says is about the change.
    parser.add_argument("--seed", type=int, default=1 if os.environ.get("CI") else secrets.randbelow(10**6))
    parser.add_argument("--flows", type=int, default=1000, help="on each database")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    given = parser.parse_args()
    wrong = both(given.seed, given.flows) if given.database == "both" else run(given.database, given.seed, given.flows)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
