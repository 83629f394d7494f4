"""The use cases up to the registration: find a flow, start it, correct it, send a code, hold a session.

Each one locks shortly, writes the intent down, calls the upstream with no transaction open, and records the outcome.
Never sees an HTTP request; above this module nobody knows a JSON key or a status of the upstream.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from onboarding import limits, pumping, writes
from onboarding.domain.attribution import Touches
from onboarding.domain.flow import (
    OPEN,
    Consent,
    Device,
    FlowState,
    Identity,
    Notice,
    Outcome,
    Position,
    Progress,
    Visitor,
    cooldown,
    current,
)
from onboarding.gateway import upstream, upstream_language
from onboarding.logs import follow
from onboarding.metrics import CODES_SENT, FLOWS_STARTED
from onboarding.milestones import reached
from onboarding.models import Flow, MilestoneKind, Once, Submission, SubmissionKind, release_connection
from onboarding.proof import Proof
from onboarding.sealing import derive_handle, fingerprint, handle_digest
from onboarding.submissions import Clock, changing, find, find_to_plan, locked, new_key, perform, plan
from onboarding.upstream.client import Call
from onboarding.upstream.errors import UpstreamError, UpstreamUnavailable
from onboarding.upstream.wire import LoginRequest
from onboarding.writes import WRITES

log = logging.getLogger("onboarding.services")


class TooSoon(Exception):
    """The next code may be asked for after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} seconds")
        self.seconds = seconds


class LimitReached(Exception):
    """This flow has used up its codes or its attempts; another one gets a code after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"another flow in {seconds} seconds")
        self.seconds = seconds


class NoMoreCodes(LimitReached):
    """This flow has used up its codes, and the newest one may still be entered."""


class StepOver(Exception):
    """The flow has moved on: the step answered is not the current one any more."""


class AlreadyUsed(Exception):
    """The landing has had its turns, or the proof has counted for something else."""


class Rejected(Exception):
    """A definite refusal, by the upstream with its code or by ourselves, and the field it concerns."""

    def __init__(self, code: str, field: str, flow: Flow | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field
        self.flow = flow  # as it is then, where that is known


@dataclass(frozen=True, slots=True)
class Entry:
    """How the customer came in: what the landing carried."""

    partner: str
    nonce: str
    language: str
    touches: Touches
    agent: str = ""
    device: Device = Device.DESKTOP


# -- Finding a flow ----------------------------------------------------------------------------------------------------


def find_flow(handle: str, *, with_submissions: bool = False) -> Flow | None:
    """The flow at this address now, expired ones included; None for any other text (mostly without a query)."""
    digest = handle_digest(handle)
    if digest is None:
        return None
    known = Q(handle_digest=digest) | Q(next_handle_digest=digest) | Q(second_digest=digest)
    flows = Flow.objects.filter(known, purged_at=None)
    return Flow.with_submissions(flows) if with_submissions else flows.first()


def find_left_flow(handle: str) -> Flow | None:
    """The flow that was at this address until its registration succeeded."""
    digest = handle_digest(handle)
    return Flow.objects.filter(previous_handle_digest=digest, purged_at=None).first() if digest else None


def is_address_of(flow: Flow, handle: str) -> bool:
    """Whether `find_flow` gives this flow for the handle, as the row was read."""
    return handle_digest(handle) in (flow.handle_digest, flow.next_handle_digest, flow.second_digest)


def home_of(flow: Flow, handle: str) -> str:
    """The address that belongs into the customer's browser, for one who came by `handle`.

    The address that a code leads to counts from the moment its answer is open until it is refused; then the flow's own
    address counts again. (After a key rotation that one cannot be derived any more; the other goes on then.)
    The other device of a customer who goes on with two has an address of its own.
    """
    if handle_digest(handle) in (flow.handle_digest, flow.second_digest):
        return handle
    submission = find(flow, SubmissionKind.REGISTER)
    own = derive_handle("landing", flow.landing_digest)
    if submission is None or submission.progress.is_open or handle_digest(own) != flow.handle_digest:
        return handle
    return own


def is_expired(flow: Flow, now: datetime) -> bool:
    """Not while an outcome is open: nobody may be told to start again before that is known."""
    if flow.expires_at > now:
        return False
    return not flow.submissions.filter(state__in=OPEN).exclude(kind=SubmissionKind.CODE).exists()


def state_of(flow: Flow) -> FlowState:
    """All that decides the flow's current step."""
    submissions = flow.look()
    return FlowState(
        outcome=Outcome(flow.outcome),
        notice=Notice(flow.notice),
        password_open=flow.password_open,
        registration=next((s.progress for s in submissions if s.kind == SubmissionKind.REGISTER), None),
        levels=flow.levels,
        submitted={s.level: s.progress for s in submissions if s.kind == SubmissionKind.LEVEL},
        paths=flow.personal.get("paths") or {},
        answered={code: frozenset(parts) for code, parts in (flow.personal.get("answered") or {}).items()},
        can_submit=bool(flow.personal.get("token")),
    )


def position(flow: Flow) -> Position:
    """Where the flow is. Raises StepOver when it registered after this row was read: its address has changed."""
    state = state_of(flow)
    if state.registration is Progress.ACCEPTED and flow.registered_at is None:
        raise StepOver
    return current(state)


# -- Starting and correcting -------------------------------------------------------------------------------------------


def find_begun(entry: Entry, identity: Identity) -> tuple[Flow, str] | None:
    """The flow that this landing and these answers began, and its handle: for a reload, a double click, Back."""
    digest = _landing_digest(entry, identity)
    found = Flow.objects.filter(landing_digest=digest).first()
    return (found, derive_handle("landing", digest)) if found else None


def _landing_digest(entry: Entry, identity: Identity) -> str:
    return fingerprint("landing", entry.nonce, *(str(value) for value in asdict(identity).values()))


# A landing is meant for one flow. Somebody may still go back, correct the address and send again, and two people may
# share a page without being joined: so other answers begin another flow, with a proof and a few times only. One page
# that was fetched once is then no machine that makes flows.
FLOWS_PER_LANDING = 3


def _turns(entry: Entry) -> list[str]:
    return [fingerprint("turn", entry.nonce, str(number)) for number in range(FLOWS_PER_LANDING)]


def flows_begun(entry: Entry) -> int:
    """How many flows this landing has begun."""
    return Once.objects.filter(digest__in=_turns(entry)).count()


def start_flow(
    *, entry: Entry, identity: Identity, consent: Consent, now: datetime, proof: Proof | None = None
) -> tuple[Flow, str]:
    """The flow that this landing and these answers began, and its handle; made once, found at every repetition.

    Other answers on the same landing begin another flow, with a proof. Raises AlreadyUsed when the proof, or the
    landing, has been used meanwhile: nothing is stored then.
    """
    digest = _landing_digest(entry, identity)
    handle = derive_handle("landing", digest)
    flow = Flow(
        handle_digest=handle_digest(handle) or "",
        landing_digest=digest,
        partner=entry.partner,
        language=entry.language,
        attribution=entry.touches.stored(),
        campaign=entry.touches.last.values.get("utm_campaign", ""),
        device=entry.device,
        agent=entry.agent,
        password_open=settings.PASSWORD_STEP != "off",  # noqa: S105 (a setting's value)
        consent_at=consent.at,
        consent_language=consent.language,
        consent_terms_url=consent.terms_url[:500],
        consent_privacy_url=consent.privacy_url[:500],
        created_at=now,
    )
    _put_identity(flow, identity)
    flow.touch(now)
    try:
        with transaction.atomic():
            reached(flow, MilestoneKind.IDENTIFIED, now)
            flow.save(force_insert=True)
            _take_turn(entry, proof, now)
    except IntegrityError:
        found = Flow.objects.filter(landing_digest=digest).first()
        if found is None:  # the reference was taken: one in 26 to the power of nine
            raise
        return found, handle
    flow.seen = ()  # it is new
    FLOWS_STARTED.inc()
    follow(flow.reference)
    log.info("flow started, reference %s, partner %s, channel %s", flow.reference, flow.partner, flow.channel)
    return flow, handle


def _take_turn(entry: Entry, proof: Proof | None, now: datetime) -> None:
    """Uses the proof up and one of the landing's turns; without a proof there is only the first one."""
    if proof is not None and not proof.use():
        raise AlreadyUsed
    turns = _turns(entry) if proof or settings.PROOF_OF_WORK == "off" else _turns(entry)[:1]
    until = now + timedelta(hours=settings.FLOW_MAX_HOURS)  # an older landing is not taken
    if not any(Once.use(turn, until) for turn in turns):
        raise AlreadyUsed


def _put_identity(flow: Flow, identity: Identity) -> None:
    flow.channel, flow.account_type, flow.country = identity.channel, identity.account_type, identity.country
    flow.personal = {**flow.personal, "identity": asdict(identity)}


def correct_identity(*, flow: Flow, identity: Identity, now: datetime, proof: Proof | None = None) -> Flow:
    """Puts another identifier, channel, country or account type in place; everything else is kept.

    A new identifier needs a code of its own at once, whatever the cool-down; the number of codes per flow still counts.
    Raises AlreadyUsed when the proof counted for another correction; a repetition of the same one needs none.
    """
    with locked(flow) as row:
        require_unregistered(row)
        if proof is not None and identity != row.identity and not proof.use():
            raise AlreadyUsed
        if identity.identifier != row.identity.identifier:
            row.code_sent_at = None
            row.personal = {**row.personal, "ticket": ""}
            # A code on its way to the old identifier must not count for the new one: its answer finds another key.
            row.submissions.filter(kind=SubmissionKind.CODE).update(key=new_key(), state=Progress.REJECTED)
        _put_identity(row, identity)
        row.notice, row.notice_code = Notice.NONE, ""
        row.touch(now)
        row.save()
    return row


def set_password(*, flow: Flow, password_md5: str, now: datetime) -> Flow:
    """Keeps the password's digest (an empty one: skipped) until the registration has used it."""

    def change(row: Flow) -> Flow:
        require_unregistered(row)
        _put_password(password_md5, now, row)
        row.store()
        return row

    return changing(flow, change)


def _put_password(password_md5: str, now: datetime, row: Flow) -> None:
    row.personal = {**row.personal, "password": password_md5}
    row.password_open = False
    row.notice, row.notice_code = Notice.NONE, ""
    row.touch(now)


def keep_alive(*, flow: Flow, now: datetime) -> None:
    """The customer is there, and has answered nothing yet."""

    def change(row: Flow) -> None:
        row.touch(now)
        row.store()

    changing(flow, change)


def require_unregistered(row: Flow) -> None:
    """Raises StepOver once a registration is done, or may have been."""
    _require_open(row, next((seen.progress for seen in row.look() if seen.kind == SubmissionKind.REGISTER), None))


def _require_open(row: Flow, registration: Progress | None) -> None:
    if row.outcome or (registration is not None and (registration.is_open or registration is Progress.ACCEPTED)):
        raise StepOver


def set_language(*, flow: Flow, language: str, now: datetime) -> Flow:
    def change(row: Flow) -> Flow:
        row.language = language
        row.touch(now)
        row.store()
        return row

    return changing(flow, change)


# -- The verification code ---------------------------------------------------------------------------------------------


def wait_for_next_code(flow: Flow, now: datetime) -> int:
    """Seconds until another code may be asked for."""
    if flow.code_sent_at is None:
        return 0
    left = (flow.code_sent_at + cooldown(flow.sends, settings.RESEND_COOLDOWN) - now).total_seconds()
    return max(0, int(left) + (left > int(left)))


def answer_password(*, flow: Flow, password_md5: str, visitor: Visitor, clock: Clock = timezone.now) -> None:
    """Keeps the password's digest as `set_password` does, and has the first code sent: one transaction for both.

    Raises what `send_code` raises; the password is kept all the same, unless it was the database that failed.
    """
    put = partial(_put_password, password_md5, clock())
    try:
        row, submission = _planned(flow, visitor, resend=False, clock=clock, first=put)
    except (TooSoon, LimitReached, limits.Spent, Rejected):  # nothing stayed of that transaction
        set_password(flow=flow, password_md5=password_md5, now=clock())
        raise
    _send(row, submission, clock)


def send_code(*, flow: Flow, visitor: Visitor, resend: bool, clock: Clock = timezone.now) -> None:
    """Has the upstream send a verification code, unless one was sent; `resend` asks for another one.

    Raises TooSoon, LimitReached, limits.Spent, Rejected, or UpstreamUnavailable when no answer says that a code is on
    its way (the same key is then used the next time), or when it cannot be counted.
    """
    row, submission = _planned(flow, visitor, resend=resend, clock=clock)
    _send(row, submission, clock)


def _planned(
    flow: Flow, visitor: Visitor, *, resend: bool, clock: Clock, first: Callable[[Flow], None] | None = None
) -> tuple[Flow, Submission | None]:
    """The flow with the submission that sends the code, None when one was sent. `first` is done to the row before."""

    def change(row: Flow) -> tuple[Flow, Submission | None]:
        return row, _plan_code(row, visitor, resend=resend, now=clock(), first=first)

    try:
        return changing(flow, change, at_once=flow.has_no(SubmissionKind.CODE, SubmissionKind.REGISTER))
    except DatabaseError as exc:  # what cannot be counted is not sent
        log.error("a code for reference %s cannot be counted: %s", flow.reference, type(exc).__name__)
        raise UpstreamUnavailable("NOT_COUNTED", retry_after=10) from exc


def _send(row: Flow, submission: Submission | None, clock: Clock) -> None:
    if submission is None:
        return
    submission = perform(submission, WRITES[SubmissionKind.CODE], clock=clock)
    if submission.progress is Progress.REJECTED:
        raise Rejected(submission.code, submission.field)
    if submission.progress is not Progress.ACCEPTED:
        raise UpstreamUnavailable(submission.code or "NO_ANSWER", trace=submission.trace, retry_after=5)
    CODES_SENT.labels(row.channel).inc()


def _plan_code(
    row: Flow, visitor: Visitor, *, resend: bool, now: datetime, first: Callable[[Flow], None] | None
) -> Submission | None:
    held = find_to_plan(row)
    before = held.get(SubmissionKind.CODE)
    registration = held.get(SubmissionKind.REGISTER)
    _require_open(row, registration.progress if registration else None)
    if first is not None:
        first(row)
    payload = writes.code_payload(row, visitor)
    same = before is not None and writes.same_request(before.payload, payload)
    if before is not None and same and (before.progress.is_pending or before.progress is Progress.PLANNED):
        if before.progress is not Progress.SENT:
            _require_channel(row)
        if first is not None:
            row.store()
        return before  # a double click waits for the first one's answer; else nobody knows, and the same key asks again
    if row.code_sent_at is not None and not resend:
        if first is not None:
            row.store()
        return None
    if row.sends >= settings.LIMIT_FLOW_SENDS:
        open_yet = row.code_sent_at is not None and row.code_attempts < settings.LIMIT_FLOW_CODES
        raise limit_reached(row, visitor, now, NoMoreCodes if open_yet else LimitReached)
    wait = wait_for_next_code(row, now)
    if wait:
        raise TooSoon(wait)
    _require_channel(row)
    row.sends += 1
    row.touch(now)
    row.store()
    limits.spend(identity=row.identity, address=visitor.address, now=now)  # only what is new: a repetition is none
    return plan(row, SubmissionKind.CODE, payload, now=now, before=before)


def _require_channel(row: Flow) -> None:
    if pumping.is_stopped(row.identity):
        raise Rejected(pumping.SMS_STOPPED, "page")


def limit_reached(row: Flow, visitor: Visitor, now: datetime, kind: type[LimitReached] = LimitReached) -> LimitReached:
    """The error to raise, with the seconds until another flow of this customer gets a code."""
    return kind(limits.wait(identity=row.identity, address=visitor.address, now=now))


# -- The session at the upstream ---------------------------------------------------------------------------------------


def ensure_token(flow: Flow) -> Flow:
    """Logs in with the password just set when we hold no token; without a password the customer signs in himself.

    Gives the flow as it is then.
    """
    row = Flow.objects.get(pk=flow.pk)
    if row.personal.get("token"):
        return row
    found = _log_in(row)
    if found:
        with locked(flow) as row:
            row.personal = {**row.personal, "token": row.personal.get("token") or found}
            row.save()
    return row


def _log_in(row: Flow) -> str:
    """A session token by the password, "" when there is none or the upstream refuses it."""
    password = row.personal.get("password")
    if not password or row.outcome not in (Outcome.OPEN, Outcome.IN_REVIEW):
        return ""
    request = LoginRequest(**writes.login_fields(row.identity), device=2, password_md5=password)
    release_connection()
    try:
        return upstream().login(request, Call(lang=upstream_language(row.language), who=row.reference)).token
    except UpstreamError as exc:
        log.warning("no token for reference %s: %s", row.reference, exc)
        return ""


def renew_token(flow: Flow, dead: str) -> str:
    """The session of another log-in after the one of this token ended; "" when we cannot log in.

    The dead token stays until there is a better one, or none: whoever else works with the flow must not find it
    without a session meanwhile.
    """
    row = Flow.objects.get(pk=flow.pk)
    token = str(row.personal.get("token", ""))
    if token != dead:
        return token  # somebody else was first
    found = _log_in(row)
    with locked(flow) as row:
        if row.personal.get("token", "") == dead:
            row.personal = {**row.personal, "token": found}
            row.save()
    return found or str(row.personal.get("token", ""))
