"""Partners' webhooks: what is told, signed how, once, again when it was not taken, and never to a place inside."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from onboarding import webhook_transport, webhooks
from onboarding.sandbox.server import Sandbox
from onboarding.upstream.transport import default_tls
from tests.support import ROOT, Customer, Server, free_port, fresh_email, running

KEY = "whsec_a-key-that-only-this-test-and-the-sender-know"
OTHER_SECRET = secrets.token_urlsafe(50)
INSIDE = {"WEBHOOK_PRIVATE_HOSTS": "127.0.0.1", "PASSWORD_STEP": "off"}


def is_genuine(body: bytes, header: str, key: str, now: float, tolerance: float = 300) -> bool:
    """What docs/embedding.md tells partners to do, written without a look at the sender."""
    fields = [part.split("=", 1) for part in header.split(",")]
    at = next(value for name, value in fields if name == "t")
    if abs(now - int(at)) > tolerance:
        return False
    expected = hmac.new(key.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(value, expected) for name, value in fields if name == "v1")


class Receiver:
    """A partner's server. The first part of the path says how it behaves: a status, `hang`, `cut`, `drip` or `slow`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[dict[str, Any]] = []
        self.connections = 0
        self.stop_hanging = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.take(self)

            do_GET = do_POST

            def log_message(self, *_args: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

            def get_request(self) -> Any:
                outer.connections += 1
                return super().get_request()

            def handle_error(self, *_args: Any) -> None:
                pass

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.got.append(
            {
                "at": time.time(), "method": handler.command, "path": handler.path, "body": body,
                "headers": {name.lower(): value for name, value in handler.headers.items()},
            }
        )  # fmt: skip
        how = handler.path.split("/")[1]
        if how == "hang":
            self.stop_hanging.wait(30)
        elif how == "drip":
            for letter in "HTTP/1.1 200 OK\r\n" + "X" * 40:
                handler.wfile.write(letter.encode())
                if self.stop_hanging.wait(0.5):
                    break
        elif how == "slow":
            time.sleep(0.05)
            handler.send_response(200)
            handler.end_headers()
        elif how == "302":
            handler.send_response(302)
            handler.send_header("Location", f"{self.url}/200/elsewhere")
            handler.send_header("Set-Cookie", "a=b")
            handler.end_headers()
        elif how == "cut":
            handler.wfile.write(b"HTTP/1.1 20")
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            handler.send_response(int(how))
            handler.end_headers()
            handler.wfile.write(b"x" * 100_000 if how == "200" else b"")

    def to(self, path: str) -> list[dict[str, Any]]:
        return [one for one in self.got if one["path"].startswith(path)]

    def close(self) -> None:
        self.stop_hanging.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def told(sandbox: Sandbox, tmp_path: Path) -> Iterator[Server]:
    with running(sandbox, f"sqlite:///{tmp_path / 'told.sqlite3'}", **INSIDE) as server:
        yield server


@pytest.fixture
def outbox(tmp_path: Path) -> Server:
    """The same without customers: only commands run."""
    server = Server(database=f"sqlite:///{tmp_path / 'told.sqlite3'}", upstream="http://127.0.0.1:9/api", **INSIDE)
    server.migrate()
    return server


def shell(server: Server, code: str) -> Any:
    """Runs the lines with everything of ours at hand; gives what they leave in `result`."""
    head = (
        "import json\nfrom datetime import timedelta\nfrom django.utils import timezone\n"
        "from onboarding import webhooks\nfrom onboarding.models import *\nnow = timezone.now()\nresult = None\n"
    )
    done = server.manage("shell", "-c", f"{head}{code}\nprint()\nprint(json.dumps(result, default=str))", check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def add_partner(server: Server, slug: str, url: str, key: str = KEY) -> None:
    shell(server, f"Partner(slug={slug!r}, name='P', webhook_url={url!r}, webhook_keys={{'now': {key!r}}}).save()")


def add_tests(server: Server, **urls: str) -> None:
    """A partner for each address, and one test event for it."""
    shell(
        server,
        f"for slug, url in {urls!r}.items():\n"
        f"    partner = Partner(slug=slug, name='P', webhook_url=url, webhook_keys={{'now': {KEY!r}}})\n"
        "    partner.save()\n    webhooks.tell_test(partner, now=now)",
    )


def rows(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shell(server, "result = list(Delivery.objects.order_by('id').values())")
    return found


def one_row(server: Server) -> dict[str, dict[str, Any]]:
    return {row["partner"]: row for row in rows(server)}


def seconds_until(row: dict[str, Any]) -> float:
    return (datetime.fromisoformat(row["next_at"]) - datetime.now(UTC)).total_seconds()


def background(server: Server, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "webhooks", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(seen: Callable[[], Any], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not seen() and time.monotonic() < end:
        time.sleep(0.05)
    assert seen()


# -- What is told ------------------------------------------------------------------------------------------------------


def test_a_registration_is_told_signed_and_once(sandbox: Sandbox, told: Server, receiver: Receiver) -> None:
    address = f"{receiver.url}/200/hook?secret=s3cr3t-in-the-address"
    add_partner(told, "acme", address)
    customer = Customer(told, sandbox)
    email = fresh_email()
    customer.identify("/p/acme/", query={"utm_source": "letter"}, email=email)
    code, reference = customer.code(), customer.shown.reference
    old = customer.flow_url + "verify/"
    with Server(database=told.env["DATABASE_URL"], upstream=told.env["UPSTREAM_BASE_URL"], **INSIDE) as other:
        again = old.replace(told.url, other.url)
        with ThreadPoolExecutor(8) as pool:  # the same answer from all sides, on two processes
            list(pool.map(lambda n: requests.post((old, again)[n % 2], data={"code": code}, timeout=60), range(8)))
    customer.post(old, {"code": code})
    assert customer.level().step == "done"
    told.manage("settle", check=False)
    assert customer.get(customer.flow_url).step == "done"  # the checks are passed when it is looked at again

    run = told.manage("webhooks", check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "4 taken, 0 to be tried again, 0 given up"), run.stderr
    assert told.manage("webhooks").stdout.startswith("0 taken")
    assert len(receiver.got) == 4
    told_of = []
    for one in receiver.got:
        body = json.loads(one["body"])
        told_of.append((body["type"], body["payload"]))
        headers = one["headers"]
        assert one["method"] == "POST"
        assert one["path"] == "/200/hook?secret=s3cr3t-in-the-address"
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"].startswith("onboarding-webhooks/")
        assert headers["host"] == f"127.0.0.1:{receiver.port}"
        assert headers["onboarding-event"] == body["event"]
        assert is_genuine(one["body"], headers["onboarding-signature"], KEY, time.time())
        assert not is_genuine(one["body"] + b" ", headers["onboarding-signature"], KEY, time.time())
        assert not is_genuine(one["body"], headers["onboarding-signature"], KEY + "x", time.time())
        assert not is_genuine(one["body"], headers["onboarding-signature"], KEY, time.time() + 301)
        assert not {"cookie", "authorization"} & set(headers)
        assert (body["version"], body["partner"], body["reference"]) == (1, "acme", reference)
        assert body["attribution"] == {"utm_source": "letter"}
        for private in (email, email.split("@")[0], "Ann", "1990-05-17", "E12345678", "passport", customer.flow_url):
            assert private.encode() not in one["body"]
    (number,) = [r["customerNo"] for r in sandbox.registrations() if r["body"]["loginName"] == email]
    assert sorted(told_of, key=str) == [
        ("done", {"outcome": "in_review"}), ("done", {"outcome": "passed"}),
        ("registered", {"customerNo": number}), ("submitted", {"level": "level_1"}),
    ]  # fmt: skip
    found = rows(told)
    assert len(found) == len({row["event"] for row in found}) == 4
    assert {(row["next_at"], row["answer"], row["tries"]) for row in found} == {(None, "200", 1)}
    for row in found:
        assert re.search(rf"webhook {row['event']} of partner acme: 200 \(taken\), try 1", run.stderr)
    for secret in ("s3cr3t", KEY, email, "whsec_"):
        assert secret not in run.stderr + run.stdout + told.log.read_text()


def test_a_partner_without_an_address_is_told_nothing(sandbox: Sandbox, told: Server) -> None:
    shell(told, "Partner(slug='quiet', name='P').save()")
    Customer(told, sandbox).register(path="/p/quiet/")
    assert rows(told) == []


def test_a_telephone_number_is_not_told(sandbox: Sandbox, told: Server, receiver: Receiver) -> None:
    add_partner(told, "acme", f"{receiver.url}/204")
    customer = Customer(told, sandbox)
    customer.register(path="/p/acme/", query={"utm_term": "+447400123456"}, phone="7400123000")
    told.manage("webhooks")
    (one,) = receiver.got
    assert b"7400123" not in one["body"]
    assert b"7400 123" not in one["body"]


# -- Again, and when it ends -------------------------------------------------------------------------------------------


def test_what_is_not_taken_is_tried_again_later_and_then_given_up(outbox: Server, receiver: Receiver) -> None:
    add_tests(
        outbox,
        broken=f"{receiver.url}/500", hangs=f"{receiver.url}/hang", drips=f"{receiver.url}/drip",
        cut=f"{receiver.url}/cut", closed=f"http://127.0.0.1:{free_port()}/", moved=f"{receiver.url}/302",
        gone=f"{receiver.url}/410", fine=f"{receiver.url}/204", nameless="https://no-such-name.invalid/",
        none="",
    )  # fmt: skip
    run = outbox.manage("webhooks", check=False)
    assert (run.returncode, run.stdout.strip()) == (1, "1 taken, 8 to be tried again, 1 given up")
    after = one_row(outbox)
    assert {slug: row["answer"] for slug, row in after.items()} == {
        "broken": "500", "hangs": "timeout", "drips": "timeout", "cut": "line cut", "closed": "no connection",
        "moved": "302", "gone": "410: wants no more of this", "fine": "204", "nameless": "name not found",
        "none": "no address",
    }  # fmt: skip
    for slug, row in after.items():
        if slug in ("gone", "fine"):
            assert row["next_at"] is None
            assert bool(row["taken_at"]) is (slug == "fine")
        else:
            assert 30 * 0.8 - 20 < seconds_until(row) <= 30 * 1.2, slug
    assert receiver.to("/200/elsewhere") == []  # no redirect is followed
    shell(outbox, "Delivery.objects.exclude(next_at=None).update(next_at=now + timedelta(hours=1))")
    assert outbox.manage("webhooks").stdout.startswith("0 taken, 0 to")  # nothing is due

    time.sleep(1.1)  # so that the second try's time stamp is another one
    shell(outbox, "Delivery.objects.filter(partner__in=['broken', 'moved']).update(next_at=now)")
    outbox.manage("webhooks", check=False)
    first, second = receiver.to("/500")
    assert first["body"] == second["body"]
    assert first["headers"]["onboarding-event"] == second["headers"]["onboarding-event"]
    assert first["headers"]["onboarding-signature"] != second["headers"]["onboarding-signature"]
    for one in (first, second):
        assert is_genuine(one["body"], one["headers"]["onboarding-signature"], KEY, one["at"], tolerance=2)
    assert "cookie" not in receiver.to("/302")[1]["headers"]
    row = one_row(outbox)["broken"]
    assert row["tries"] == 2
    assert 120 * 0.8 - 10 < seconds_until(row) <= 120 * 1.2

    shell(outbox, "Delivery.objects.filter(partner='broken').update(next_at=now, tries=10)")
    run = outbox.manage("webhooks", check=False)
    row = one_row(outbox)["broken"]
    assert (row["next_at"], row["taken_at"], row["answer"]) == (None, None, "500, the last try")
    assert "(given up), try 11" in run.stderr
    shell(outbox, "webhooks.try_again(Delivery.objects.filter(partner='broken'), now=now)")
    outbox.manage("webhooks", check=False)
    assert one_row(outbox)["broken"]["tries"] == 1


def test_pauses_grow_to_about_three_days() -> None:
    pauses = [webhooks.pause_after(tries) for tries in range(1, 12)]
    assert pauses[10] is None
    hours = sum(pause.total_seconds() for pause in pauses if pause) / 3600
    assert 67.2 * 0.8 <= hours <= 67.2 * 1.2
    assert len({webhooks.pause_after(1) for _ in range(20)}) > 1


def test_old_events_are_purged(outbox: Server) -> None:
    add_tests(outbox, taken="", waiting="", young="")
    shell(
        outbox,
        "Delivery.objects.exclude(partner='young').update(made_at=now - timedelta(days=31))\n"
        "Delivery.objects.exclude(partner='waiting').update(next_at=None)",
    )
    outbox.manage("purge")
    assert set(one_row(outbox)) == {"waiting", "young"}


# -- Several at once ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    """A migrated database of either kind, without a server: only commands run."""
    database = f"sqlite:///{tmp_path / 'either.sqlite3'}"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres")
    server = Server(database=database, upstream="http://127.0.0.1:9/api", **INSIDE)
    server.migrate()
    return server


def test_processes_at_once_deliver_each_event_once(either: Server, receiver: Receiver) -> None:
    slugs = [f"at-once-{n}" for n in range(6)]
    shell(
        either,
        f"for slug in {slugs!r}:\n"
        f"    partner = Partner(slug=slug, name='P', webhook_url='{receiver.url}/slow/' + slug,\n"
        f"                      webhook_keys={{'now': {KEY!r}}})\n"
        "    partner.save()\n"
        "    for _ in range(20):\n        webhooks.tell_test(partner, now=now)",
    )
    processes = [background(either) for _ in range(3)]
    ends = [process.communicate(timeout=100) for process in processes]
    assert {process.returncode for process in processes} == {0}, ends
    times = Counter(one["headers"]["onboarding-event"] for one in receiver.got)
    assert len(times) == 120
    assert set(times.values()) == {1}
    taken = [int(out.split()[0]) for out, _err in ends]
    assert sum(taken) == 120
    assert sum(n > 0 for n in taken) >= 2, taken  # they really worked at once


def test_a_killed_process_leaves_its_event_to_another_one(outbox: Server, receiver: Receiver) -> None:
    add_tests(outbox, acme=f"{receiver.url}/hang")
    process = background(outbox, "--loop")
    wait_for(lambda: receiver.got)
    process.kill()
    process.communicate(timeout=10)
    outbox.manage("webhooks")
    assert len(receiver.got) == 1  # still leased
    row = one_row(outbox)["acme"]
    assert 60 < seconds_until(row) <= 120
    shell(outbox, f"Delivery.objects.update(next_at=now)\nPartner.objects.update(webhook_url='{receiver.url}/200')")
    outbox.manage("webhooks")
    assert len({one["headers"]["onboarding-event"] for one in receiver.got}) == 1
    assert one_row(outbox)["acme"]["answer"] == "200"


def test_a_receiver_that_hangs_holds_up_nobody(sandbox: Sandbox, told: Server, receiver: Receiver) -> None:
    add_tests(told, hanging=f"{receiver.url}/hang")
    shell(told, "for _ in range(60):\n    webhooks.tell_test(Partner.objects.get(), now=now)")
    process = background(told, "--loop", "--pause", "0.2")
    try:
        wait_for(lambda: len(receiver.to("/hang")) == webhooks.PER_PARTNER)
        add_partner(told, "quick", f"{receiver.url}/200/quick")
        customer = Customer(told, sandbox)
        started = time.monotonic()
        customer.register(path="/p/quick/")
        assert customer.shown.step == "level"
        slow = Customer(told, sandbox)
        slow.register(path="/p/hanging/")  # whose own partner hangs
        assert slow.shown.step == "level"
        assert time.monotonic() - started < 9
        wait_for(lambda: receiver.to("/200/quick"), 5)
        assert len(receiver.to("/hang")) <= 4 * webhooks.PER_PARTNER
    finally:
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        _out, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 9  # though a receiver still hangs
    assert process.returncode == 0
    assert "Traceback" not in err


# -- Keys --------------------------------------------------------------------------------------------------------------


def test_after_a_change_of_key_both_sign_for_a_day(outbox: Server, receiver: Receiver) -> None:
    add_partner(outbox, "acme", f"{receiver.url}/200")
    made = shell(outbox, "acme = Partner.objects.get()\nresult = webhooks.new_key(acme, now=now)")
    assert re.fullmatch(r"whsec_[\w-]{43}", made)
    shell(outbox, "webhooks.tell_test(Partner.objects.get(), now=now)")
    outbox.manage("webhooks")
    (one,) = receiver.got
    header = one["headers"]["onboarding-signature"]
    assert re.fullmatch(r"t=\d+,v1=[0-9a-f]{64},v1=[0-9a-f]{64}", header)
    assert all(is_genuine(one["body"], header, key, time.time()) for key in (KEY, made))
    keys = shell(outbox, "result = Partner.objects.get().webhook_keys")
    assert keys["before"] == KEY
    until = datetime.fromisoformat(keys["until"])
    assert timedelta(hours=23.9) < until - datetime.now(UTC) <= timedelta(hours=24)
    assert webhooks.valid_keys(keys, until - timedelta(seconds=1)) == [made, KEY]
    assert webhooks.valid_keys(keys, until) == [made]
    database = Path(outbox.env["DATABASE_URL"].removeprefix("sqlite:///"))
    for file in database.parent.glob("told.sqlite3*"):
        assert b"whsec_" not in file.read_bytes()  # sealed


def test_a_key_that_nobody_can_open_stops_that_partner_only(outbox: Server, receiver: Receiver) -> None:
    add_tests(outbox, lost=f"{receiver.url}/200/lost")
    outbox.env["SECRET_KEY"] = OTHER_SECRET
    add_tests(outbox, fine=f"{receiver.url}/200/fine")
    run = outbox.manage("webhooks", check=False)
    assert "the webhook key of partner lost cannot be opened" in run.stderr
    assert {slug: row["answer"] for slug, row in one_row(outbox).items()} == {
        "lost": "key cannot be opened", "fine": "200",
    }  # fmt: skip
    assert receiver.to("/200/lost") == []


CONSOLE = """
import re
import secrets
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import setup_test_environment
User.objects.filter(username="op").exists() or User.objects.create_superuser("op", password="pw")
setup_test_environment()
client = Client(HTTP_HOST="127.0.0.1")
client.force_login(User.objects.get())
LIST, ROWS = "/admin/onboarding/partner/", "/admin/onboarding/delivery/"
def post(path, **data):
    answer = client.post(path, data, follow=True)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()
def get(path):
    answer = client.get(path)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()
def form(path):
    found = client.get(path).context["adminform"].form
    return {name: found[name].value() if found[name].value() is not None else "" for name in found.fields}
def shown(page):
    return re.findall("whsec_[A-Za-z0-9_-]+", page)
"""


def test_the_operator_makes_keys_and_sends_a_test_event(told: Server, receiver: Receiver) -> None:
    url = f"{receiver.url}/200"
    found = shell(
        told,
        CONSOLE
        + f"""
Partner(slug="acme", name="Acme").save()
pk = Partner.objects.get().pk
data = {{**form(f"{{LIST}}{{pk}}/change/"), "trade_types": "[]"}}
result = [shown(post(f"{{LIST}}{{pk}}/change/", **data))]
result.append(shown(post(f"{{LIST}}{{pk}}/change/", **{{**data, "webhook_url": "{url}"}})))
result.append(shown(get(LIST)))
result.append(shown(post(f"{{LIST}}{{pk}}/change/", **{{**data, "webhook_url": "{url}", "name": "Acme 2"}})))
result.append(Partner.objects.get().webhook_keys)
result.append(shown(post(LIST, action="make_webhook_key", _selected_action=pk)))
result.append(Partner.objects.get().webhook_keys)
assert "is on its way" in post(LIST, action="send_test_event", _selected_action=pk)
row = Delivery.objects.get()
assert row.event in get(ROWS) and row.event in get(f"{{ROWS}}{{row.pk}}/change/")
assert '<td class="field-kind">test</td>' in get(ROWS)
assert row.event in get(ROWS + "?state=waiting") and row.event not in get(ROWS + "?state=taken")
from django.contrib.admin.models import LogEntry
assert not shown(str(list(LogEntry.objects.values())))
""",
    )
    nothing, first, gone, again, keys, second, after = found
    assert (nothing, gone, again) == ([], [], [])
    assert keys == {"now": first[0]}
    assert len(first) == len(second) == 1
    assert (after["now"], after["before"]) == (second[0], first[0])
    told.manage("webhooks")
    (one,) = receiver.got
    assert json.loads(one["body"])["type"] == "test"
    assert json.loads(one["body"])["payload"] == {}
    assert is_genuine(one["body"], one["headers"]["onboarding-signature"], second[0], time.time())
    shell(
        told,
        CONSOLE + "row = Delivery.objects.get()\n"
        'assert row.event in get(ROWS + "?state=taken")\n'
        'assert "1 will be tried again" in post(ROWS, action="try_again", _selected_action=row.pk)',
    )
    told.manage("webhooks")
    assert len(receiver.got) == 2


def test_saving_a_partner_seals_its_key_anew(outbox: Server) -> None:
    add_partner(outbox, "acme", "https://partner.example/")
    outbox.env |= {"SECRET_KEY": OTHER_SECRET, "SECRET_KEY_FALLBACKS": outbox.env["SECRET_KEY"]}
    assert shell(outbox, "result = webhooks.first_key(Partner.objects.get())") == ""
    del outbox.env["SECRET_KEY_FALLBACKS"]
    assert shell(outbox, "result = Partner.objects.get().webhook_keys") == {"now": KEY}


def test_the_console_survives_a_lost_key(told: Server) -> None:
    add_partner(told, "acme", "https://partner.example/")
    told.env["SECRET_KEY"] = OTHER_SECRET
    keys = shell(
        told,
        CONSOLE
        + """
pk = Partner.objects.defer("webhook_keys").get().pk
assert "acme" in get(LIST)
data = {**form(f"{LIST}{pk}/change/"), "trade_types": "[]", "name": "Renamed"}
page = post(f"{LIST}{pk}/change/", **data)
assert "cannot be opened" in page and not shown(page)
assert Partner.objects.defer("webhook_keys").get().name == "Renamed"
(made,) = shown(post(LIST, action="make_webhook_key", _selected_action=pk))
assert Partner.objects.get().webhook_keys == {"now": made}
assert post(LIST, action="delete_selected", _selected_action=pk, post="yes")
assert not Partner.objects.exists()
""",
    )
    assert keys is None


# -- Never to a place inside -------------------------------------------------------------------------------------------

INSIDE_ADDRESSES = [
    "127.0.0.1", "127.8.8.8", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1", "100.100.100.200",
    "168.63.129.16", "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1",
    "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "100::1",
]  # fmt: skip
OUTSIDE_ADDRESSES = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE_ADDRESSES)
def test_addresses_inside_are_not_allowed(address: str) -> None:
    assert not webhook_transport.is_allowed(address)


@pytest.mark.parametrize("address", OUTSIDE_ADDRESSES)
def test_addresses_outside_are(address: str) -> None:
    assert webhook_transport.is_allowed(address)
    assert webhook_transport.is_allowed(address, private=True)


def test_a_host_that_the_operator_vouches_for_may_be_private_but_tells_no_secrets_of_the_cloud() -> None:
    allowed = {address for address in INSIDE_ADDRESSES if webhook_transport.is_allowed(address, private=True)}
    assert {"127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fc00::1", "100.64.0.1", "::ffff:10.0.0.1"} <= allowed
    assert not {a for a in allowed if a.startswith(("169.254", "fe80", "fd00:ec2", "ff02", "224", "168.63", "0."))}
    assert not {"100.100.100.200", "64:ff9b::a9fe:a9fe", "::ffff:a9fe:a9fe", "192.0.0.192"} & allowed


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "169.254.169.254", "[::1]", "10.1.2.3", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433",
        "0x7f000001", "017700000001", "127.1", "localhost", "LOCALHOST.", "inside.example", "both.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_no_connection_is_made_to_a_place_inside(monkeypatch: pytest.MonkeyPatch, scheme: str, host: str) -> None:
    look_up = socket.getaddrinfo
    names = {"inside.example": ["127.0.0.1"], "both.example": ["8.8.8.8", "10.0.0.1"]}

    def fake(name: str, port: int, *args: Any, **options: Any) -> Any:
        return [e for n in names.get(name, [name]) for e in look_up(n, port, *args, **options)]

    def never(*_args: Any) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    monkeypatch.setattr(socket.socket, "connect", never)
    answer = webhook_transport.post(f"{scheme}://{host}:8443/x", {}, b"{}")
    assert str(answer) == "address not allowed"


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("http://8.8.8.8/", "https is needed"), ("ftp://partner.example/", "not an address"),
        ("https://user:pass@partner.example/", "not an address"), ("https://", "not an address"),
        ("https://[::1/", "not an address"), ("https://" + "a" * 300 + ".example/", "name not found"),
    ],
)  # fmt: skip
def test_addresses_that_are_none(url: str, flaw: str) -> None:
    assert str(webhook_transport.post(url, {}, b"{}")) == flaw


def test_the_command_connects_to_nobody_inside(outbox: Server, receiver: Receiver) -> None:
    del outbox.env["WEBHOOK_PRIVATE_HOSTS"]
    port = receiver.port
    add_tests(
        outbox, plain=f"http://127.0.0.1:{port}/200", tls=f"https://127.0.0.1:{port}/", name=f"https://localhost:{port}/",
        number=f"https://2130706433:{port}/", mapped=f"https://[::ffff:127.0.0.1]:{port}/",
    )  # fmt: skip
    outbox.manage("webhooks", check=False)
    assert {row["answer"] for row in rows(outbox)} == {"address not allowed"}
    assert receiver.connections == 0
    shell(outbox, "webhooks.try_again(Delivery.objects.all(), now=now)")
    outbox.env["DEBUG"] = "true"  # for trying things out: loopback by its usual names
    outbox.manage("webhooks", check=False)
    answers = {slug: row["answer"] for slug, row in one_row(outbox).items()}
    assert answers == {
        "plain": "200", "tls": "TLS failed", "name": "TLS failed", "number": "address not allowed",
        "mapped": "address not allowed",
    }  # fmt: skip


def certificate(folder: Path, name: str) -> Path:
    """A certificate for this name that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip
    file = folder / f"{name}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return file


def test_a_name_is_looked_up_once_and_kept_for_tls_and_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DNS rebinding: whatever the name says a moment later, the checked address is the one connected to."""
    file = certificate(tmp_path, "hook.example")
    accepts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepts.load_cert_chain(file)
    names: list[str | None] = []
    accepts.sni_callback = lambda _socket, name, _context: names.append(name)  # type: ignore[assignment]
    receiver = Receiver(accepts)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    default_tls.cache_clear()
    look_up, asked = socket.getaddrinfo, []

    def fake(name: str, port: int, *args: Any, **options: Any) -> Any:
        if name.endswith(".example"):
            asked.append(name)
            name = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return look_up(name, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    try:
        answer = webhook_transport.post(f"https://hook.example:{receiver.port}/200", {"A": "b"}, b"{}", private=True)
        assert answer.is_taken, str(answer)
        assert asked == ["hook.example"]
        assert names == ["hook.example"]
        assert receiver.got[0]["headers"]["host"] == f"hook.example:{receiver.port}"
        asked.clear()
        answer = webhook_transport.post(f"https://other.example:{receiver.port}/200", {}, b"{}", private=True)
        assert str(answer) == "TLS failed"  # the certificate is for another name
        assert len(receiver.got) == 1
    finally:
        receiver.close()
        default_tls.cache_clear()  # nobody else trusts this certificate


def test_the_command_speaks_tls(outbox: Server, tmp_path: Path) -> None:
    file = certificate(tmp_path, "localhost")
    accepts = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepts.load_cert_chain(file)
    receiver = Receiver(accepts)
    try:
        outbox.env |= {"WEBHOOK_PRIVATE_HOSTS": "localhost,127.0.0.1", "HTTPS_PROXY": "http://127.0.0.1:9"}
        hosts = {"good": "localhost", "other": "127.0.0.1"}
        add_tests(outbox, **{slug: f"https://{host}:{receiver.port}/200" for slug, host in hosts.items()})
        outbox.manage("webhooks", check=False)
        assert {row["answer"] for row in rows(outbox)} == {"TLS failed"}  # nobody vouches for the certificate
        outbox.env["SSL_CERT_FILE"] = str(file)
        shell(outbox, "webhooks.try_again(Delivery.objects.all(), now=now)")
        outbox.manage("webhooks", check=False)
        assert {slug: row["answer"] for slug, row in one_row(outbox).items()} == {"good": "200", "other": "TLS failed"}
        (one,) = receiver.got
        assert is_genuine(one["body"], one["headers"]["onboarding-signature"], KEY, time.time())
    finally:
        receiver.close()
