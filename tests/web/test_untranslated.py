"""Every page in a made-up language: whatever a customer is shown went through the catalogues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests import pseudo
from tests.form_reader import walk
from tests.support import Customer, Server, Shown, fresh_email, fresh_phone


@pytest.fixture(scope="module")
def speaking(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pseudo")
    pseudo.write(folder)
    server = pseudo.PseudoServer(
        database=f"sqlite:///{folder / 'onboarding.sqlite3'}", upstream=sandbox.url + "/api",
        UPSTREAM_READ_TIMEOUT="2.5", EMBED_ORIGINS="https://partner.example", PSEUDO_LOCALE=str(folder),
        ACCOUNT_TYPES="individual,enterprise", TERMS_URL="", PRIVACY_URL="",
    )  # fmt: skip
    with server.migrate():
        yield server


class Reader(Customer):
    """A customer who looks at every page for what is not translated, and notes which pages those were."""

    seen: set[str]

    def _note(self, response: requests.Response) -> Shown:
        shown = super()._note(response)
        assert '<html lang="fr"' in shown.text and shown.text.count("⟦") > 3
        assert pseudo.untranslated(shown.text) == [], (shown.status, shown.step, shown.problem)
        self.seen.add(shown.problem or shown.step)
        return shown


def test_what_is_not_translated_is_found() -> None:
    page = "<title>⟦Öpën⟧</title><p>⟦Wait ⟦2 mïnütës⟧⟧ <bdi>Ann</bdi></p><option value='1'>Spain</option>Ann: ⟦Fill⟧"
    assert pseudo.untranslated(page) == []
    assert pseudo.untranslated(page + "<p>⟦Öpën⟧ it</p><img alt='Code'>") == ["it", "Code"]


def test_nothing_that_a_customer_is_shown_is_left_untranslated(speaking: Server, sandbox: Sandbox) -> None:
    seen: set[str] = set()

    def reader(tag: str | None = None, **more: Any) -> Reader:
        found = Reader(speaking, sandbox, headers={"Accept-Language": "fr"})
        found.seen = seen
        if tag is not None:
            found.register(**{"email": fresh_email(tag)} | more)
        return found

    one = reader()
    one.identify(email="")
    one.identify(email="nonsense", country="XX", terms=None)
    one.identify(phone="12", phone_area="")
    one.identify(phone="20 7946 0000")  # nobody's mobile
    one.identify(landing="altered")
    one.identify(switch="phone")
    one.identify(email="x" * 300)
    one.identify(website="filled in by a program")
    one.identify(email=fresh_email("badcode"))
    one.post(one.flow_url + "password/", {"password": "1"})
    one.post(one.flow_url + "password/", {"password": "12345678"})
    one.password("correct horse battery")
    one.get(one.flow_url, change="phone")
    one.post(one.flow_url + "resend/", {})
    one.verify("no digits")
    for number in range(6):
        one.verify(f"10000{number}")
    one.post(one.flow_url + "delete/", {})
    assert 'role="status"' in one.shown.text
    one.get("/nothing/")
    one.post("/", {}, Origin="https://evil.example")
    one.post("/", {}, Origin="null")
    one.headers |= {"Sec-Fetch-Dest": "iframe"}
    one.get("/")

    limited = reader()
    limited.identify(email=fresh_email("limit"))
    limited.password()
    for tag in ("drop", "exists", "refused", "nokyc", "review", "notoken", "busy", "ratelimit", "badagent"):
        reader(tag, **({"query": {"b_superiorAgent": "7"}} if tag == "badagent" else {}))

    level = reader()
    level.identify(email=fresh_email("all"))
    level.password()
    old = level.flow_url
    level.verify()
    level.get(old)
    level = reader("all")
    level.post(level.flow_url + "level/", {"level": level.shown.level})
    bad = {"el-proof_of_passpord": ("notes.txt", b"hello", "text/plain")}
    level.level(files=bad, birthday="1066-10-14")
    level.level(files=bad, birthday="soon")
    level = reader("rejected")
    level.level()
    level.get(level.flow_url)
    path = reader(phone=fresh_phone("905"), email=None, tag="")
    path.post(path.flow_url + "path/", {})
    path.post(path.flow_url + "handover/", {})
    path.get(path.flow_url + "handover/")
    for tag in ("levels", "order", "phonetaken", "idtaken", "badfile"):
        next(walk(reader(tag)))

    company = reader()
    company.identify(query={"openAccountType": "1"}, account_type="enterprise", country="ES")
    company.password()
    company.verify()
    company.post(company.flow_url + "level/", {"level": company.shown.level, "part": ""})
    for _page in walk(company):
        pass
    assert seen >= {
        "identify", "password", "verify", "path", "level", "handover", "status", "done", "exists", "refused", "expired",
        "limited", "not-allowed", "not-found",
    }, seen  # fmt: skip
