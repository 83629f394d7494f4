"""What is kept about a customer goes when it is due or asked for, and nothing of it stays behind in a file."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import override_settings

from onboarding import housekeeping, services, webhooks
from onboarding.domain.attribution import Touches
from onboarding.domain.flow import AccountType, Channel, Consent, Identity, Outcome, Progress
from onboarding.models import Delivery, Flow, Partner, Submission, SubmissionKind
from onboarding.sandbox.server import Sandbox
from tests import simulated
from tests.support import ROOT, Customer, Server, fresh_email, picture

BEGUN = datetime(2031, 5, 6, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RETENTION = timedelta(hours=settings.RETENTION_HOURS)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[None]:
    with simulated.database(f"sqlite:///{tmp_path / 'kept.sqlite3'}"):
        yield


def begin(email: str = "") -> Flow:
    """A flow with a code on its way and a registration whose answer is known."""
    flow, _handle = services.start_flow(
        entry=services.Entry("default", secrets.token_hex(8), "en", Touches()),
        identity=Identity(Channel.EMAIL, AccountType.INDIVIDUAL, "GB", email=email or fresh_email()),
        consent=Consent(BEGUN, "en", "", ""),
        now=BEGUN,
    )
    for kind, state in ((SubmissionKind.CODE, Progress.ACCEPTED), (SubmissionKind.REGISTER, Progress.REJECTED)):
        Submission.objects.create(
            flow=flow, kind=kind, key=secrets.token_hex(8), state=state, payload={"request": {"a": 1}}, planned_at=BEGUN
        )
    return flow


# -- By time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "due"),
    [
        (Outcome.OPEN, HOUR + RETENTION),  # its end is the expiry
        (Outcome.IN_REVIEW, HOUR + RETENTION),  # so is that of one that waits
        (Outcome.REGISTERED, RETENTION),
        (Outcome.PASSED, RETENTION),
        (Outcome.EXISTS, RETENTION),
        (Outcome.REFUSED, RETENTION),
    ],
)
def test_a_flow_is_emptied_so_long_after_its_end_and_no_second_sooner(
    database: None, outcome: Outcome, due: timedelta
) -> None:
    flow = begin()
    if outcome:
        flow.end(outcome, BEGUN)
        flow.save()
    assert housekeeping.purge(now=BEGUN + due - timedelta(seconds=1)) == 0
    assert housekeeping.purge(now=BEGUN + due) == 1
    row = Flow.objects.get()
    assert (row.personal, row.purged_at, row.handle_digest) == ({}, BEGUN + due, f"purged-{row.pk}")
    assert [(s.kind, s.payload) for s in Submission.objects.all()] == [("register", {})]


def test_a_shorter_retention_never_takes_the_last_page_away_while_it_opens(database: None) -> None:
    with override_settings(RETENTION_HOURS=0):
        flow = begin()
        flow.end(Outcome.REGISTERED, BEGUN + timedelta(minutes=10))
        assert flow.purge_at == flow.expires_at == BEGUN + HOUR


def test_an_open_outcome_keeps_its_flow_and_goes_in_the_first_round_after_it_is_known(database: None) -> None:
    flow = begin()
    flow.submissions.filter(kind=SubmissionKind.REGISTER).update(state=Progress.UNKNOWN)
    late = BEGUN + timedelta(days=30)
    assert housekeeping.purge(now=late) == 0
    flow.submissions.filter(kind=SubmissionKind.REGISTER).update(state=Progress.REJECTED)
    assert housekeeping.purge(now=late) == 1


def test_events_and_sessions_of_the_console_go_when_they_are_over(database: None) -> None:
    for name, next_at in (("over", None), ("waits", BEGUN)):
        Delivery.objects.create(partner="p", event=name, kind="done", body="{}", made_at=BEGUN, next_at=next_at)
    Session.objects.create(session_key="s", session_data="", expire_date=BEGUN)
    failed = AccessAttempt.objects.create(ip_address="203.0.113.7", failures_since_start=1)
    AccessAttempt.objects.filter(pk=failed.pk).update(attempt_time=BEGUN - timedelta(minutes=14))
    kept = timedelta(days=settings.KEEP_EVENTS_DAYS)
    assert (webhooks.forget(now=BEGUN + kept), housekeeping.forget_sign_ins(now=BEGUN)) == (0, 0)
    after = BEGUN + kept + timedelta(seconds=1)
    assert (webhooks.forget(now=after), housekeeping.forget_sign_ins(now=after)) == (1, 2)
    assert Delivery.objects.get().event == "waits"


def test_of_a_purged_flow_no_column_holds_more_than_what_counts(database: None) -> None:
    """Whatever column is added: it is emptied, or named here because it tells nothing of the person."""
    email = fresh_email()
    flow = begin(email)
    flow.second_digest = flow.link_digest = secrets.token_hex(8)
    flow.link_until = flow.link_used_at = flow.look_at = BEGUN
    flow.save()
    housekeeping.purge(now=BEGUN + timedelta(days=9))
    row = Flow.objects.values().get()
    counts = {
        "id", "reference", "partner", "language", "channel", "account_type", "country", "attribution", "device",
        "password_open", "consent_at", "consent_language", "sends", "code_attempts", "outcome", "created_at",
        "touched_at", "expires_at", "purge_at", "purged_at", "replay_misses",
    }  # fmt: skip
    gone = {"handle_digest": f"purged-{row['id']}", "landing_digest": f"purged-{row['id']}"}
    assert {name for name, value in row.items() if value not in ("", None, {}, False, 0)} <= counts | set(gone)
    assert {name: row[name] for name in gone} == gone


# -- By the customer ---------------------------------------------------------------------------------------------------


def at_step(name: str, customer: Customer) -> None:
    """Leads a fresh customer to this step or problem."""
    tags = {"exists": "exists", "refused": "refused", "status": "drop", "path": "paths", "done": "nokyc"}
    customer.identify(email=fresh_email(tags.get(name, "") or ("limit" if name == "identify" else "")))
    if name == "password":
        return
    customer.password("a good password")
    if name == "identify":
        return
    if name == "limited":
        for wrong in range(6):
            customer.verify(f"00000{wrong}")
        return
    if name == "verify":
        return
    customer.verify()
    if name == "handover":
        customer.post(customer.flow_url + "handover/", {})


STEPS = (
    "identify", "password", "verify", "status", "path", "level", "handover", "done", "exists", "refused", "limited",
)  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_the_customer_can_delete_everything_on_every_step(name: str, server: Server, sandbox: Sandbox) -> None:
    customer = Customer(server, sandbox)
    at_step(name, customer)
    assert name in (customer.shown.step, customer.shown.problem)
    reference, url = customer.shown.reference, customer.flow_url
    form = re.search(r'<form method="post" action="([^"]+/delete/)"><button', customer.shown.text)
    assert form is not None
    shown = customer.post(form.group(1), {})
    if name == "status":  # an open outcome is asked about first
        assert shown.step == "status"
        customer.wait()
        customer.server.manage("purge")
    else:
        assert (shown.step, "data-deleted" in shown.text) == ("identify", True)
    assert customer.get(url).status in (404, 410)
    with closing(sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///"))) as rows:
        personal, purged, pk = rows.execute(
            "SELECT personal, purged_at, id FROM onboarding_flow WHERE reference = ?", [reference]
        ).fetchone()
        payloads = rows.execute("SELECT payload FROM onboarding_submission WHERE flow_id = ?", [pk]).fetchall()
    assert (personal, bool(purged)) == ("", True)
    assert {payload for (payload,) in payloads} <= {""}


def test_nothing_of_a_deleted_flow_stays_in_the_files_of_sqlite(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(PASSWORD_STEP="off")
    path = Path(server.env["DATABASE_URL"].removeprefix("sqlite:///"))
    gone, stays = Customer(server, sandbox), Customer(server, sandbox)
    for customer in (gone, stays):
        customer.register()
        customer.post(customer.flow_url + "language/", {"lang": "es"})
    with closing(sqlite3.connect(path)) as rows:
        sealed = dict(rows.execute("SELECT reference, personal FROM onboarding_flow").fetchall())
    lost, kept = sealed[gone.shown.reference], sealed[stays.shown.reference]
    gone.post(gone.flow_url + "delete/", {})
    server.manage("purge")
    resting = b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))
    pieces = {lost[at : at + 40].encode() for at in range(100, len(lost) - 40, 200)}
    assert len(pieces) > 3
    assert not any(piece in resting for piece in pieces)
    assert kept[100:140].encode() in resting


# -- Under which key ---------------------------------------------------------------------------------------------------


def test_a_flow_goes_on_under_another_key_and_the_earlier_one_can_be_dropped(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    old, new = secrets.token_urlsafe(50), secrets.token_urlsafe(50)
    first = start_server(SECRET_KEY=old)
    database = first.env["DATABASE_URL"]
    on_the_way, waits = Customer(first, sandbox), Customer(first, sandbox)
    for customer in (on_the_way, waits):
        customer.identify()
        customer.password("a good password")
    first.manage(
        "shell", "-c", "from onboarding.models import Partner as P; P(slug='p', webhook_keys={'now': 'k'}).save()"
    )
    first.stop()

    second = start_server(database=database, SECRET_KEY=new, SECRET_KEY_FALLBACKS=old)
    on_the_way.server = waits.server = second
    on_the_way.get(on_the_way.flow_url.replace(first.url, second.url))
    assert on_the_way.verify().step == "level"  # from here on its address is signed with the new key
    assert second.manage("reseal").stdout.startswith("2 sealed anew")  # the one that waits, and the partner's key
    assert second.manage("reseal").stdout.startswith("0 sealed anew")
    second.stop()

    third = start_server(database=database, SECRET_KEY=new)
    on_the_way.server = waits.server = third
    on_the_way.get(on_the_way.flow_url.replace(second.url, third.url))
    assert on_the_way.level().step == "done"
    assert waits.get(waits.flow_url.replace(first.url, third.url)).status == 404  # an address of the earlier key
    code = "from onboarding.models import *; print(Partner.objects.get().webhook_keys, Flow.objects.first().channel)"
    assert "{'now': 'k'} email" in third.manage("shell", "-c", code).stdout


def test_resealing_says_when_a_value_opens_no_more(database: None) -> None:
    Partner(slug="p", webhook_keys={"now": "k"}).save()
    with override_settings(SECRET_KEY=secrets.token_urlsafe(50)):
        done = housekeeping.reseal()
    assert (done.renewed, done.kept, done.lost) == (0, 0, 1)
    assert housekeeping.reseal().kept == 1


# -- Never on a disk ---------------------------------------------------------------------------------------------------


def test_an_upload_never_rests_on_the_disk(
    start_server: Callable[..., Server], sandbox: Sandbox, tmp_path: Path
) -> None:
    """Looked at all the while: the folder for temporary files, the working directory, and every file held open."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    server = start_server(PASSWORD_STEP="off", TMPDIR=str(folder))
    customer = Customer(server, sandbox)
    customer.register()
    workers = server.workers()
    before, seen, over = _files(), set(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.update(str(path) for path in folder.iterdir())
            for pid in workers:
                seen.update(_held(pid))
            time.sleep(0.001)

    watching = threading.Thread(target=watch)
    watching.start()
    large = picture(4000, 3000, "PNG") + b"\0" * 9_000_000
    try:
        shown = customer.level(files={"el-proof_of_passpord": ("p.png", large, "image/png")})
    finally:
        over.set()
        watching.join()
    assert workers
    assert shown.step == "done", shown.errors
    database = server.env["DATABASE_URL"].removeprefix("sqlite:///")
    assert {path for path in seen if not path.startswith(database)} <= {str(server.log)}
    assert _files() - before == set()


def _held(pid: int) -> set[str]:
    """Files open for writing that this process holds, deleted ones too."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target, flags = os.readlink(descriptor), Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text()
        except OSError:  # closed meanwhile
            continue
        writable = int(re.search(r"flags:\s*(\d+)", flags).group(1), 8) & (os.O_WRONLY | os.O_RDWR)  # type: ignore[union-attr]
        if writable and target.startswith("/") and not target.startswith("/dev/"):
            found.add(target)
    return found


def _files() -> set[str]:
    """Of the working directory, but for what other processes make there."""
    found = set()
    for root, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in (".git", ".venv", "__pycache__", "var", "shots")]
        found |= {os.path.join(root, name) for name in names}
    return found
