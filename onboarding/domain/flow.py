"""One person's attempt from start to end: its steps, its rules and its limits, without clock, request or database.

`current()` is the only place that decides which step a customer is on. It looks at what is known, never at the URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from onboarding.domain.levels import COMPANY, Level, Path, parts_of


class Step(StrEnum):
    """One screen of the flow."""

    IDENTIFY = "identify"
    PASSWORD = "password"  # noqa: S105 (the name of a step)
    VERIFY = "verify"
    PATH = "path"
    LEVEL = "level"
    STATUS = "status"
    DONE = "done"
    HANDOVER = "handover"  # beside the way: asked for by the customer, never given by current()
    PROBLEM = "problem"


class Channel(StrEnum):
    """How the verification code travels."""

    EMAIL = "email"
    PHONE = "phone"


class AccountType(StrEnum):
    INDIVIDUAL = "individual"
    ENTERPRISE = "enterprise"

    @property
    def number(self) -> int:
        """The upstream's `openAccountType`."""
        return 1 if self is AccountType.ENTERPRISE else 0


class Device(StrEnum):
    """What a flow was begun on, as coarse as the funnel wants it."""

    PHONE = "phone"
    TABLET = "tablet"
    DESKTOP = "desktop"


class Progress(StrEnum):
    """How far one intended upstream write has come."""

    PLANNED = "planned"  # written down, nothing sent
    SENT = "sent"  # on its way, or the process died while it was
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"  # sent, no usable answer: ask again with the same key
    GIVEN_UP = "given_up"  # unknown for as long as it could be asked about: a person has to find out

    @property
    def is_pending(self) -> bool:
        return self in PENDING

    @property
    def is_open(self) -> bool:
        """Whether it may have been done and nobody knows: nothing else may be sent in its place."""
        return self in OPEN


PENDING = (Progress.SENT, Progress.UNKNOWN)
OPEN = (*PENDING, Progress.GIVEN_UP)
# The upstream forgets a key after 24 hours and would then carry the same request out again (docs/upstream.md 7).
ASKED_FOR = timedelta(hours=23)


class Outcome(StrEnum):
    """How a flow ended, as far as we know; OPEN while it has not."""

    OPEN = ""
    REGISTERED = "registered"  # account exists, nothing more was asked
    IN_REVIEW = "in_review"  # a person upstream looks at it
    PASSED = "passed"
    EXISTS = "exists"
    REFUSED = "refused"
    DELETED = "deleted"


# Nothing more happens in these flows.
FINAL = frozenset({Outcome.REGISTERED, Outcome.PASSED, Outcome.EXISTS, Outcome.REFUSED})


class Notice(StrEnum):
    """The field that an earlier refusal concerns; it leads the customer back to that field's step."""

    NONE = ""
    CODE = "code"
    EMAIL = "email"
    PHONE = "phone"
    PHONE_AREA = "phone_area"
    COUNTRY = "country"
    ACCOUNT_TYPE = "account_type"
    PASSWORD = "password"  # noqa: S105 (the name of a field)
    AGENT = "agent"  # the referrer agent of the link is refused; the customer decides to go on without


IDENTITY_NOTICES = frozenset({Notice.EMAIL, Notice.PHONE, Notice.PHONE_AREA, Notice.COUNTRY, Notice.ACCOUNT_TYPE})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who wants to register: what the identify step asked for, validated."""

    channel: Channel
    account_type: AccountType
    country: str  # the dictionary's code
    email: str = ""
    area: str = ""  # "+44": area code of the phone number, or of the country for an e-mail registration
    area_country: str = ""  # dictionary code of the country whose area code was chosen
    phone: str = ""  # national number, digits only

    @property
    def identifier(self) -> str:
        return self.email if self.channel is Channel.EMAIL else f"{self.area} {self.phone}"


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent as given: when, in which language, to which linked texts."""

    at: datetime
    language: str
    terms_url: str
    privacy_url: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """What a request says about its sender, as far as the upstream asks for it."""

    address: str = ""  # the customer's IP address
    device: str = ""  # such as "Chrome 140, Android 14"
    mobile: bool = False
    kind: Device = Device.DESKTOP
    captcha: str = ""


@dataclass(frozen=True, slots=True)
class FlowState:
    """All that decides the current step."""

    outcome: Outcome = Outcome.OPEN
    notice: Notice = Notice.NONE
    password_open: bool = False  # the password step is on and not answered yet
    registration: Progress | None = None
    levels: tuple[Level, ...] = ()
    submitted: Mapping[str, Progress] = field(default_factory=dict)  # by level code
    paths: Mapping[str, str] = field(default_factory=dict)  # chosen path by level code
    answered: Mapping[str, frozenset[str]] = field(default_factory=dict)  # parts by level code
    can_submit: bool = True  # we hold what the upstream wants to see before it takes a level


@dataclass(frozen=True, slots=True)
class Position:
    """Where a customer is. On the step `level` without path and part, the level's elements must be fetched first."""

    step: Step
    level: Level | None = None
    path: Path | None = None
    part: str = ""  # of the level, each a screen of its own
    left: int = field(default=0, compare=False)  # how many levels are still to be filled in
    given_up: bool = field(default=False, compare=False)  # what the status waits for will not be asked about any more

    @property
    def must_fetch(self) -> bool:
        return self.step is Step.LEVEL and self.path is None and not self.part


def current(state: FlowState) -> Position:
    """The step that comes next, computed from what is known."""
    if state.outcome in (Outcome.EXISTS, Outcome.REFUSED, Outcome.DELETED):
        return Position(Step.PROBLEM)
    if state.registration is Progress.ACCEPTED:
        return _after_registration(state)
    if state.registration is not None and state.registration.is_open:
        return Position(Step.STATUS, given_up=state.registration is Progress.GIVEN_UP)
    if state.notice in IDENTITY_NOTICES:
        return Position(Step.IDENTIFY)
    if state.password_open:
        return Position(Step.PASSWORD)
    return Position(Step.VERIFY)


def _after_registration(state: FlowState) -> Position:
    levels = open_levels(state)
    if not levels:
        return Position(Step.DONE)
    level, progress = levels[0], state.submitted.get(levels[0].code)
    if progress is not None and progress.is_open:
        return Position(Step.STATUS, level, left=len(levels), given_up=progress is Progress.GIVEN_UP)
    return replace(_inside(level, state), left=len(levels))


def _inside(level: Level, state: FlowState) -> Position:
    """The first part of the level that is not answered; the last one sends everything."""
    answered = state.answered.get(level.code, frozenset())
    if level.is_company and COMPANY not in answered:
        return Position(Step.LEVEL, level, level.path(None), COMPANY)
    if not level.known:
        return Position(Step.LEVEL, level)
    path = level.path(state.paths.get(level.code))
    if path is None:
        return Position(Step.PATH, level)
    parts = parts_of(level, path)
    return Position(Step.LEVEL, level, path, next((part for part in parts if part not in answered), parts[-1]))


def open_levels(state: FlowState) -> tuple[Level, ...]:
    """The levels still to be filled in, in the upstream's order; none when we may not submit for this customer."""
    if not state.can_submit or state.outcome is not Outcome.OPEN:
        return ()
    return tuple(
        level
        for level in state.levels
        if state.submitted.get(level.code) is not Progress.ACCEPTED and (level.has_elements or not level.known)
    )


def may_hand_over(step: Step, outcome: Outcome) -> bool:
    """Whether another device is of use: the account is open, and something is still to be done or waited for."""
    return step in (Step.PATH, Step.LEVEL, Step.STATUS) or (step is Step.DONE and outcome is Outcome.IN_REVIEW)


def pause_before_look(waited: timedelta) -> timedelta:
    """Until `settle` asks again how the checks stand, that long after the customer's last answer: ever less often.

    Some forty questions in two days, however the customer's own page asks in between.
    """
    return max(timedelta(minutes=1), waited / 4)


def expires_at(*, created: datetime, touched: datetime, idle: timedelta, longest: timedelta) -> datetime:
    """When a flow expires: after `idle` without a POST, and `longest` after its start in any case."""
    return min(touched + idle, created + longest)


def cooldown(sends: int, pauses: Sequence[int]) -> timedelta:
    """How long after the last code the next one may be asked for, when `sends` have been sent; `pauses` in seconds."""
    return timedelta(seconds=pauses[min(max(sends, 1), len(pauses)) - 1])
