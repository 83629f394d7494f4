"""Customers leave while their checks are going on: `settle` asks in their place, and nothing is opened behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, fresh_email, picture, running
from tests.web.test_webhooks import add_partner, rows, shell


@pytest.fixture
def told(sandbox: Sandbox, tmp_path: Path) -> Iterator[Server]:
    with running(sandbox, f"sqlite:///{tmp_path / 'left.sqlite3'}", PASSWORD_STEP="off") as server:
        add_partner(server, "acme", "https://partner.example/hook")
        yield server


def hand_in_and_leave(server: Server, sandbox: Sandbox, email: str) -> Customer:
    """The level is sent; the page that follows is never opened."""
    customer = Customer(server, sandbox)
    customer.register(path="/p/acme/", email=email)
    data = {
        "level": customer.shown.level, "el-name": "Ann Example", "el-birthday": "1990-05-17",
        "el-id_card_type-kind": "passport", "el-id_card_type-number": "E12345678",
    }  # fmt: skip
    files = {"el-proof_of_passpord": ("passport.png", picture(), "image/png")}
    url = customer.flow_url + "level/"
    answer = customer.session.post(url, data=data, files=files, allow_redirects=False, timeout=60)
    assert answer.status_code == 303
    return customer


def make_due(server: Server) -> str:
    """Gives the moment at which the flow expires."""
    code = "flow = Flow.objects.get()\nassert flow.outcome == 'in_review' and flow.look_at > now\n"
    code += "flow.look_at = now\nflow.save()\nresult = flow.expires_at"
    return str(shell(server, code))


def test_checks_that_pass_after_the_customer_left_are_noted_and_told(told: Server, sandbox: Sandbox) -> None:
    hand_in_and_leave(told, sandbox, fresh_email())
    assert told.manage("settle").returncode == 0
    assert [row["kind"] for row in rows(told)] == ["registered", "submitted", "done"], "it is not due yet"
    expires = make_due(told)
    told.manage("settle")
    flow = shell(
        told, "flow = Flow.objects.get()\nresult = [flow.outcome, flow.expires_at, flow.look_at, flow.personal]"
    )
    assert flow[:3] == ["passed", expires, None]
    assert (flow[3]["levels"], flow[3]["drafts"]) == ([], {})
    assert [row["kind"] for row in rows(told)] == ["registered", "submitted", "done", "done"]
    assert '"payload":{"outcome":"passed"}' in rows(told)[-1]["body"]
    noted = shell(told, "result = list(Milestone.objects.filter(kind='done').values_list('detail', flat=True))")
    assert sorted(noted) == ["in_review", "passed"]


def test_checks_that_are_rejected_wait_for_the_customer_and_keep_nothing_for_longer(
    told: Server, sandbox: Sandbox
) -> None:
    customer = hand_in_and_leave(told, sandbox, fresh_email("rejected"))
    expires = make_due(told)
    told.manage("settle")
    outcome, still, later = shell(
        told, "flow = Flow.objects.get()\nresult = [flow.outcome, flow.expires_at, flow.look_at > now]"
    )
    assert (outcome, still, later) == ("in_review", expires, True)
    deadline = time.monotonic() + 15
    again = customer.get(customer.flow_url)
    while again.step == "done" and time.monotonic() < deadline:  # asked no sooner than five seconds after the last time
        time.sleep(0.5)
        again = customer.get(customer.flow_url)
    assert (again.step, again.value("el-name")) == ("level", "Ann Example")


def test_a_review_is_asked_about_by_one_process_at_a_time(told: Server, sandbox: Sandbox) -> None:
    hand_in_and_leave(told, sandbox, fresh_email("rejected"))
    make_due(told)
    first, second = shell(
        told,
        "from onboarding import housekeeping\nresult, pk = [], Flow.objects.get().pk\n"
        "for _ in range(2):\n"
        "    housekeeping.look_after_review(pk, now=now)\n"
        "    result.append(Flow.objects.get().look_at)\n"
        "assert housekeeping.reviews_due(now=now) == []",
    )
    assert first == second
