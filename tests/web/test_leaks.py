"""Marked values go through every path, good and bad; then all that the front end put out is searched for them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from PIL import Image

from onboarding.sandbox.server import Sandbox
from onboarding.sealing import seal
from tests.console import Operator
from tests.support import Customer, Server, fresh_email, fresh_phone, postgres_programs
from tests.web.test_webhooks import Receiver, add_partner

PASSWORD = "correct horse marked"
NETWORK = "203.0.113"  # as the proxy in front tells it: each customer has an address of his own there
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:177.0) Gecko/20100101 Firefox/177.0"
FIXED = (
    "marked.person", "Marked-Name", "E99887766", "1977-07-07", "237081600000", PASSWORD,
    hashlib.md5(PASSWORD.encode()).hexdigest(), NETWORK, "Firefox 177", "marked-captcha", "marked-passport",
)  # fmt: skip
SETTINGS = {
    "UPSTREAM_READ_TIMEOUT": "2", "UPSTREAM_CONNECT_TIMEOUT": "1", "TRUSTED_PROXY_COUNT": "1",
    "CAPTCHA_PROVIDER": "recaptcha", "CAPTCHA_SITE_KEY": "site-key", "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    "CONTINUE_URL": "https://trading.example/?t={token}", "METRICS_TOKEN": "a-token-to-read-metrics",
    "PYTHONFAULTHANDLER": "1",
}  # fmt: skip
CAPTCHA = {"g-recaptcha-response": "marked-captcha"}
TAGS = (
    "", "weak", "drop", "error500", "garbage", "exists", "refused", "limit", "review", "ratelimit", "hang", "badcode",
    "notoken", "expired", "badagent", "kycdrop", "rejected", "idtaken", "badfile", "filedrop", "paths", "badpattern",
    "captcha", "waf",
)  # fmt: skip


_numbers = itertools.count(1)


def headers() -> dict[str, str]:
    return {"X-Forwarded-For": f"{NETWORK}.{next(_numbers)}", "User-Agent": BROWSER}


def _picture() -> bytes:
    """One whose bytes are found again, whole or drawn anew."""
    made = Image.frombytes("RGB", (64, 64), hashlib.sha256(b"marked").digest() * 384)
    buffer = io.BytesIO()
    made.save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = _picture()


@dataclass
class Marks:
    """What only the customer and the upstream may know, as far as it came up."""

    handles: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=lambda: {"931746"})  # one that is typed and never sent
    phones: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    references: dict[str, str] = field(default_factory=dict)  # by what was registered with

    def all(self) -> list[str]:
        return [*FIXED, *self.handles, *self.codes, *self.phones, *self.tokens]

    def see(self, customer: Customer) -> None:
        found = re.search(r"/[fh]/([^/]+)/", customer.shown.response.url)
        if found:
            self.handles.add(found.group(1))
        for secret in re.findall(r"/h/([A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})/", customer.shown.text):
            self.handles.add(secret)
        if customer.shown.reference and hasattr(customer, "sent"):
            self.references[customer.sent.get("email") or customer.sent["phone"]] = customer.shown.reference


def walk(server: Server, sandbox: Sandbox, marks: Marks, tag: str) -> None:
    """The whole way of one customer, with everything typed wrong once on it."""
    customer = Customer(server, sandbox, headers=headers())
    email = f"marked.person.{os.urandom(4).hex()}{'+' + tag if tag else ''}@example.org"
    query = {"email": email, "utm_source": email, "utm_campaign": "open", "b_superiorAgent": "77"}
    customer.identify("/p/acme/", query=query, email="marked.person@@example.org", **CAPTCHA)
    customer.identify("/p/acme/", query=query, email=email, **CAPTCHA)
    marks.see(customer)
    customer.password(PASSWORD[:5])
    customer.password(PASSWORD, **CAPTCHA)
    marks.see(customer)
    for _ in range(2):
        if customer.shown.problem == "busy":  # no code was sent yet
            customer.post(customer.flow_url + "resend/", CAPTCHA)
    if customer.shown.problem == "busy":
        customer.get(customer.flow_url)
    if customer.shown.step in ("password", "verify"):
        if customer.shown.step == "password":
            customer.password(PASSWORD + " again")
        marks.codes.add(customer.code())
        for code in ("931746", customer.code()):
            customer.post(customer.flow_url + "verify/", {"code": code, **CAPTCHA})
        customer.wait(8)
        if customer.shown.step == "verify":
            customer.post(customer.flow_url + "verify/", {"code": customer.code(), "without_agent": "1", **CAPTCHA})
        marks.see(customer)
        if customer.shown.step == "password":
            customer.password(PASSWORD + "!")
    levels(customer)
    marks.see(customer)
    customer.post(customer.flow_url + "handover/", {})
    marks.see(customer)
    home = customer.flow_url
    customer.post(home + "password/", {"password": PASSWORD})  # over: 409
    customer.post(home + "verify/", {"code": "931746"}, Origin="https://evil.example")  # foreign: 403
    customer.post(home + "password/", {"password": PASSWORD * 5000})  # 413
    customer.session.close()  # the server has: it read no more
    customer.get(home[:-4] + "xyz/")  # 404
    customer.get("/nothing/marked.person@example.org")
    if tag in ("", "exists", "rejected"):
        customer.post(home + "delete/", {})


def levels(customer: Customer) -> None:
    if customer.shown.step == "path":
        found = re.search(r'name="path" value="([^"]+)"', customer.shown.text)
        customer.post(
            customer.flow_url + "path/", {"path": found.group(1) if found else "", "level": customer.shown.level}
        )
    files = {"el-proof_of_passpord": ("marked-passport.png", PICTURE, "image/png")}
    for number in ("x", "E99887766"):
        if customer.shown.step != "level":
            return
        data = {"level": customer.shown.level, "field": "el-proof_of_passpord"}
        customer.post(customer.flow_url + "upload/", data, files=files)
        if customer.shown.step != "level":
            customer.get(customer.flow_url)
        customer.level(name="Marked-Name", birthday="1977-07-07", files=files, **{"id_card_type-number": number})


class Parrot:
    """An upstream that answers whatever it is asked with what it was asked, as badly as can be."""

    HOW = ("text", "message", "code", "data", "header", "status", "cut")

    def __init__(self) -> None:
        outer, self.asked = self, 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.answer(
                    self, self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
                )

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, body: str) -> None:
        how, self.asked = self.HOW[self.asked % len(self.HOW)], self.asked + 1
        quoted = next((mark for mark in FIXED if mark in body), body[:40])
        told = {
            "text": f"<h1>{body}</h1>",
            "message": json.dumps({"code": "CUSTOMER_API_0000999", "msg": body, "msgParams": body}),
            "code": json.dumps({"code": re.sub(r"[^A-Za-z0-9_.-]", "", quoted)[:60], "msg": body}),
            "data": json.dumps({"code": "0", "data": [body, {quoted: quoted}]}),
        }.get(how, "{" + body)
        if how == "status":
            handler.wfile.write(f"HTTP/1.1 2xx {quoted}\r\n\r\n".encode())
            return
        handler.send_response(200, quoted if how == "cut" else None)
        handler.send_header("Content-Length", str(len(told.encode()) + (9 if how == "cut" else 0)))
        if how == "header":
            handler.send_header("Retry-After", quoted)
            handler.send_header("x-quoted", quoted)
        handler.end_headers()
        handler.wfile.write(told.encode())
        handler.close_connection = True


@dataclass
class Aftermath:
    """Everything that came out of the front end."""

    marks: Marks
    sandbox: Sandbox
    log: str = ""
    console_log: str = ""
    commands: str = ""
    metrics: str = ""
    events: str = ""
    admin: dict[str, str] = field(default_factory=dict)
    columns: str = ""
    files: bytes = b""
    environment: bytes = b""


@pytest.fixture(scope="module")
def aftermath(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    path = tmp_path_factory.mktemp("leaks") / "leaks.sqlite3"
    with contextlib.ExitStack() as stack:
        receiver, parrot = Receiver(), Parrot()
        stack.callback(receiver.close)
        stack.callback(parrot.server.shutdown)
        server = Server(database=f"sqlite:///{path}", upstream=sandbox.url + "/api", **SETTINGS)
        server.application = "tests.verbose:application"
        server.manage("migrate", "--verbosity", "0")
        add_partner(server, "acme", receiver.url + "/200/")
        stack.enter_context(server)
        found = Aftermath(Marks(), sandbox)
        with ThreadPoolExecutor(9) as pool:
            list(pool.map(lambda tag: walk(server, sandbox, found.marks, tag), TAGS))
        by_phone(server, sandbox, found.marks)
        operate(server, found)
        quarrel(server, parrot, found)
        break_things(server, sandbox, found)
        found.metrics = requests.get(
            server.url + "/metrics", headers={"Authorization": "Bearer a-token-to-read-metrics"}, timeout=30
        ).text
        with ThreadPoolExecutor(5) as pool:
            commands = ("settle", "webhooks", "rollup", "reseal", "purge")
            for done in pool.map(lambda command: server.manage(command, check=False), commands):
                found.commands += done.stdout + done.stderr
        found.events = "\n".join(one["body"].decode() for one in receiver.got)
        collect(server, path, found)
        yield found


def by_phone(server: Server, sandbox: Sandbox, marks: Marks) -> None:
    phone = fresh_phone()
    marks.phones.add(phone)
    customer = Customer(server, sandbox, headers=headers())
    customer.identify(phone="07")
    customer.identify(phone=phone)
    customer.password(PASSWORD, **CAPTCHA)
    assert customer.shown.step == "verify", (customer.shown.status, customer.shown.step, customer.shown.summary)
    customer.post(customer.flow_url + "resend/", {})  # too soon: 429
    marks.codes.add(customer.code())
    marks.see(customer)
    customer.post(customer.flow_url + "verify/", {"code": customer.code(), **CAPTCHA})
    marks.see(customer)


def operate(server: Server, found: Aftermath) -> None:
    """Every list and page of the console, and searches for what customers typed; only the box repeats that."""
    operator = Operator(server)
    for name in ("flow", "submission", "delivery", "partner", "funnel"):
        shown = operator.get(f"onboarding/{name}/").text
        found.admin[name] = shown
        for path in sorted(set(re.findall(rf"/admin/(onboarding/{name}/\d+/(?:change/)?)", shown)))[:8]:
            found.admin[path] = operator.get(path).text
        for searched in ("marked.person", next(iter(found.marks.phones)), next(iter(found.marks.codes))):
            answer = operator.get(f"onboarding/{name}/", q=searched).text
            found.admin[f"{name} {searched}"] = re.sub(rf'(value="|q=){re.escape(searched)}', "", answer)
    found.admin["index"] = operator.get("").text


def quarrel(server: Server, parrot: Parrot, found: Aftermath) -> None:
    """Another process of the same front end, in front of an upstream that quotes; its log is for people to read."""
    other = Server(database=server.env["DATABASE_URL"], upstream=parrot.url, **SETTINGS | {"LOG_FORMAT": "console"})
    other.application = "tests.verbose:application"
    with other:
        for _ in Parrot.HOW * 2:
            customer = Customer(other, found.sandbox, headers=headers())
            customer.identify(email=fresh_email().replace("ann", "marked.person"))
            customer.password(PASSWORD)
            customer.password(PASSWORD)
            found.marks.see(customer)
        assert parrot.asked > 2 * len(Parrot.HOW)
        other.stop(signal.SIGTERM)
        found.console_log = other.log.read_text()


def break_things(server: Server, sandbox: Sandbox, found: Aftermath) -> None:
    """A row that holds nonsense, a table that is gone: errors of ours, whose texts would quote what they met."""
    path = server.env["DATABASE_URL"].removeprefix("sqlite:///")
    customer = Customer(server, sandbox, headers=headers())
    customer.identify(email=f"marked.person.{os.urandom(4).hex()}@example.org")
    found.marks.see(customer)
    nonsense = seal({"identity": {"channel": "marked.person@example.org", "account_type": "Marked-Name"}})
    for statement, answers in (
        (
            f"UPDATE onboarding_flow SET personal = '{nonsense}' WHERE reference = '{customer.shown.reference}'",
            (500, 500),
        ),
        # The page says that all are busy; where the upstream may have been asked, the flow's own page is to know more.
        ("ALTER TABLE onboarding_submission RENAME TO elsewhere", (503, 303)),
    ):
        with contextlib.closing(sqlite3.connect(path)) as rows, rows:
            rows.execute(statement)
        posts = (("password/", {"password": PASSWORD}), ("verify/", {"code": "931746"}))
        for (step, data), status in zip(posts, answers, strict=True):
            answer = requests.post(
                customer.flow_url + step, data=data, headers=headers(), timeout=30, allow_redirects=False
            )
            assert answer.status_code == status, (statement[:30], step)
        found.commands += server.manage("settle", check=False).stderr
    with contextlib.closing(sqlite3.connect(path)) as rows, rows:
        rows.execute("ALTER TABLE elsewhere RENAME TO onboarding_submission")


def collect(server: Server, path: Path, found: Aftermath) -> None:
    marks = found.marks
    marks.tokens |= {r["body"].get("sendToken") for r in found.sandbox.registrations()} - {None, ""}
    marks.tokens |= {c["headers"]["token"] for c in found.sandbox.calls() if c["headers"].get("token")}
    workers = server.workers()
    assert server.process is not None
    found.environment = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in workers)
    for pid in workers:
        os.kill(pid, signal.SIGABRT)  # as a crash of the interpreter would: every thread's stack is printed
    server.process.wait(timeout=15)
    found.log = server.log.read_text()
    found.columns = server.manage("dumpdata", "onboarding", "admin", "sessions").stdout
    found.files = b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))
    with contextlib.closing(sqlite3.connect(path)) as rows:
        found.columns += "\n".join(rows.iterdump())


def quotes(mark: str, text: str) -> str:
    """Where a text quotes this mark, with a little around it; "" where it does not."""
    if mark not in text:  # far sooner than the expression would find out
        return ""
    found = re.search(rf".{{0,60}}(?<![0-9A-Za-z.:-]){re.escape(mark)}(?![0-9A-Za-z]).{{0,20}}", text)
    return found.group(0) if found else ""


def test_the_walk_met_what_it_should(aftermath: Aftermath) -> None:
    """Or the tests below would look for nothing."""
    marks = aftermath.marks
    assert (len(marks.handles) > 2 * len(TAGS), len(marks.codes) > 20, len(marks.tokens) > 20) == (True, True, True)
    statuses = {int(status) for status in re.findall(r"answer to [\w-]*: (\d+)", aftermath.log)}
    assert {303, 403, 409, 413, 422, 429} <= statuses
    for outcome in ("OutcomeUnknown", "UpstreamUnavailable", "Refused", "SessionEnded"):
        assert f" {outcome} " in aftermath.log, outcome
    assert "ODD_CODE" in aftermath.console_log and "UNREADABLE" in aftermath.console_log
    assert "builtins.ValueError" in aftermath.log and "no such table" in aftermath.log
    assert "Fatal Python error: Aborted" in aftermath.log
    assert "the command ended with an error" in aftermath.commands
    assert '"type":"registered"' in aftermath.events.replace(" ", "")
    assert len(aftermath.admin) > 30 and "onboarding_upstream_seconds" in aftermath.metrics


@pytest.mark.parametrize("output", ["log", "console_log", "commands", "metrics", "events", "columns"])
def test_no_output_quotes_a_customer(aftermath: Aftermath, output: str) -> None:
    text = getattr(aftermath, output)
    assert len(text) > 100
    assert [found for mark in aftermath.marks.all() if (found := quotes(mark, text))] == []


def test_no_page_of_the_console_quotes_a_customer(aftermath: Aftermath) -> None:
    for name, text in aftermath.admin.items():
        assert [found for mark in aftermath.marks.all() if (found := quotes(mark, text))] == [], name


def test_no_file_of_the_database_holds_anything_in_clear(aftermath: Aftermath) -> None:
    held = aftermath.files + aftermath.environment
    long = [mark.encode() for mark in aftermath.marks.all() if len(mark) > 6]
    assert [mark for mark in long if mark in held] == []
    assert PICTURE[60:120] not in held


def test_every_line_of_a_call_names_the_flow_it_was_made_for(aftermath: Aftermath) -> None:
    """So that support follows one customer from start to end by the reference, and the platform by the trace."""
    lines = [json.loads(line) for line in aftermath.log.splitlines() if line.startswith("{")]
    of_trace = {line["trace"]: line["reference"] for line in lines if line["logger"] == "onboarding.upstream"}
    checked = 0
    for call in aftermath.sandbox.calls():
        who = str((call["body"] or {}).get("loginName") or (call["body"] or {}).get("toUser") or "")
        if who in aftermath.marks.references and call["headers"]["trace"] in of_trace:
            assert of_trace[call["headers"]["trace"]] == aftermath.marks.references[who]
            checked += 1
    assert checked > 2 * len(TAGS)
    for line in lines:
        assert {"time", "level", "logger", "message", "reference", "trace"} <= set(line)
        named = re.search(r"reference ([0-9A-Z-]{11})", line["message"])
        assert named is None or line["reference"] in ("", named.group(1)), line


@pytest.mark.postgres
@pytest.mark.skipif(postgres_programs() is None, reason="no PostgreSQL programs on this machine")
def test_a_dump_of_postgresql_and_its_log_hold_nothing_in_clear(
    start_server: Callable[..., Server], sandbox: Sandbox, postgres: str
) -> None:
    server = start_server(database=postgres, **{k: v for k, v in SETTINGS.items() if k != "WEBHOOK_PRIVATE_HOSTS"})
    marks = Marks()
    server.manage("shell", "-c", "from onboarding.models import Partner; Partner(slug='acme', name='P').save()")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tag: walk(server, sandbox, marks, tag), ("drop", "refused")))
    programs = postgres_programs()
    assert programs is not None
    dump = subprocess.run([programs / "pg_dump", postgres], capture_output=True, text=True, check=True).stdout
    assert "onboarding_flow" in dump
    with psycopg.connect(postgres) as database:
        (folder,) = database.execute("SHOW data_directory").fetchone() or ("",)
    cluster_log = (Path(folder).parent / "log").read_text()
    assert "database system is ready" in cluster_log
    for text in (dump, cluster_log, server.log.read_text()):
        assert [found for mark in marks.all() if (found := quotes(mark, text))] == []
