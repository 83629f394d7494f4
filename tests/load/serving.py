"""Server processes of which only their own CPU counts, and a visitor who is told apart from it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from onboarding.sandbox.server import Sandbox
from tests.load.lines import ROUNDS
from tests.support import ROOT, TEST_KEY, Server, free_port

PEERS = ROOT / ".venv-bench" / "bin" / "python"


def cpu_ms(processes: list[int]) -> float:
    """CPU of all threads of these processes until now, in milliseconds; to the nanosecond, unlike `times`."""
    found = 0
    for process in processes:
        for thread in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                found += int((thread / "schedstat").read_text().split()[0])
    return found / 1e6


class Measured:
    """The CPU that a server's processes use for what is done meanwhile."""

    def __init__(self, processes: list[int]) -> None:
        self.processes = processes

    def per(self, times: int, action: Callable[[], object]) -> float:
        """Milliseconds for one of so many."""
        before = cpu_ms(self.processes)
        action()
        return (cpu_ms(self.processes) - before) / times


def taking_turns(actions: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """The median of what each gives; all of them once in every round."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            taken[name].append(action())
    return {name: statistics.median(values) for name, values in taken.items()}


class OurServer(Server):
    application = "tests.load.floors:application"


@contextlib.contextmanager
def ours(sandbox: Sandbox, **settings: str) -> Iterator[Server]:
    """One worker as in production, on SQLite, with the floors beside our pages."""
    with tempfile.TemporaryDirectory() as folder:
        server = OurServer(
            database=f"sqlite:///{folder}/bench.sqlite3", upstream=sandbox.url + "/api", threads=16,
            **{"PROOF_OF_WORK": "off", "RESEND_COOLDOWN": "0", **settings},
        )  # fmt: skip
        with server.migrate():
            yield server


@dataclass(frozen=True)
class Peer:
    url: str
    mail: Path  # a folder with a file for each e-mail
    cpu: Measured

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def code(self, address: str) -> str:
        """The verification code that this address was sent. Each is read once."""
        for file in self.mail.glob("*.log"):
            text = file.read_text()
            if f"To: {address}" in text:
                file.unlink()
                found = re.search(r"^\s*([A-Z0-9]{3,4}-?[A-Z0-9]{3,4})\s*$", text, re.MULTILINE)
                assert found, text
                return found.group(1)
        raise AssertionError("no code was sent")


@contextlib.contextmanager
def allauth(hasher: str) -> Iterator[Peer]:
    """The same server with django-allauth in it."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"], "SECRET_KEY": TEST_KEY, "PEER_DATABASE": f"{folder}/peer.sqlite3",
            "HASHER": hasher, "PEER_MAIL": folder,
        }  # fmt: skip
        subprocess.run([PEERS, "-m", "tests.load.peer"], cwd=ROOT, env=environment, check=True)
        command = [
            str(PEERS), "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--blocking-threads", "16", "--no-access-log", "--log-level", "error",
            "tests.load.peer:application",
        ]  # fmt: skip
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sys.stderr, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url)
            yield Peer(url, Path(folder), Measured(children(process.pid)))
        finally:
            os.killpg(process.pid, 15)
            process.wait(15)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(url, timeout=5)
            return
        time.sleep(0.05)
    raise RuntimeError(f"{url} does not answer")


def children(leader: int) -> list[int]:
    """The processes of a group besides its leader."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(ProcessLookupError):
            if name.isdigit() and os.getpgid(int(name)) == leader != int(name):
                found.append(int(name))
    return found


class Visitor:
    """Asks again and again over one connection."""

    def __init__(self, port: int) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path: str, headers: dict[str, str] | None = None) -> bytes:
        return self._ask("GET", path, None, headers or {}, 200)

    def post(self, path: str, body: bytes, status: int = 303) -> bytes:
        return self._ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"}, status)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int) -> bytes:
        self._line.request(method, path, body, headers)
        answer = self._line.getresponse()
        content = answer.read()
        assert answer.status == status, (path, answer.status, content[:300])
        return content
