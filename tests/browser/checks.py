"""What a walk must have led to: at the upstream, on the partner's page, in the frame."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from playwright.sync_api import expect

from tests.browser.walker import Walker
from tests.campaign import SENT

PASSWORD = "correct horse battery"


def registered_right(walker: Walker, *, mobile: bool, password: str = "", utm: dict[str, str] = SENT) -> None:
    """What the upstream got is what the customer and the link said."""
    entry = walker.entry()
    body, headers = entry["body"], entry["headers"]
    by_email = "@" in walker.to
    expected = {
        "type": 1 if by_email else 2,
        "loginName": walker.to,
        "country": "GB",
        "registerSource": 1 if mobile else 2,
        "openAccountType": 0,
        "lang": "en-US",
        "protocol": True,
        **utm,
    }
    expected |= {"emailArea": "+44"} if by_email else {"phoneArea": "+44"}
    if password:
        expected["pwd"] = hashlib.md5(password.encode()).hexdigest()
    assert re.fullmatch(r"\d{6}", body["verifyCode"])
    assert body["sendToken"]
    assert "Chrome" in body["registerDevice"]
    assert {k: v for k, v in body.items() if k not in ("verifyCode", "sendToken", "registerDevice")} == expected
    assert headers["companyId"] == "439"
    assert headers["lang"] == "en-US"
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["idempotency-key"])
    assert re.fullmatch(r"[0-9a-f-]{36}-\d{13}", headers["trace"])


def told_done(walker: Walker, outcome: str = "passed|in_review") -> None:
    walker.at("done")
    expect(walker.step).to_have_attribute("data-outcome", re.compile(outcome))
    expect(walker.step).to_contain_text(walker.entry()["customerNo"])


def told(walker: Walker, last: str = "done") -> list[dict[str, Any]]:
    """The events on the partner's page, in their order, as the page wrote them down."""
    expect(walker.page.locator("#events")).to_contain_text(f"onboarding:{last}")
    lines = (walker.page.locator("#events").text_content() or "").splitlines()
    found = []
    for line in lines:
        name, _, detail = line.partition(" ")
        found.append(json.loads(detail))
        assert name == f"onboarding:{found[-1]['type']}"
    return found


def nothing_personal(events: list[dict[str, Any]], walker: Walker) -> None:
    """Events name steps, a reference and the customer number; nothing that the customer gave."""
    text = json.dumps(events)
    secrets = [
        walker.to,
        PASSWORD,
        hashlib.md5(PASSWORD.encode()).hexdigest(),
        walker.code(),
        "Ann",
        "E12345678",
        "1990-05",
        "/f/",
    ]
    assert [secret for secret in secrets if secret in text] == []
    known = {
        "ready": set(), "resize": {"height"}, "step": {"step", "level"}, "registered": {"customerNo"},
        "submitted": {"level"}, "done": {"outcome"}, "problem": {"problem"},
    }  # fmt: skip
    for event in events:
        assert set(event) == {"source", "version", "type", "seq", "reference", "payload"}
        assert (event["source"], event["version"]) == ("onboarding", 1)
        assert set(event["payload"]) == known[event["type"]]


def told_in_order(events: list[dict[str, Any]], walker: Walker) -> None:
    steps = [event["payload"]["step"] for event in events if event["type"] == "step"]
    assert steps == ["identify", "password", "verify", "level", "done"]
    assert events[0]["type"] == "ready"
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    last = {event["type"]: event["payload"] for event in events}
    assert [event["type"] for event in events].count("registered") == 1
    assert last["registered"] == {"customerNo": walker.entry()["customerNo"]}
    assert last["submitted"] == {"level": "level_1"}
    assert last["done"]["outcome"] in ("passed", "in_review")
    assert {event["reference"] for event in events if event["type"] == "done"} == {walker.reference}


def frame_fits(walker: Walker) -> int:
    """The frame is as high as its page: nothing in it has to be scrolled. Gives the height."""
    frame = walker.page.frames[1]
    frame.wait_for_function("() => document.documentElement.scrollHeight <= window.innerHeight + 1")
    # …and not a screenful higher than that
    frame.wait_for_function("() => window.innerHeight - document.documentElement.getBoundingClientRect().height < 40")
    return int(frame.evaluate("window.innerHeight"))
