"""Everything the sandbox remembers, behind one lock that is never held while sleeping.

Imports nothing of this project. The clock is an argument, so that a test can let a day pass.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .protocol import KeyPair, Reply

CALLS_KEPT = 5000
REPLIES_KEPT = 20_000
FILES_KEPT = 500
REPLY_SECONDS = 24 * 3600.0
SEND_WINDOW_SECONDS = 1800.0
RATE_WINDOW_SECONDS = 60

Key = tuple[str, ...]
Answers = dict[str, list[str]]  # by element code; several values where a path asks for one code several times


@dataclass
class Ticket:
    """A verification code on its way. Its lifetime is documented nowhere: half an hour is our choice."""

    biz_type: str
    recipient: str
    code: str
    sent_at: float
    wrong: int = 0
    used: bool = False


@dataclass
class LevelState:
    """What a customer has handed in for one level."""

    values: Answers = field(default_factory=dict)
    path: str = ""
    company_type: str | None = None
    submissions: int = 0
    submitted_at: float | None = None
    rejects: bool = False


@dataclass
class Customer:
    number: str
    id: int
    company_id: str
    type: int
    recipient: str
    login_name: str
    phone_area: str | None
    country: str
    account_type: int
    group: int | None
    password: str | None
    tags: frozenset[str]
    registered_at: int
    in_review: bool = False
    agent: str | None = None
    levels: dict[str, LevelState] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredFile:
    content: bytes
    content_type: str
    owner: str


@dataclass(frozen=True)
class InFlight:
    """The same key is being worked on right now."""


IN_FLIGHT = InFlight()


class State:
    def __init__(
        self,
        *,
        clock: Callable[[], float],
        company_id: str | None,
        send_limit: int,
        review_seconds: float,
        slow_seconds: float,
        hang_seconds: float,
        rate_limit: int,
    ) -> None:
        self.clock = clock
        self.company_id = company_id
        self.send_limit = send_limit
        self.review_seconds = review_seconds
        self.slow_seconds = slow_seconds
        self.hang_seconds = hang_seconds
        self.rate_limit = rate_limit
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self._keys: KeyPair | None = None
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.inbox: deque[dict[str, str]] = deque(maxlen=CALLS_KEPT)
            self.registrations: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
            self.applications: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
            self.calls: deque[dict[str, Any]] = deque(maxlen=CALLS_KEPT)
            self.tickets: OrderedDict[str, Ticket] = OrderedDict()
            self.sends: defaultdict[Key, list[float]] = defaultdict(list)
            self.customers: dict[str, Customer] = {}
            self.tokens: dict[str, Customer] = {}
            self.files: OrderedDict[str, StoredFile] = OrderedDict()
            self.asked: dict[str, list[Any] | None] = {}
            self._counts: defaultdict[Key, int] = defaultdict(int)
            self._replies: OrderedDict[Key, tuple[float, Reply | InFlight]] = OrderedDict()
            self._rates: dict[str, tuple[int, int]] = {}
            self._serial = 0

    def keys(self) -> KeyPair:
        """Made at first use: most tests never sign, and a key costs time."""
        with self.lock:
            if self._keys is None:
                self._keys = KeyPair()
            return self._keys

    def stamp(self) -> str:
        moment = datetime.fromtimestamp(self.clock(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def serial(self) -> int:
        with self.lock:
            self._serial += 1
            return self._serial

    def count(self, *what: str) -> int:
        """How often this was asked, this time included."""
        with self.lock:
            self._counts[what] += 1
            return self._counts[what]

    def wait(self, seconds: float) -> None:
        """Sleep, unless the sandbox is stopped meanwhile."""
        self.stopping.wait(seconds)

    def new_token(self, customer: Customer, *, valid: bool = True) -> str:
        token = secrets.token_hex(16) + "app"
        with self.lock:
            if valid:
                self.tokens[token] = customer
        return token

    def customers_by_number(self, number: str) -> Customer | None:
        with self.lock:
            return next((known for known in self.customers.values() if known.number == number), None)

    def add_file(self, stored: StoredFile, suffix: str) -> str:
        name = secrets.token_hex(12) + suffix
        with self.lock:
            self.files[name] = stored
            while len(self.files) > FILES_KEPT:
                self.files.popitem(last=False)
        return name

    def spend(self, endpoint: str) -> int:
        """Calls left in this minute for the endpoint; negative when there were too many."""
        window = int(self.clock()) // RATE_WINDOW_SECONDS
        with self.lock:
            known, used = self._rates.get(endpoint, (window, 0))
            used = used + 1 if known == window else 1
            self._rates[endpoint] = (window, used)
        return self.rate_limit - used

    def begin(self, key: Key) -> Reply | InFlight | None:
        """The reply cached under an idempotency key, IN_FLIGHT, or None after having claimed the key."""
        now = self.clock()
        with self.lock:
            known = self._replies.get(key)
            if known and now - known[0] < REPLY_SECONDS:
                return known[1]
            self._replies[key] = (now, IN_FLIGHT)
            self._replies.move_to_end(key)
            while len(self._replies) > REPLIES_KEPT:
                self._replies.popitem(last=False)
            return None

    def finish(self, key: Key, reply: Reply | None) -> None:
        """Cache the first reply, or give the key back when nothing was done."""
        with self.lock:
            if reply is None:
                self._replies.pop(key, None)
            else:
                self._replies[key] = (self.clock(), reply)
