"""A partner who checks webhooks with the code that docs/embedding.md prints."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from onboarding.sandbox.server import Sandbox
from tests.docs import block
from tests.support import Customer, running
from tests.web.test_webhooks import INSIDE, KEY, Receiver, add_partner

Check = Callable[..., Any]


def in_python(body: bytes, signature: str, key: str) -> Any:
    names: dict[str, Any] = {}
    exec(block("python", "def read_event"), names)
    return names["read_event"](body, signature, key)


def in_node(body: bytes, signature: str, key: str) -> Any:
    """With the Node that Playwright brings along."""
    code = block("js", "function readEvent") + (
        "const [body, signature, key] = JSON.parse(require('fs').readFileSync(0));"
        "console.log(JSON.stringify(readEvent(Buffer.from(body, 'base64'), signature, key)));"
    )
    given = json.dumps([base64.b64encode(body).decode(), signature, key])
    node = compute_driver_executable()[0]
    done = subprocess.run([node, "-e", code], input=given, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def signed(body: bytes, key: str, at: int) -> str:
    return hmac.new(key.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


@pytest.fixture(scope="module")
def deliveries(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What the command sends to a partner after a registration."""
    receiver = Receiver()
    database = f"sqlite:///{tmp_path_factory.mktemp('told') / 'told.sqlite3'}"
    with running(sandbox, database, **INSIDE) as server:
        add_partner(server, "acme", f"{receiver.url}/200")
        Customer(server, sandbox).register(path="/p/acme/", query={"utm_source": "newsletter", "utm_term": "账户 é"})
        server.manage("webhooks")
    yield receiver.got
    receiver.close()


@pytest.mark.parametrize("check", [in_python, in_node])
def test_the_documented_check_takes_what_we_send_and_nothing_else(
    deliveries: list[dict[str, Any]], check: Check
) -> None:
    (one,) = deliveries
    body, signature = one["body"], one["headers"]["onboarding-signature"]
    event = check(body, signature, KEY)
    example = json.loads(block("json", '"version": 1'))
    assert set(event) == set(example)
    assert {name: type(value) for name, value in event.items()} == {
        name: type(value) for name, value in example.items()
    }
    assert (event["type"], event["partner"]) == ("registered", "acme")
    assert event["event"] == one["headers"]["onboarding-event"]
    assert event["attribution"] == {"utm_source": "newsletter", "utm_term": "账户 é"}

    now = int(time.time())
    old, later = now - 400, now + 400
    assert check(body + b" ", signature, KEY) is None
    assert check(body, signature, KEY + "x") is None
    assert check(body, signature, KEY.removeprefix("whsec_")) is None
    assert check(body, f"t={old},v1={signed(body, KEY, old)}", KEY) is None
    assert check(body, f"t={later},v1={signed(body, KEY, later)}", KEY) is None
    assert check(body, signature.replace("v1=", "v0="), KEY) is None
    for nonsense in (
        "",
        "t",
        "t=",
        "v1=",
        ",",
        "=",
        "t=x,v1=y",
        f"t={now}",
        f"t={now},v1=é",
        f"t={now},v1",
        "t=-1,v1=a",
    ):
        assert check(body, nonsense, KEY) is None, nonsense


@pytest.mark.parametrize("check", [in_python, in_node])
def test_the_documented_check_goes_on_while_a_key_changes(check: Check) -> None:
    now, body = int(time.time()), b"{}"
    both = f"t={now},v1={signed(body, 'whsec_new', now)},v1={signed(body, 'whsec_old', now)}"
    assert check(body, both, "whsec_new") == check(body, both, "whsec_old") == {}
    assert check(body, both, "whsec_other") is None
