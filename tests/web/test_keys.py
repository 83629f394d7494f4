"""The key of a write: a new one after every definite answer, the same one otherwise, and none that may be forgotten."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from onboarding import housekeeping
from onboarding.domain.flow import ASKED_FOR, Progress
from onboarding.models import Flow, Submission, SubmissionKind
from onboarding.sandbox.server import Sandbox
from onboarding.submissions import ASK_AGAIN_AFTER, lease, perform, plan
from onboarding.upstream.codes import CLOCK, Field
from onboarding.upstream.errors import (
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    Refused,
    SessionEnded,
    UpstreamError,
    UpstreamUnavailable,
)
from onboarding.writes import WRITES
from tests import simulated
from tests.simulated import START, Way
from tests.support import Customer, Server, fresh_email

KINDS = (SubmissionKind.REGISTER, SubmissionKind.LEVEL)
UNAVAILABLE, CLOCK_WRONG = UpstreamUnavailable("CONNECT"), UpstreamUnavailable(CLOCK)
UNKNOWN, UNREADABLE = OutcomeUnknown("TIMEOUT"), ContractBroken("UNREADABLE")
WRONG_CODE, NO_CAPTCHA = Refused("CUSTOMER_API_0000517", field=Field.CODE), Refused("F999999", field=Field.CAPTCHA)
SESSION, OPERATOR, CONTRACT = SessionEnded("GATEWAY_CODE_005"), Misconfigured("HTTP_404"), ContractBroken("HTTP_403")
ANSWERS = (
    UNAVAILABLE, CLOCK_WRONG, UNKNOWN, UNREADABLE, WRONG_CODE, NO_CAPTCHA, SESSION, OPERATOR, CONTRACT,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder, simulated.database(simulated.sqlite(Path(folder))):
        yield


_serial = iter(range(1_000_000))


@dataclasses.dataclass
class Asker:
    """One write of one flow, asked again and again as the customer's requests and `settle` do."""

    kind: str
    way: Way = dataclasses.field(default_factory=lambda: simulated.begin(random.Random(1), next(_serial), START))
    keys: list[str] = dataclasses.field(default_factory=list)  # as they were sent
    told: list[UpstreamError] = dataclasses.field(default_factory=list)  # what the customer's request was told

    def ask(self, answer: UpstreamError) -> Progress:
        """The next question, by whoever has the right to ask it; afterwards it stands so."""

        def send(submission: Submission) -> Any:
            self.keys.append(submission.key)
            raise answer

        now = self.way.wait(30, 60)
        Flow.objects.filter(pk=self.way.flow.pk).update(code_attempts=1)  # a refusal may take it back
        row = Submission.objects.filter(flow=self.way.flow, kind=self.kind).first()
        if row is None or row.progress is Progress.REJECTED:
            row = plan(self.way.flow, self.kind, {"request": {}, "call": {}}, now=now, before=row)
        try:
            perform(row, dataclasses.replace(WRITES[self.kind], send=send), clock=lambda: now)
        except UpstreamError as exc:
            self.told.append(exc)
        row.refresh_from_db()
        return row.progress


def is_definite(answer: UpstreamError, before: Progress | None) -> bool:
    """Whether the answer says what became of all that was sent under the key."""
    if before is Progress.UNKNOWN:
        return answer in (WRONG_CODE, SESSION)  # the others concern our question alone
    return answer not in (UNAVAILABLE, UNKNOWN, UNREADABLE)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(answers=st.lists(st.sampled_from(ANSWERS), min_size=6, max_size=9))
def test_there_is_a_new_key_after_every_definite_answer_and_the_same_one_otherwise(
    kind: str, answers: list[UpstreamError]
) -> None:
    asker = Asker(kind)
    state, was_definite = None, True
    for answer in answers:
        definite = is_definite(answer, state)
        state = asker.ask(answer)
        assert len(asker.keys) == 1 or (asker.keys[-1] != asker.keys[-2]) is was_definite
        was_definite = definite


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", [UNAVAILABLE, CLOCK_WRONG, UNKNOWN, UNREADABLE, OPERATOR, CONTRACT])
def test_nobody_is_told_to_try_again_while_an_outcome_is_unknown(kind: str, answer: UpstreamError) -> None:
    asker = Asker(kind)
    assert asker.ask(UNKNOWN) is Progress.UNKNOWN
    assert asker.ask(answer) is Progress.UNKNOWN
    assert asker.told == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", [Progress.SENT, Progress.UNKNOWN])
def test_an_outcome_that_stays_unknown_is_given_up_once_before_the_upstream_forgets_the_key(
    kind: str, state: Progress, caplog: pytest.LogCaptureFixture
) -> None:
    asker = Asker(kind)
    asker.ask(UNKNOWN)
    planned = Submission.objects.get(flow=asker.way.flow, kind=kind).planned_at
    Submission.objects.filter(flow=asker.way.flow).update(state=state, trace="a-trace")
    (row,) = Submission.objects.filter(flow=asker.way.flow)
    assert ASKED_FOR < timedelta(hours=24) - lease()
    before = planned + ASKED_FOR - timedelta(seconds=1)
    assert row.claim(before, lease=lease(), pause=ASK_AGAIN_AFTER) is state
    Submission.objects.filter(pk=row.pk).update(state=state)
    counted = housekeeping.count_open()
    with caplog.at_level(logging.INFO, "onboarding"):
        for wait in (lease(), 2 * lease(), timedelta(days=2)):
            now = planned + ASKED_FOR + wait
            row = Submission.objects.get(pk=row.pk)
            assert row.claim(now, lease=lease(), pause=ASK_AGAIN_AFTER) is None, "nothing is sent under the old key"
            assert housekeeping.settle(row, clock=lambda now=now: now).progress is Progress.GIVEN_UP  # type: ignore[misc]
    (line,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert asker.way.flow.reference in line.getMessage()
    assert "a-trace" in line.getMessage()
    assert housekeeping.count_open()["given_up"] == counted["given_up"] + 1
    assert row.pk not in [one.pk for one in housekeeping.pending_submissions()]


def test_a_code_keeps_the_moment_at_which_limits_counted_it_however_often_it_is_put_off() -> None:
    asker = Asker(SubmissionKind.CODE)
    row = plan(asker.way.flow, SubmissionKind.CODE, {"request": {}, "call": {}}, now=START)
    for minutes in (1, 2):
        Submission.objects.filter(pk=row.pk).update(state=Progress.PLANNED)
        assert row.claim(START + timedelta(minutes=minutes), lease=lease(), pause=ASK_AGAIN_AFTER) is Progress.PLANNED
        assert Submission.objects.get(pk=row.pk).planned_at == START


def test_what_was_refused_before_any_work_may_be_asked_for_as_long_as_what_is_new() -> None:
    asker = Asker(SubmissionKind.LEVEL)
    assert asker.ask(UNAVAILABLE) is Progress.PLANNED
    asker.way.now += timedelta(days=3)
    assert asker.ask(UNKNOWN) is Progress.UNKNOWN
    (row,) = Submission.objects.filter(flow=asker.way.flow)
    assert housekeeping.settle(row, clock=lambda: row.planned_at).progress is Progress.UNKNOWN
    assert len(set(asker.keys)) == 1


def test_who_asked_for_deletion_is_not_kept_by_an_outcome_that_was_given_up() -> None:
    asker = Asker(SubmissionKind.REGISTER)
    asker.ask(UNKNOWN)
    flow, now = asker.way.flow, asker.way.now
    assert not housekeeping.delete_data(flow=flow, now=now)
    housekeeping.settle(Submission.objects.get(flow=flow), clock=lambda: now + timedelta(days=1))
    housekeeping.purge(now=now + timedelta(days=1))
    flow = Flow.objects.get(pk=flow.pk)
    assert flow.purged_at is not None
    assert flow.personal == {}


# -- What the customer sees --------------------------------------------------------------------------------------------


def _older(server: Server, reference: str) -> None:
    """The customer comes back a day later."""
    code = (
        "from datetime import timedelta as t; from django.db.models import F; from onboarding.models import Flow; "
        f"f = Flow.objects.filter(reference={reference!r}); "
        "f.get().submissions.update(planned_at=F('planned_at') - t(hours=24), sent_at=F('sent_at') - t(hours=24)); "
        "f.update(expires_at=F('expires_at') - t(hours=24), touched_at=F('touched_at') - t(hours=24))"
    )
    server.manage("shell", "-v", "0", "-c", code)


def test_a_customer_whose_outcome_is_given_up_is_sent_to_support_and_nothing_more_is_sent(
    customer: Customer, server: Server, sandbox: Sandbox
) -> None:
    email = fresh_email("hang+drop+error500")
    customer.identify(email=email)
    customer.password()
    code, form = customer.code(), customer.flow_url + "verify/"
    shown = customer.verify(code)
    assert shown.step == "status"
    home, reference = customer.flow_url, shown.reference
    _older(server, reference)
    sent = [call for call in sandbox.calls() if email in json.dumps(call["body"])]
    shown = customer.get(home)
    assert (shown.status, shown.step) == (200, "status"), "not expired: that would say to start again"
    assert "<h1>Please contact support</h1>" in shown.text
    assert shown.text.count(reference) >= 2
    assert not re.search(
        r"http-equiv=.refresh|data-hx-trigger=.load|Check again|[Tt]ry again|[Ss]tart again", shown.text
    )
    again = customer.post(form, {"code": code}, Origin=server.url)  # hours later, so the browser has to say where from
    assert again.text.count("Please contact support") == shown.text.count("Please contact support")
    fragment = requests.get(home, headers={"HX-Request": "true"}, timeout=10).text
    assert "<h1>Please contact support</h1>" in fragment
    assert "data-waits" not in fragment, "a page that waits is replaced by it"
    assert "given up" not in server.manage("settle", check=False).stdout
    assert 'onboarding_submissions_open{state="given_up"} 1.0' in requests.get(server.url + "/metrics", timeout=10).text
    assert requests.get(server.url + "/readyz", timeout=10).json()["degraded"] == ["given-up"]
    assert [call for call in sandbox.calls() if email in json.dumps(call["body"])] == sent
    assert "is given up" in server.log.read_text()
    assert customer.post(home + "delete/", {}, Origin=server.url).step == "identify"


def test_what_could_not_go_out_is_sent_once_the_customer_has_left(start_server: Callable[..., Server]) -> None:
    with Sandbox(port=0, review_seconds=0.0) as own:
        server = start_server(upstream=own.url + "/api", UPSTREAM_CONNECT_TIMEOUT="1", PASSWORD_STEP="off")
        customer = Customer(server, own)
        customer.identify(email=fresh_email("nokyc"))
        code = customer.code()
        own.stop()
        assert customer.verify(code).problem == "busy"
        own.start()
        assert server.manage("settle").stdout.startswith("0 settled"), "who may come back is waited for"
        assert server.manage("settle", "--left", "0").stdout.startswith("1 settled, 0 still unknown")
        assert len([one for one in own.registrations() if one["body"]["loginName"] == customer.sent["email"]]) == 1
        assert server.manage("settle", "--left", "0").stdout.startswith("0 settled")
