"""Who gets into the console: staff alone, few guesses, and the second factor of whoever has one."""

from __future__ import annotations

import base64
import contextlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django_otp.oath import TOTP

from onboarding.sandbox.server import Sandbox
from tests.console import NAME, PASSWORD, Operator
from tests.support import Server, running

Start = Callable[..., Server]
MARK = "typed-into-the-wrong-field-8714"


@pytest.fixture(scope="module")
def entry(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Behind one proxy, so that every test can come from an address of its own."""
    database = f"sqlite:///{tmp_path_factory.mktemp('entry') / 'onboarding.sqlite3'}"
    with running(sandbox, database, TRUSTED_PROXY_COUNT="1") as server:
        Operator(server)
        yield server


class Visitor:
    """Somebody at the sign-in, with this address."""

    def __init__(self, server: Server, address: str) -> None:
        self.home = server.url + "/admin/"
        self.session = requests.Session()
        self.session.headers["X-Forwarded-For"] = address

    def get(self, path: str = "") -> requests.Response:
        return self.session.get(self.home + path, timeout=30)

    def post(self, path: str, **data: str) -> requests.Response:
        self.get("login/")
        token = self.session.cookies["csrftoken"]
        headers = {"Referer": self.home}
        return self.session.post(
            self.home + path, data={**data, "csrfmiddlewaretoken": token}, headers=headers, timeout=30
        )

    def sign_in(self, password: str = PASSWORD, name: str = NAME) -> requests.Response:
        return self.post("login/", username=name, password=password, next="/admin/")


def is_in(answer: requests.Response) -> bool:
    return answer.status_code == 200 and answer.url.endswith("/admin/") and "<h1>Console</h1>" in answer.text


def stored(server: Server, *changes: str) -> str:
    """The whole database as text, after these changes."""
    with contextlib.closing(sqlite3.connect(server.env["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        for change in changes:
            database.execute(change)
        database.commit()
        return "\n".join(database.iterdump())


def forget(server: Server) -> None:
    stored(server, "DELETE FROM axes_accessattempt")


def test_a_name_is_locked_after_five_wrong_passwords_wherever_they_come_from(entry: Server) -> None:
    forget(entry)
    for number in range(5):
        answer = Visitor(entry, f"198.51.100.{number}").sign_in(f"wrong {number}", NAME.upper() if number % 2 else NAME)
    assert answer.status_code == 429
    assert (answer.headers["Retry-After"], "Sign-in paused" in answer.text) == ("900", True)
    assert Visitor(entry, "198.51.100.77").sign_in().status_code == 429, "the right password is no better then"
    entry.manage("axes_reset")
    assert is_in(Visitor(entry, "198.51.100.77").sign_in())


def test_of_many_guesses_at_the_same_moment_no_more_are_looked_at(entry: Server) -> None:
    forget(entry)
    guessers = [Visitor(entry, f"198.18.{number}.1") for number in range(16)]
    with ThreadPoolExecutor(len(guessers)) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda one: one.sign_in("wrong"), guessers)]
    assert set(statuses) <= {200, 429, 503} and 503 in statuses
    assert stored(entry).count('INSERT INTO "axes_accessattempt"') <= 5
    forget(entry)
    assert is_in(Visitor(entry, "198.18.99.1").sign_in())


@pytest.mark.parametrize("addresses", [["192.0.2.1"], [f"2001:db8:1:2::{n}" for n in range(1, 6)]])
def test_an_address_is_locked_after_five_wrong_passwords_for_whatever_names(
    entry: Server, addresses: list[str]
) -> None:
    forget(entry)
    for number in range(5):
        answer = Visitor(entry, addresses[number % len(addresses)]).sign_in("wrong", f"somebody {number}")
    assert answer.status_code == 429
    assert Visitor(entry, addresses[0]).sign_in().status_code == 429
    assert is_in(Visitor(entry, "192.0.2.2").sign_in()), "others are let in"
    made_up = Visitor(entry, f"192.0.2.3, {addresses[0]}")  # what stands further left is the sender's own text
    assert made_up.sign_in().status_code == 429


def test_the_pause_ends_by_itself_and_is_not_made_longer_by_those_who_go_on(entry: Server) -> None:
    forget(entry)
    for number in range(7):
        Visitor(entry, f"203.0.113.{number}").sign_in("wrong")
    stored(entry, "UPDATE axes_accessattempt SET attempt_time = datetime('now', '-16 minutes')")
    assert is_in(Visitor(entry, "203.0.113.9").sign_in())


def test_what_was_typed_at_the_sign_in_is_written_down_nowhere(entry: Server) -> None:
    forget(entry)
    for number in range(6):
        Visitor(entry, "198.51.100.200").post(
            f"login/?next=/admin/{MARK}", username=f"{MARK}{number}", password=f"{MARK}p", next=f"/admin/{MARK}"
        )
    log = entry.log.read_text()
    assert "Locking out somebody at the console's sign-in" in log
    kept = stored(entry)
    assert "198.51.100.200" in kept, "the operator can see where the guesses come from"
    for text in (log, kept):
        assert MARK not in text
    assert "198.51.100.200" not in log


def test_nobody_but_active_staff_gets_in(entry: Server) -> None:
    forget(entry)
    create = "from django.contrib.auth.models import User; User.objects.create_user('plain', password='{}')"
    entry.manage("shell", "-c", create.format(PASSWORD))
    plain = Visitor(entry, "192.0.2.50")
    assert not is_in(plain.sign_in(name="plain"))
    for path in ("", "second-factor/", "onboarding/flow/", "password_change/"):
        assert "id_password" in plain.get(path).text


def code_of(secret: str, later: int = 0) -> str:
    """What an app shows, in this or a later half minute."""
    made = TOTP(base64.b32decode(secret))
    made.time = time.time() + 30 * later
    return f"{made.token():06}"


def set_up(visitor: Visitor) -> tuple[str, list[str]]:
    """Turns the second factor on as a person does; gives the secret and the recovery codes."""
    page = visitor.post("second-factor/", begin="1")
    assert 'src="data:image/svg+xml' in page.text
    secret = re.findall(r"secret into the app: <code>([A-Z2-7]+)</code>", page.text)[0]
    assert "not right" in visitor.post("second-factor/", confirm="1", code="000000").text
    time.sleep(1.1)  # the pause after a wrong code
    page = visitor.post("second-factor/", confirm="1", code=code_of(secret))
    return secret, re.findall(r"<li><code>(\w+)</code></li>", page.text)


def test_who_has_a_second_factor_must_use_it_and_gets_in_by_a_recovery_code_once(entry: Server) -> None:
    forget(entry)
    operator = Visitor(entry, "192.0.2.60")
    operator.sign_in()
    secret, recovery = set_up(operator)
    assert len(recovery) == 8
    assert is_in(operator.get()), "the session in which it was set up goes on"

    other = Visitor(entry, "192.0.2.61")
    page = other.sign_in()
    assert page.url.endswith("/admin/second-factor/?next=%2Fadmin%2F") and "Your password was right" in page.text
    assert secret not in page.text and "begin" not in page.text
    for path in ("", "onboarding/flow/", "onboarding/partner/add/", "auth/user/", "password_change/", "jsi18n/"):
        assert "Your password was right" in other.get(path).text, path
    for data in ({"begin": "1"}, {"remove": "1"}, {"recovery": "1"}, {"confirm": "1"}, {"code": "abcdefgh"}):
        assert "Your password was right" in other.post("second-factor/", **data).text
    assert "Too many wrong codes" in other.post("second-factor/", code="abcdefgi").text
    time.sleep(4.1)
    before = other.session.cookies["sessionid"]
    assert is_in(other.post("second-factor/?next=https://evil.example/", code=recovery[0].upper()))
    assert other.session.cookies["sessionid"] != before

    third = Visitor(entry, "192.0.2.62")
    third.sign_in()
    assert "not right" in third.post("second-factor/", code=recovery[0]).text, "it worked once"
    spent = code_of(secret, later=1)
    assert is_in(third.post("second-factor/?next=/admin/", code=spent))
    fourth = Visitor(entry, "192.0.2.63")
    fourth.sign_in()
    assert "not right" in fourth.post("second-factor/", code=spent).text, "each code counts once"
    given = entry.manage("addstatictoken", NAME).stdout.strip()
    time.sleep(1.1)
    assert is_in(fourth.post("second-factor/", code=given)), "the way back in without phone and recovery codes"
    fourth.post("second-factor/", remove="1")
    assert is_in(Visitor(entry, "192.0.2.64").sign_in()), "turned off, the password is enough again"


def test_where_it_is_required_nobody_comes_further_without_one(start_server: Start) -> None:
    server = start_server(ADMIN_SECOND_FACTOR="required", TRUSTED_PROXY_COUNT="1")
    Operator(server)
    operator = Visitor(server, "192.0.2.70")
    page = operator.sign_in()
    assert "Set up the second factor" in page.text
    assert "Set up the second factor" in operator.get("onboarding/flow/").text
    set_up(operator)
    assert is_in(operator.get())
    assert "Turn the second factor off" not in operator.get("second-factor/").text


def test_the_secrets_of_others_are_on_no_page(entry: Server) -> None:
    forget(entry)
    operator = Visitor(entry, "192.0.2.80")
    assert is_in(operator.sign_in())
    for path in ("otp_totp/totpdevice/", "otp_static/staticdevice/", "axes/accessattempt/"):
        assert operator.get(path).status_code == 404
