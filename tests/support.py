"""What the tests share: real server processes, a real database file or cluster, and a customer without a browser."""

from __future__ import annotations

import contextlib
import fcntl
import html
import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import altcha
import requests
from PIL import Image

from onboarding.sandbox.server import Sandbox

ROOT = Path(__file__).resolve().parent.parent
TEST_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(50)  # a key that stands in a file is refused


def memory_folder() -> Path | None:
    """A folder in memory, where there is one with room: databases of tests outlive processes, never the machine.

    On a disk each SQLite file is flushed when its last connection closes, which is tens of milliseconds on a busy one.
    """
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3
    return memory if roomy else None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or secrets.token_hex(16)  # the same in all processes of a test run


def _once(name: str, make: Callable[[], object]) -> None:
    """Does it once per test run, in the process that comes first; the others wait for that."""
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / f"tests.{name}").open("a+") as done:
        fcntl.flock(done, fcntl.LOCK_EX)
        done.seek(0)
        if done.read() != _RUN:
            make()
            done.truncate(0)
            done.write(_RUN)


class Server:
    """One production server process of the front end, on loopback, with its own settings."""

    application = "onboarding.wsgi:application"

    def __init__(self, *, database: str, upstream: str, threads: int = 48, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.threads = threads
        self.env = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "PYTHONPATH")},
            "SECRET_KEY": TEST_KEY,
            "ALLOWED_HOSTS": "127.0.0.1,localhost,.localhost,onboarding.test",
            "LOG_FORMAT": "json",
            "DATABASE_URL": database,
            "UPSTREAM_BASE_URL": upstream,
            "UPSTREAM_COMPANY_ID": "439",
            "PUBLIC_URL": self.url,
            "SIGN_IN_URL": "https://trading.example/sign-in",
            "SUPPORT_URL": "https://trading.example/support",
            "TERMS_URL": "https://trading.example/{lang}/terms",
            "PRIVACY_URL": "https://trading.example/{lang}/privacy",
            "LIMIT_ADDRESS": "off",  # everybody in the tests comes from one address
            **settings,
        }
        self.log = Path(tempfile.mkstemp(prefix="onboarding-", suffix=".log")[1])
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.env, check=check, capture_output=True, text=True, timeout=120)

    def migrate(self) -> Server:
        """Makes the database: a new SQLite file is a copy of one that went through the migrations."""
        path = Path(self.env["DATABASE_URL"].removeprefix("sqlite:///"))
        if not self.env["DATABASE_URL"].startswith("sqlite:///") or path.exists():
            self._migrate()
            return self
        template = ROOT / "var" / "tests.template.sqlite3"

        def make() -> None:
            template.unlink(missing_ok=True)
            Server(database=f"sqlite:///{template}", upstream=self.env["UPSTREAM_BASE_URL"])._migrate()

        _once("migrated", make)
        shutil.copyfile(template, path)
        return self

    def _migrate(self) -> None:
        self.manage("migrate", "--verbosity", "0")

    def start(self) -> Server:
        command = [
            sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", self.env.get("GRANIAN_WORKERS", "1"), "--blocking-threads", str(self.threads),
            "--no-access-log", "--log-level", "error", self.application,
        ]  # fmt: skip
        # Hashed and compressed static files, as in production.
        _once("static", lambda: self.manage("collectstatic", "--noinput", "--verbosity", "0"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120  # against what hangs, not against a busy machine
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                if requests.get(self.url + "/healthz", timeout=5).ok:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-4000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(timeout=15)

    def workers(self) -> list[int]:
        """The processes that answer, by their numbers."""
        assert self.process is not None
        found = []
        for name in os.listdir("/proc"):
            with contextlib.suppress(ProcessLookupError):
                if name.isdigit() and os.getpgid(int(name)) == self.process.pid != int(name):
                    found.append(int(name))
        return found

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self.log.unlink(missing_ok=True)


@contextlib.contextmanager
def running(sandbox: Sandbox, database: str, **settings: str) -> Iterator[Server]:
    """A server on a migrated database in front of the sandbox."""
    server = Server(database=database, upstream=sandbox.url + "/api", **settings)
    with server.migrate():
        yield server


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


def postgres_programs() -> Path | None:
    """The folder with initdb and postgres: the newest of Debian's, else that of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextlib.contextmanager
def postgres_cluster() -> Iterator[str]:
    """A throw-away cluster on loopback; gives the address of a fresh database."""
    programs = postgres_programs()
    if programs is None:
        raise RuntimeError("no PostgreSQL programs were found")
    folder = Path(tempfile.mkdtemp(prefix="onboarding-pg-"))
    port = free_port()
    prefix: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "nobody")
        prefix = (
            ["setpriv", "--reuid=nobody", "--clear-groups"]
            if shutil.which("setpriv")
            else ["runuser", "-u", "nobody", "--"]
        )
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run([*prefix, *command], check=True, capture_output=True, cwd=folder, timeout=120)

    run(str(programs / "initdb"), "-D", str(data), "-U", "onboarding", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    options += " -c max_connections=200"
    run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgres://onboarding@127.0.0.1:{port}/postgres"
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


# -- A customer without a browser --------------------------------------------------------------------------------------


def picture(width: int = 80, height: int = 50, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, kind)
    return buffer.getvalue()


@dataclass
class Shown:
    """What a response shows."""

    response: requests.Response

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def text(self) -> str:
        return self.response.text

    def _main(self, attribute: str) -> str:
        found = re.search(rf'<main id="step"[^>]*\sdata-{attribute}="([^"]*)"', self.text)
        return html.unescape(found.group(1)) if found else ""

    @property
    def step(self) -> str:
        return self._main("step")

    @property
    def problem(self) -> str:
        return self._main("problem")

    @property
    def level(self) -> str:
        return self._main("level")

    @property
    def reference(self) -> str:
        return self._main("reference")

    @property
    def errors(self) -> dict[str, str]:
        """Field id → text of the error beside it."""
        found = re.findall(
            r'<p class="error" id="([^"]+)-error">(?:<span[^>]*>!</span>)?(.*?)</p>', self.text, re.DOTALL
        )
        return {html.unescape(name): html.unescape(text).strip() for name, text in found}

    @property
    def summary(self) -> list[str]:
        found = re.search(r'id="error-summary".*?</ul>', self.text, re.DOTALL)
        items = re.findall(r"<li>(.*?)</li>", found.group(0), re.DOTALL) if found else []
        return [html.unescape(re.sub(r"<[^>]+>", "", item)).strip() for item in items]

    def value(self, name: str) -> str:
        """The value of an input, or of the chosen option of a select."""
        tag = re.search(rf'<input[^>]*\sname="{re.escape(name)}"[^>]*>', self.text)
        if tag:
            found = re.search(r'\svalue="([^"]*)"', tag.group(0))
            return html.unescape(found.group(1)) if found else ""
        select = re.search(rf'<select[^>]*\sname="{re.escape(name)}".*?</select>', self.text, re.DOTALL)
        chosen = re.search(r'<option value="([^"]*)"[^>]* selected', select.group(0)) if select else None
        return html.unescape(chosen.group(1)) if chosen else ""

    @property
    def challenge(self) -> dict[str, Any] | None:
        """The work that the page asks for."""
        found = re.search(r'id="challenge"[^>]* data-work="([^"]*)"', self.text)
        return json.loads(html.unescape(found.group(1))) if found else None

    @property
    def waiting(self) -> int:
        """Seconds that the page asks to wait where no script does the work."""
        found = re.search(r'id="challenge"[^>]* data-wait="(\d+)"', self.text)
        assert found, "nothing is asked"
        return int(found.group(1))

    @property
    def proof(self) -> dict[str, str]:
        """The fields that a script adds once it has done the work."""
        assert self.challenge, "nothing is asked"
        return {"ticket": self.value("ticket"), "proof": solution_of(self.challenge)}


@dataclass
class Customer:
    """Walks the flow over HTTP as a browser without script would, and notes any cookie it is given."""

    server: Server
    sandbox: Sandbox
    headers: dict[str, str] = field(default_factory=dict)
    session: requests.Session = field(default_factory=requests.Session)
    shown: Shown = field(init=False)

    @property
    def flow_url(self) -> str:
        return re.sub(r"(/f/[^/]+/).*", r"\1", self.shown.response.url)

    def _note(self, response: requests.Response) -> Shown:
        for hop in (*response.history, response):
            assert "Set-Cookie" not in hop.headers, f"a cookie on {hop.url}"
            assert hop.status_code != 500, hop.text[:500]
        self.shown = Shown(response)
        return self.shown

    def get(self, url: str = "/", **query: str) -> Shown:
        full = url if url.startswith("http") else self.server.url + url
        return self._note(self.session.get(full, params=query, headers=self.headers, timeout=60))

    def post(self, url: str, data: dict[str, Any], files: Any = None, **headers: str) -> Shown:
        full = url if url.startswith("http") else self.server.url + url
        return self._note(
            self.session.post(full, data=data, files=files, headers={**self.headers, **headers}, timeout=90)
        )

    def identify(self, path: str = "/", query: dict[str, str] | None = None, **answers: str) -> Shown:
        """Opens the first page and answers it; by e-mail to a fresh address unless told otherwise."""
        channel = "phone" if "phone" in answers else "email"
        self.get(path, **{"channel": channel, **(query or {})})
        data = {
            "landing": self.shown.value("landing"), "channel": channel, "account_type": "individual", "country": "GB",
            "terms": "on",
        }  # fmt: skip
        data |= {"phone_area": "GB"} if channel == "phone" else {"email": fresh_email()}
        self.sent = data | answers
        return self.post(path, {k: v for k, v in self.sent.items() if v is not None})

    def password(self, password: str = "", **data: str) -> Shown:
        return self.post(
            self.flow_url + "password/", {"password": password, **({} if password else {"skip": "1"}), **data}
        )

    def code(self) -> str:
        """The newest code that the sandbox sent to this customer."""
        to = self.sent.get("email") or self.sent["phone"]
        digits = re.sub(r"\D", "", to)
        for message in self.sandbox.inbox():
            if message["to"] == to or (
                message["channel"] == "phone" and re.sub(r"\D", "", message["to"]).endswith(digits[-9:])
            ):
                return str(message["code"])
        raise AssertionError("no code was sent")

    def verify(self, code: str = "") -> Shown:
        return self.post(self.flow_url + "verify/", {"code": code or self.code()})

    def register(self, *, password: str = "", **answers: Any) -> Shown:
        """The whole way to the first step after the registration."""
        self.identify(**answers)
        if self.shown.step == "password":
            self.password(password)
        assert self.shown.step == "verify", (self.shown.status, self.shown.step, self.shown.summary)
        return self.verify()

    def wait(self, seconds: float = 12.0) -> Shown:
        """Looks at the status step until it moves on, as a page without script does every few seconds."""
        deadline = time.monotonic() + seconds
        while self.shown.step == "status" and time.monotonic() < deadline:
            time.sleep(0.3)
            self.get(self.flow_url)
        return self.shown

    def level(self, *, files: dict[str, Any] | None = None, **answers: str) -> Shown:
        """Answers the sandbox's default level; keyword `birthday="…"` fills `el-birthday`."""
        data = {
            "level": self.shown.level, "el-name": "Ann Example", "el-birthday": "1990-05-17",
            "el-id_card_type-kind": "passport", "el-id_card_type-number": "E12345678",
        }  # fmt: skip
        data |= {f"el-{name}": value for name, value in answers.items()}
        pictures = {"el-proof_of_passpord": ("passport.png", picture(), "image/png")} if files is None else files
        return self.post(self.flow_url + "level/", data, files=pictures)


def solution_of(work: dict[str, Any]) -> str:
    """What a browser's script answers to this challenge."""
    challenge = altcha.Challenge.from_dict(work)
    solved = altcha.solve_challenge(challenge)
    assert solved is not None
    return altcha.Payload(challenge, solved).to_base64()


def fresh_email(tag: str = "") -> str:
    return f"ann.{secrets.token_hex(5)}{'+' + tag if tag else ''}@example.org"


def fresh_phone(suffix: str = "000") -> str:
    """A British mobile number whose last digits choose the scenario."""
    return "740" + f"{secrets.randbelow(10_000):04}" + suffix
