"""The use cases: start a flow, send a code, register, submit a level, settle, forget.

Each one locks shortly, writes the intent down, calls the upstream with no transaction open, and records the outcome.
Never sees an HTTP request; above this module nobody knows a JSON key or a status of the upstream.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import BinaryIO
from urllib.parse import quote

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from onboarding import writes
from onboarding.domain.flow import (
    MAX_CODE_ATTEMPTS,
    MAX_SENDS,
    Channel,
    Consent,
    FlowState,
    Identity,
    Notice,
    Outcome,
    Position,
    Progress,
    Visitor,
    cooldown,
    current,
    open_levels,
)
from onboarding.gateway import upstream, upstream_language
from onboarding.metrics import CODES_SENT, FLOWS_STARTED
from onboarding.models import Flow, Submission, SubmissionKind
from onboarding.sealing import derive_handle, fingerprint, handle_digest
from onboarding.submissions import Clock, find, lease, locked, perform, plan
from onboarding.upstream.client import Call
from onboarding.upstream.errors import OutcomeUnknown, Refused, SessionEnded, UpstreamError, UpstreamUnavailable
from onboarding.upstream.wire import LoginRequest
from onboarding.writes import WRITES

log = logging.getLogger("onboarding.services")

TWIN_SECONDS = 10  # the same code again this soon after its refusal is a double click, not another try
PENDING = Q(state__in=[Progress.SENT, Progress.UNKNOWN], kind__in=[SubmissionKind.REGISTER, SubmissionKind.LEVEL])


class TooSoon(Exception):
    """The next code may be asked for after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} seconds")
        self.seconds = seconds


class LimitReached(Exception):
    """This flow has used up its codes or its attempts."""


class StepOver(Exception):
    """The flow has moved on: the step answered is not the current one any more."""


class Rejected(Exception):
    """A definite refusal by the upstream, with its code and the field it concerns."""

    def __init__(self, code: str, field: str) -> None:
        super().__init__(code)
        self.code = code
        self.field = field


@dataclass(frozen=True, slots=True)
class Entry:
    """How the customer came in: what the landing carried."""

    partner: str
    nonce: str
    language: str
    attribution: Mapping[str, str]
    agent: str = ""


# -- Finding a flow ----------------------------------------------------------------------------------------------------


def find_flow(handle: str) -> Flow | None:
    """The flow at this address now, expired ones included; None for any other text (mostly without a query)."""
    digest = handle_digest(handle)
    if digest is None:
        return None
    return Flow.objects.filter(Q(handle_digest=digest) | Q(next_handle_digest=digest), purged_at=None).first()


def find_left_flow(handle: str) -> Flow | None:
    """The flow that was at this address until its registration succeeded."""
    digest = handle_digest(handle)
    return Flow.objects.filter(previous_handle_digest=digest, purged_at=None).first() if digest else None


def is_expired(flow: Flow, now: datetime) -> bool:
    return flow.expires_at <= now


def state_of(flow: Flow) -> FlowState:
    """All that decides the flow's current step (one query)."""
    submissions = list(flow.submissions.defer("payload", "history"))
    return FlowState(
        outcome=Outcome(flow.outcome),
        notice=Notice(flow.notice),
        password_open=flow.password_open,
        registration=next((s.progress for s in submissions if s.kind == SubmissionKind.REGISTER), None),
        levels=flow.levels,
        submitted={s.level: s.progress for s in submissions if s.kind == SubmissionKind.LEVEL},
        paths=flow.personal.get("paths") or {},
        can_submit=bool(flow.personal.get("token")),
    )


def position(flow: Flow) -> Position:
    return current(state_of(flow))


# -- Starting and correcting -------------------------------------------------------------------------------------------


def start_flow(*, entry: Entry, identity: Identity, consent: Consent, now: datetime) -> tuple[Flow, str]:
    """The flow that this landing and these answers began, and its handle; made once, found at every repetition.

    Another answer on the same landing begins another flow: a page that two people share must never join them.
    """
    digest = fingerprint("landing", entry.nonce, *(str(value) for value in asdict(identity).values()))
    handle = derive_handle("landing", digest)
    flow = Flow(
        handle_digest=handle_digest(handle) or "",
        landing_digest=digest,
        partner=entry.partner,
        language=entry.language,
        attribution=dict(entry.attribution),
        agent=entry.agent,
        password_open=settings.PASSWORD_STEP != "off",
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
            flow.save(force_insert=True)
    except IntegrityError:
        return Flow.objects.get(landing_digest=digest), handle
    FLOWS_STARTED.inc()
    log.info("flow started, reference %s, partner %s, channel %s", flow.reference, flow.partner, flow.channel)
    return flow, handle


def _put_identity(flow: Flow, identity: Identity) -> None:
    flow.channel, flow.account_type, flow.country = identity.channel, identity.account_type, identity.country
    flow.personal = {**flow.personal, "identity": asdict(identity)}


def correct_identity(*, flow: Flow, identity: Identity, now: datetime) -> Flow:
    """Puts another identifier, channel, country or account type in place; everything else is kept.

    A new identifier needs a code of its own at once, whatever the cool-down; the number of codes per flow still counts.
    """
    with locked(flow) as row:
        _require_unregistered(row)
        if identity.identifier != row.identity.identifier:
            row.code_sent_at = None
            row.personal = {**row.personal, "ticket": ""}
        _put_identity(row, identity)
        row.notice, row.notice_code = Notice.NONE, ""
        row.touch(now)
        row.save()
    return row


def set_password(*, flow: Flow, password_md5: str, now: datetime) -> Flow:
    """Keeps the password's digest (an empty one: skipped) until the registration has used it."""
    with locked(flow) as row:
        _require_unregistered(row)
        row.personal = {**row.personal, "password": password_md5}
        row.password_open = False
        row.notice, row.notice_code = Notice.NONE, ""
        row.touch(now)
        row.save()
    return row


def _require_unregistered(row: Flow) -> None:
    submission = find(row, SubmissionKind.REGISTER)
    if row.outcome or (submission is not None and submission.progress in (*_PENDING_STATES, Progress.ACCEPTED)):
        raise StepOver


_PENDING_STATES = (Progress.SENT, Progress.UNKNOWN)


def set_language(*, flow: Flow, language: str, now: datetime) -> Flow:
    with locked(flow) as row:
        row.language = language
        row.touch(now)
        row.save()
    return row


def choose_path(*, flow: Flow, level: str, path: str, now: datetime) -> None:
    with locked(flow) as row:
        row.personal = {**row.personal, "paths": {**(row.personal.get("paths") or {}), level: path}}
        row.touch(now)
        row.save()


# -- The verification code ---------------------------------------------------------------------------------------------


def wait_for_next_code(flow: Flow, now: datetime) -> int:
    """Seconds until another code may be asked for."""
    if flow.code_sent_at is None:
        return 0
    left = (flow.code_sent_at + cooldown(flow.sends) - now).total_seconds()
    return max(0, int(left) + (left > int(left)))


def send_code(*, flow: Flow, visitor: Visitor, resend: bool, clock: Clock = timezone.now) -> Flow:
    """Has the upstream send a verification code, unless one was sent; `resend` asks for another one.

    Raises TooSoon, LimitReached, Rejected, or UpstreamUnavailable when no answer says that a code is on its way (the
    same key is then used the next time).
    """
    with locked(flow) as row:
        submission = _plan_code(row, visitor, resend=resend, now=clock())
    if submission is None:
        return row
    submission = perform(submission, WRITES[SubmissionKind.CODE], clock=clock)
    flow = Flow.objects.get(pk=flow.pk)
    if submission.progress is Progress.REJECTED:
        raise Rejected(submission.code, submission.field)
    if submission.progress is not Progress.ACCEPTED:
        raise UpstreamUnavailable(submission.code or "NO_ANSWER", trace=submission.trace, retry_after=5)
    CODES_SENT.labels(flow.channel).inc()
    return flow


def _plan_code(row: Flow, visitor: Visitor, *, resend: bool, now: datetime) -> Submission | None:
    _require_unregistered(row)
    before = find(row, SubmissionKind.CODE)
    payload = writes.code_payload(row, visitor)
    same = before is not None and writes.same_request(before.payload, payload)
    if before is not None and same and before.progress in (*_PENDING_STATES, Progress.PLANNED):
        return before  # a double click waits for the first one's answer; else nobody knows, and the same key asks again
    if row.code_sent_at is not None and not resend:
        return None
    if row.sends >= MAX_SENDS:
        raise LimitReached
    wait = wait_for_next_code(row, now)
    if wait:
        raise TooSoon(wait)
    row.touch(now)
    row.save()
    return plan(row, SubmissionKind.CODE, payload, now=now, before=before)


# -- Registering -------------------------------------------------------------------------------------------------------


def register(*, flow: Flow, code: str, visitor: Visitor, clock: Clock = timezone.now) -> str:
    """Registers the customer with this verification code, once; gives the handle that the flow has from then on.

    Any number of calls with the same code, at the same moment or later, lead to the same handle; while the outcome is
    unknown it leads to the status step. Raises Rejected when the code is refused, LimitReached after too many codes,
    StepOver when another code got there first.
    """
    for _ in range(2):  # the second round is for a code that waited for another code's answer
        submission, mine = _intend_registration(flow, code, visitor, clock())
        if submission.progress not in (Progress.ACCEPTED, Progress.REJECTED):
            submission = perform(submission, WRITES[SubmissionKind.REGISTER], clock=clock)
        if mine or submission.progress is not Progress.REJECTED:
            break
    if submission.progress is Progress.REJECTED and submission.field == Notice.CODE:
        raise Rejected(submission.code, submission.field)
    if submission.progress is Progress.ACCEPTED:
        ensure_token(flow)
    handle = writes.handle_for(flow, code)
    found = find_flow(handle)
    if found is None or found.pk != flow.pk:
        raise StepOver
    return handle


def _intend_registration(flow: Flow, code: str, visitor: Visitor, now: datetime) -> tuple[Submission, bool]:
    """The submission to wait for or to send, and whether it is about this very code."""
    with locked(flow) as row:
        before = find(row, SubmissionKind.REGISTER)
        payload = writes.registration_payload(row, code, visitor)
        same = before is not None and writes.same_request(before.payload, payload)
        if before is not None and before.progress in (*_PENDING_STATES, Progress.ACCEPTED):
            return before, same
        if before is not None and same:
            twin = before.ended_at is not None and now - before.ended_at < timedelta(seconds=TWIN_SECONDS)
            if before.progress is Progress.PLANNED or twin:
                return before, True
        if row.code_attempts >= MAX_CODE_ATTEMPTS:
            raise LimitReached
        row.code_attempts += 1
        row.next_handle_digest = handle_digest(writes.handle_for(row, code))
        row.notice, row.notice_code = Notice.NONE, ""
        row.touch(now)
        row.save()
        return plan(row, SubmissionKind.REGISTER, payload, now=now, before=before), True


def replayed_handle(*, handle: str, code: str) -> str | None:
    """The handle that the POST of this code to this old address led to, for a reload or a double click of that POST.

    Only who knows the code gets it, and five wrong guesses close the way for good.
    """
    flow = find_left_flow(handle)
    if flow is None or flow.replay_misses >= MAX_CODE_ATTEMPTS:
        return None
    found = writes.handle_for(flow, code)
    if handle_digest(found) == flow.handle_digest:
        return found
    with locked(flow) as row:
        row.replay_misses += 1
        row.save(update_fields=["replay_misses"])
    return None


def ensure_token(flow: Flow) -> None:
    """Logs in with the password just set when the upstream gave no token; without one the customer signs in himself."""
    row = Flow.objects.get(pk=flow.pk)
    password = row.personal.get("password")
    if row.personal.get("token") or not password or row.outcome:
        return
    identity = row.identity
    by_phone = identity.channel is Channel.PHONE
    request = LoginRequest(
        type=2 if by_phone else 1,
        login_name=identity.phone if by_phone else identity.email,
        phone_area=identity.area if by_phone else None,
        device=2,
        password_md5=password,
    )
    try:
        login = upstream().login(request, Call(lang=upstream_language(row.language)))
    except UpstreamError as exc:
        log.warning("no token for reference %s: %s", row.reference, exc)
        return
    with locked(flow) as row:
        row.personal = {**row.personal, "token": login.token}
        row.save()


# -- Levels ------------------------------------------------------------------------------------------------------------


def uploads_of(flow: Flow, level: str) -> dict[str, dict[str, str]]:
    """Element code → {url, name} of the pictures that the upstream took for this level."""
    return dict((flow.personal.get("uploads") or {}).get(level) or {})


def draft_of(flow: Flow, level: str) -> dict[str, str]:
    """What was entered on this level before, by form field."""
    return dict((flow.personal.get("drafts") or {}).get(level) or {})


def keep_draft(*, flow: Flow, level: str, draft: Mapping[str, str], now: datetime) -> Flow:
    """Keeps what was entered, right or wrong, so that neither a refusal nor a bad network loses it."""
    with locked(flow) as row:
        row.personal = {**row.personal, "drafts": {**(row.personal.get("drafts") or {}), level: dict(draft)}}
        row.touch(now)
        row.save()
    return row


def upload_picture(
    *, flow: Flow, level: str, element: str, content: BinaryIO, content_type: str, shown_name: str, visitor: Visitor,
    now: datetime,
) -> Flow:  # fmt: skip
    """Passes one picture on to the upstream and remembers its address there, so that an error elsewhere on the page
    does not lose it. Raises Rejected, or UpstreamUnavailable (no answer: nothing was kept, sending it again is safe)."""
    call = Call(
        lang=upstream_language(flow.language),
        token=flow.personal.get("token", ""),
        client_address=visitor.address,
    )
    name = "picture." + content_type.rpartition("/")[2]  # the customer's own file name is nobody's business
    try:
        url = upstream().upload(content, name, content_type, call)
    except Refused as exc:
        raise Rejected(exc.code, exc.field.value) from exc
    except OutcomeUnknown as exc:
        raise UpstreamUnavailable(exc.code, trace=exc.trace, retry_after=5) from exc
    except SessionEnded:
        _drop_token(flow)
        ensure_token(flow)
        raise
    with locked(flow) as row:
        uploads = dict(row.personal.get("uploads") or {})
        uploads[level] = {**uploads.get(level, {}), element: {"url": url, "name": shown_name[:100]}}
        row.personal = {**row.personal, "uploads": uploads}
        row.touch(now)
        row.save()
    return row


def _drop_token(flow: Flow) -> None:
    with locked(flow) as row:
        row.personal = {**row.personal, "token": ""}
        row.save()


def submit_level(
    *, flow: Flow, level: str, path: str, answers: list[tuple[str, str]], visitor: Visitor, clock: Clock = timezone.now
) -> None:
    """Submits a level's answers, encoded as the upstream wants them, once. Raises Rejected for a definite refusal.

    When the session has ended we log in again if we can and send once more; else the flow ends with the way to sign in.
    """
    for _ in range(2):
        submission = perform(
            _intend_level(flow, level, path, answers, visitor, clock()), WRITES[SubmissionKind.LEVEL], clock=clock
        )
        if submission.progress is not Progress.REJECTED:
            return
        if submission.field:
            raise Rejected(submission.code, submission.field)
        ensure_token(flow)
        if not Flow.objects.get(pk=flow.pk).personal.get("token"):
            return


def await_level(*, flow: Flow, level: str, clock: Clock = timezone.now) -> None:
    """Waits for a level's answer that is on its way; asks again under the same key when its outcome is unknown."""
    submission = find(flow, SubmissionKind.LEVEL, level)
    if submission is not None and submission.progress in _PENDING_STATES:
        perform(submission, WRITES[SubmissionKind.LEVEL], clock=clock)


def _intend_level(
    flow: Flow, level: str, path: str, answers: list[tuple[str, str]], visitor: Visitor, now: datetime
) -> Submission:
    with locked(flow) as row:
        before = find(row, SubmissionKind.LEVEL, level)
        if before is not None and before.progress not in (Progress.REJECTED, Progress.PLANNED):
            return before
        payload = writes.level_payload(row, level, path, answers, visitor)
        if before is not None and before.progress is Progress.PLANNED and writes.same_request(before.payload, payload):
            return before
        row.touch(now)
        row.save()
        return plan(row, SubmissionKind.LEVEL, payload, now=now, level=level, before=before)


def levels_left(flow: Flow) -> int:
    """How many levels are still to be filled in."""
    return len(open_levels(state_of(flow)))


def continue_address(flow: Flow) -> str:
    """Where the trading platform takes over, with the session token in it: never put this into a page or a log."""
    address: str = settings.CONTINUE_URL.replace("{lang}", upstream_language(flow.language))
    return address.replace("{token}", quote(flow.personal.get("token", ""), safe=""))


# -- Settling and forgetting -------------------------------------------------------------------------------------------


def settle_flow(flow: Flow, *, clock: Clock = timezone.now) -> None:
    """Asks again, with the same key, about each of the flow's writes whose outcome is unknown."""
    for submission in flow.submissions.filter(PENDING).select_related("flow"):
        settle(submission, clock=clock)


def settle(submission: Submission, *, clock: Clock = timezone.now) -> Submission:
    """One question about one unknown outcome; does not wait for a process that is asking already."""
    now = clock()
    if submission.progress is Progress.SENT and (submission.sent_at or now) > now - lease():
        return submission
    if not submission.payload:
        log.error("submission of reference %s cannot be asked about: its key is lost", submission.flow.reference)
        return submission
    try:
        submission = perform(submission, WRITES[submission.kind], clock=clock)
    except UpstreamError as exc:
        log.info("submission of reference %s is not settled: %s", submission.flow.reference, exc)
        submission.refresh_from_db()
    if submission.kind == SubmissionKind.REGISTER and submission.progress is Progress.ACCEPTED:
        ensure_token(submission.flow)
    return submission


def pending_submissions() -> list[Submission]:
    """Every registration or level whose outcome is unknown, oldest first."""
    return list(Submission.objects.filter(PENDING).select_related("flow").order_by("sent_at"))


def delete_data(*, flow: Flow, now: datetime) -> bool:
    """Deletes the customer's data now; False while an outcome is open: it is then deleted once that is known."""
    with locked(flow) as row:
        if row.submissions.filter(PENDING).exists():
            row.delete_asked = True
            row.save(update_fields=["delete_asked"])
            return False
        _wipe(row, now)
    return True


def purge(*, now: datetime) -> int:
    """Deletes personal data past retention, and what customers asked to delete; gives the number of flows.

    Flows with an open outcome wait: the body is needed to ask about it, and a registration must not get lost.
    """
    due = Flow.objects.filter(Q(purge_at__lte=now) | Q(delete_asked=True), purged_at=None)
    open_flows = Submission.objects.filter(PENDING).values("flow")
    done = 0
    for pk in due.exclude(pk__in=open_flows).values_list("pk", flat=True):
        with locked(Flow(pk=pk)) as row:
            _wipe(row, now)
        done += 1
    return done


def _wipe(row: Flow, now: datetime) -> None:
    """Leaves what counts (steps, times, campaign) and nothing of the person; the address is gone too."""
    row.personal = {}
    row.customer_no = row.customer_no if row.registered_at else ""
    row.handle_digest = f"purged-{row.pk}"
    row.next_handle_digest = row.previous_handle_digest = None
    row.landing_digest = f"purged-{row.pk}"
    row.delete_asked = False
    row.purged_at = now
    row.outcome = row.outcome or Outcome.DELETED
    row.save()
    row.submissions.update(payload={})
