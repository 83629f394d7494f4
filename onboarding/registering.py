"""The registration: a verification code becomes an account, once, and the flow gets another address.

Stands on `services`; `submissions` writes the intent down and sends it, like any other. Never sees a request.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from onboarding import writes
from onboarding.domain.flow import Notice, Progress, Visitor
from onboarding.models import Flow, Submission, SubmissionKind
from onboarding.sealing import handle_digest
from onboarding.services import (
    Rejected,
    StepOver,
    ensure_token,
    find_left_flow,
    home_of,
    is_address_of,
    limit_reached,
    require_unregistered,
)
from onboarding.submissions import Clock, changing, find_to_plan, flow_of, locked, perform, plan
from onboarding.upstream.codes import LATER_CODES
from onboarding.writes import WRITES

TWIN_SECONDS = 10  # the same code again this soon after its refusal is a double click, not another try


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
    if submission.progress is Progress.REJECTED:
        row = flow_of(submission)
        if not row.outcome and row.notice in (Notice.NONE, Notice.AGENT):  # the verify step says it
            raise Rejected(submission.code, submission.field, row)
        return home_of(row, writes.handle_for(row, code))
    row = flow_of(submission)
    if submission.progress is Progress.ACCEPTED and not row.personal.get("token"):
        row = ensure_token(row)
    handle = writes.handle_for(row, code)
    if row.purged_at is not None or not is_address_of(row, handle):
        raise StepOver
    return handle


def _intend_registration(flow: Flow, code: str, visitor: Visitor, now: datetime) -> tuple[Submission, bool]:
    """The submission to wait for or to send, and whether it is about this very code."""

    def intend(row: Flow) -> tuple[Submission, bool]:
        before = find_to_plan(row).get(SubmissionKind.REGISTER)
        payload = writes.registration_payload(row, code, visitor)
        same = before is not None and writes.same_request(before.payload, payload)
        if before is not None and (before.progress.is_open or before.progress is Progress.ACCEPTED):
            return before, same
        if before is not None and same and before.payload.get("call") == payload["call"]:
            twin = before.ended_at is not None and now - before.ended_at < timedelta(seconds=TWIN_SECONDS)
            twin = twin and before.code not in LATER_CODES
            if before.progress is Progress.PLANNED or twin:
                return before, True
        if before is None or before.progress is Progress.REJECTED:  # else the last attempt was never evaluated
            if row.code_attempts >= settings.LIMIT_FLOW_CODES:
                raise limit_reached(row, visitor, now)
            row.code_attempts += 1
        row.next_handle_digest = handle_digest(writes.handle_for(row, code))
        row.notice, row.notice_code = Notice.NONE, ""
        row.touch(now)
        row.store()
        return plan(row, SubmissionKind.REGISTER, payload, now=now, before=before), True

    return changing(flow, intend, at_once=flow.has_no(SubmissionKind.REGISTER))


def drop_agent(*, flow: Flow, now: datetime) -> None:
    """Goes on without the referrer agent, after the upstream refused him and the customer was asked."""
    with locked(flow) as row:
        require_unregistered(row)
        row.agent, row.notice, row.notice_code = "", Notice.NONE, ""
        row.touch(now)
        row.save()


def replayed_handle(*, handle: str, code: str) -> str | None:
    """The handle that the POST of this code to this old address led to, for a reload or a double click of that POST.

    Only who knows the code gets it, and five wrong guesses close the way for good.
    """
    flow = find_left_flow(handle)
    if flow is None:
        return None
    with locked(flow) as row:
        if row.replay_misses >= settings.LIMIT_FLOW_CODES:
            return None
        found = writes.handle_for(row, code)
        if handle_digest(found) == row.handle_digest:
            return found
        row.replay_misses += 1
        row.save(update_fields=["replay_misses"])
    return None
