"""Hostile UTM values from the link to the upstream, the operator's console and its sheets, the log and the metrics."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import secrets
import socket
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from onboarding.domain import attribution
from onboarding.domain.attribution import UTM_KEYS
from onboarding.sandbox.server import Sandbox
from tests.console import Operator
from tests.form_reader import faults
from tests.hostile import TEXTS, expected, links, meaning
from tests.support import Customer, Server, fresh_email, running

SENT = {
    "utm_source": "utmSource", "utm_medium": "utmMedium", "utm_campaign": "utmCampaign", "utm_content": "utmContent",
    "utm_term": "utmTerm",
}  # fmt: skip
MARK = "mk"  # every value holds one of its own, so that it is found wherever it gets to


def page_of(console: Operator, reference: str) -> str:
    """What the console shows of this flow, in the list and on its page."""
    found = console.get("onboarding/flow/", q=reference)
    link = re.search(r'href="/admin/(onboarding/flow/\d+/change/)[^"]*"', found.text)
    assert link is not None, found.text[:2000]
    return found.text + console.get(link.group(1)).text


@pytest.fixture(scope="module")
def open_server(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = f"sqlite:///{tmp_path_factory.mktemp('hostile') / 'onboarding.sqlite3'}"
    with running(sandbox, database, PASSWORD_STEP="off", UPSTREAM_READ_TIMEOUT="5") as server:
        yield server


@pytest.fixture(scope="module")
def console(open_server: Server) -> Operator:
    return Operator(open_server)


@pytest.fixture(scope="module")
def counted(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The console of a server with few flows: a sheet shows 25 values of a parameter one by one."""
    with running(sandbox, f"sqlite:///{tmp_path_factory.mktemp('counted') / 'onboarding.sqlite3'}") as server:
        yield Operator(server)


class _Text(HTMLParser):
    """What a page shows, and its tags that could do something."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.active: list[str] = []
        self._skipped = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._skipped = tag in ("script", "style")
        dangerous = [name for name, value in attributes if name.startswith("on") or "alert(1)" in (value or "")]
        if dangerous or (tag == "script" and not any(name == "src" or name == "type" for name, _ in attributes)):
            self.active.append(f"<{tag} {dangerous}>")

    def handle_endtag(self, tag: str) -> None:
        self._skipped = False

    def handle_data(self, data: str) -> None:
        if self._skipped:
            self.active += [data] if "alert(1)" in data else []
        else:
            self.text += data


def shows(page: _Text, value: str) -> bool:
    """Whether the page shows the value, plainly or as JSON writes it."""
    spellings = (value, json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1])
    blank = re.compile(r"\s+")
    text = blank.sub(" ", page.text)
    return any(blank.sub(" ", spelling) in text for spelling in spellings)


def marked(link: str, mark: str, first: bool) -> str:
    return f"{mark}{link}" if first else f"{link}{mark}"


VALUES = st.fixed_dictionaries({key: st.tuples(links(), st.booleans()) for key in UTM_KEYS})


def every(pieces: tuple[str, ...]) -> Iterator[dict[str, tuple[str, bool]]]:
    """Each piece once, six in a link."""
    for start in range(0, len(pieces), len(UTM_KEYS)):
        some = pieces[start : start + len(UTM_KEYS)]
        yield {key: (quote(piece, safe=""), False) for key, piece in zip(UTM_KEYS, some, strict=False)}


def visits(customer: Customer, drawn: dict[str, tuple[str, bool]]) -> tuple[str, dict[str, str]]:
    """Opens the first page by such a link; gives its values' mark, and those that may be kept, as they then are."""
    mark = MARK + secrets.token_hex(5)
    chosen = {key: marked(link, mark, first) for key, (link, first) in drawn.items()}
    kept = {}
    for key, link in chosen.items():
        if not attribution.personal(key, attribution.visible(meaning(link))):
            kept[key] = expected(meaning(link))
    query = "&".join(f"{key}={link}" for key, link in chosen.items())
    assert customer.get(f"/?{query}").status == 200
    return mark, kept


def identifies(customer: Customer) -> None:
    data = {"landing": customer.shown.value("landing"), "channel": "email", "account_type": "individual"}
    customer.sent = data | {"country": "GB", "terms": "on", "email": fresh_email()}
    customer.post("/", customer.sent)


def arrives(drawn: dict[str, tuple[str, bool]], customer: Customer, console: Operator) -> None:
    """One customer's way with these values, and what has become of them at every place."""
    mark, kept = visits(customer, drawn)
    shown = customer.shown
    assert faults(shown) == []
    assert _Text(shown.text).active == []
    identifies(customer)
    shown = customer.verify()
    assert (shown.status, shown.step) == (200, "level")
    (entry,) = [one for one in customer.sandbox.registrations() if one["body"]["loginName"] == customer.sent["email"]]
    told = {key: value for key, value in entry["body"].items() if key.startswith("utm")}
    assert told == {SENT[key]: value for key, value in kept.items() if key in SENT and value}
    page = page_of(console, shown.reference)
    seen = _Text(page)
    assert seen.active == []
    assert [value for value in kept.values() if not shows(seen, value)] == []
    for text in (customer.server.log.read_text(), requests.get(customer.server.url + "/metrics", timeout=10).text):
        assert mark not in text


@settings(
    max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(VALUES)
@example(
    {key: ("%ED%A0%80%00%0D%0Alevel%3A+ERROR", first) for key, first in zip(UTM_KEYS, [True, False] * 3, strict=True)}
)
def test_hostile_values_arrive_as_text_and_nothing_else(
    open_server: Server, sandbox: Sandbox, console: Operator, drawn: dict[str, tuple[str, bool]]
) -> None:
    arrives(drawn, Customer(open_server, sandbox), console)


@settings(
    max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(VALUES)
@example({key: (quote(f"={key}+cmd|' /C calc'!A1,@x", safe=""), False) for key in UTM_KEYS})
@example({key: (quote("=x" * 200), first) for key, first in zip(UTM_KEYS, [True, False] * 3, strict=True)})
def test_hostile_values_are_texts_in_the_sheet(
    counted: Operator, sandbox: Sandbox, drawn: dict[str, tuple[str, bool]]
) -> None:
    """From the link to a cell. An apostrophe keeps a cell from being a formula; nothing else of the value changes."""
    customer = Customer(counted.server, sandbox)
    mark, kept = visits(customer, drawn)
    identifies(customer)
    assert "Days counted: 1." in counted.post("onboarding/funnel/", {}).text
    for key in drawn:
        sheet = counted.get("onboarding/funnel/", group=key, format="csv").content.decode("utf-8-sig")
        every_cell = {cell for row in csv.reader(io.StringIO(sheet, newline="")) for cell in row}
        cells = {cell for cell in every_cell if mark in cell}
        # Of a value that is too long the end is cut off, and its mark with it where it stands there.
        value = kept.get(key, "").replace("'", "")
        assert {cell.replace("'", "") for cell in cells} == ({value} if mark in value else set())
        assert value in {cell.replace("'", "") for cell in every_cell} or key not in kept
        assert [cell for cell in cells if cell[0] in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"] == []


def test_every_known_hostile_text_arrives_as_text(open_server: Server, sandbox: Sandbox, console: Operator) -> None:
    for drawn in every(TEXTS):
        arrives(drawn, Customer(open_server, sandbox), console)


def test_a_link_that_is_no_proper_query_is_read_as_far_as_it_goes(open_server: Server) -> None:
    """As bytes on the line, because no client of ours would send them. None: refused by the server before us."""
    for query, value in (
        (b"utm_source=%zz%&%", "%zz%"), (b"utm_source=\xff\xfe", None), (b"utm_source=\xc3\xa9", "é"),
        (b"&&=&utm_source=a;b&=", "a;b"), (b"utm_source=a?b=c", "a?b=c"), (b"utm_source=<b>\"'", None),
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", open_server.port), timeout=10) as line:
            line.sendall(b"GET /?" + query + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: line.recv(65536), b"")).decode()
        assert int(answer.split(" ", 2)[1]) == (400 if value is None else 200), (query, answer[:200])
        assert value is None or f"utm_source={quote(value, safe='')}" in html.unescape(answer)


def test_every_line_of_the_log_is_one_record(open_server: Server, sandbox: Sandbox, console: Operator) -> None:
    customer = Customer(open_server, sandbox)
    forged = {key: (quote('x\n{"level": "ERROR", "message": "forged"}\r\n', safe=""), True) for key in UTM_KEYS}
    arrives(forged, customer, console)
    lines = open_server.log.read_text().splitlines()
    assert len(lines) > 5
    records = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= set(record) for record in records)
    assert not any("forged" in str(record) for record in records)
