"""How many statements each answer takes, counted where the server sends them to its database.

BEGIN and COMMIT are not counted, nor is what a process reads every three seconds for all customers (counted.py). An
answer that asks the upstream takes two transactions, because none may be open meanwhile: the intent, and the outcome
with all that follows. Each begins with the flow's row, fenced, and writes one statement to every table it concerns.
Where a submission is there already (another code, another try), the flow and that one are held and read first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server, Shown, fresh_phone

# At most so many statements, by what is asked and by how it is answered.
PAGE = 2  # the flow, and its submissions
AT_MOST = {
    # The landing's turns, whether it began a flow, the address's limit; then the flow, its milestone and the turn.
    ("POST", "/", 303): 6,
    ("POST", "/f/language/", 303): 2,
    # The flow; password and code in one intent: flow, limits, submission; the outcome: flow, milestone, submission.
    ("POST", "/f/password/", 303): 7,
    ("POST", "/f/identify/", 303): 7,  # the same identity again: no code
    ("POST", "/f/resend/", 303): 9,
    ("POST", "/f/verify/", 422): 6,
    ("POST", "/f/verify/", 303): 9,  # after a wrong one; the first takes FIRST_TRY
    ("POST", "/f/level/", 303): 8,  # a draft, the picture's place, the intent, the outcome: four transactions
}
FIRST_TRY = 6  # the flow; the intent: flow, submission; the outcome: flow, milestones, submission
BY_TEXT_MESSAGE = 4  # more for a code: the counts that tell of codes nobody uses
FIRST_LOOK = 8  # at a review: the upstream is asked, and what it says is written down


class CountingServer(Server):
    application = "tests.web.counted:application"


@dataclass
class Watched(Customer):
    """Notes what each answer took."""

    took: list[tuple[str, str, int, int]] = field(default_factory=list)

    def _note(self, response: requests.Response) -> Shown:
        for hop in (*response.history, response):
            path = re.sub(r"/f/[^/]+", "/f", (hop.request.path_url or "").partition("?")[0])
            taken = len(json.loads(hop.headers["X-Statements"]))
            self.took.append((hop.request.method or "", path, hop.status_code, taken))
        return super()._note(response)

    def look(self) -> Shown:
        return self.get(self.flow_url)

    def too_many(self, *, more: int = 0) -> list[tuple[str, str, int, int]]:
        """The answers that took more than they may."""
        return [found for found in self.took if found[-1] > _most(*found[:3]) + (more if found[0] == "POST" else 0)]


def _most(method: str, path: str, status: int) -> int:
    if method == "GET":
        return 0 if path == "/" else PAGE
    return AT_MOST[method, path, status]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def counting(
    request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    database = f"sqlite:///{tmp_path_factory.mktemp('db') / 'counted.sqlite3'}"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres")
    upstream = sandbox.url + "/api"
    server = CountingServer(database=database, upstream=upstream, RESEND_COOLDOWN="0", LIMIT_ADDRESS="1000/10m")
    with server.migrate():
        yield server


@pytest.fixture
def watched(counting: Server, sandbox: Sandbox) -> Watched:
    """A customer of a server that has drawn its pages before, with a browser that says where a request comes from."""
    customer = Watched(counting, sandbox, headers={"Sec-Fetch-Site": "same-origin"})
    customer.get("/")
    customer.took.clear()
    return customer


def test_pages_take_two_statements_and_the_first_page_none(watched: Watched) -> None:
    assert watched.identify().step == "password"
    assert watched.look().step == "password"
    assert watched.password().step == "verify"
    assert watched.look().step == "verify"
    assert watched.verify().step == "level"
    assert [taken for method, path, _, taken in watched.took if (method, path) == ("POST", "/f/verify/")] == [FIRST_TRY]
    assert watched.look().step == "level"
    assert watched.level().step == "done"
    look = watched.took.pop()
    assert look[-1] <= FIRST_LOOK
    assert watched.look().step == "done"
    assert not watched.too_many()
    assert {path for method, path, *_ in watched.took if method == "GET"} == {"/", "/f/"}


def test_answers_take_as_few_statements_as_their_transactions_need(watched: Watched) -> None:
    watched.identify()
    watched.post(watched.flow_url + "language/", {"lang": "es"})
    watched.post(watched.flow_url + "language/", {"lang": "en"})
    watched.password("a new Password 1")
    watched.post(watched.flow_url + "resend/", {})
    watched.post(watched.flow_url + "identify/", watched.sent)
    code = watched.code()
    watched.verify("000000" if code != "000000" else "111111")
    watched.verify(code)
    watched.level()
    watched.took.pop()  # the first look at the review: above
    assert not watched.too_many()
    assert {tuple(found[:3]) for found in watched.took if found[0] == "POST"} == set(AT_MOST)


def test_codes_by_text_message_take_a_few_statements_more(watched: Watched) -> None:
    watched.identify(phone=fresh_phone())
    watched.password()
    watched.post(watched.flow_url + "resend/", {})
    assert watched.verify().step == "level"
    assert not watched.too_many(more=BY_TEXT_MESSAGE)
