"""The use cases after the registration: pictures, drafts, the submission of a level, the way on.

The same rules as in services.py: lock shortly, write the intent down, call the upstream with no transaction open.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import BinaryIO
from urllib.parse import quote

from django.conf import settings
from django.utils import timezone

from onboarding import writes
from onboarding.domain.flow import AccountType, Outcome, Progress, Visitor, open_levels
from onboarding.domain.levels import Level, renamed, to_json
from onboarding.gateway import upstream, upstream_language
from onboarding.models import Flow, Submission, SubmissionKind, release_connection
from onboarding.services import Rejected, ensure_token, state_of
from onboarding.submissions import Clock, find, find_to_plan, locked, perform, plan
from onboarding.upstream.client import Call
from onboarding.upstream.errors import OutcomeUnknown, Refused, SessionEnded, UpstreamError, UpstreamUnavailable
from onboarding.upstream.wire import FindLevelsRequest, Review, ReviewStatus
from onboarding.writes import WRITES

log = logging.getLogger("onboarding.level_services")

OPEN_ACCOUNT = "open_account"  # the business that levels are asked for when none is configured (docs/upstream.md 2.10)
REVIEW_PAUSE = timedelta(seconds=5)
MAX_REASON = 500  # characters of a reason shown


def choose_path(*, flow: Flow, level: str, path: str, now: datetime) -> None:
    with locked(flow) as row:
        row.personal = {**row.personal, "paths": {**(row.personal.get("paths") or {}), level: path}}
        row.touch(now)
        row.save()


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
    """Passes one picture on to the upstream and remembers its address there: an error elsewhere must not lose it.

    Raises Rejected, or UpstreamUnavailable when there was no answer (sending it again is safe).
    """
    call = Call(
        lang=upstream_language(flow.language),
        token=flow.personal.get("token", ""),
        client_address=visitor.address,
    )
    name = "picture." + content_type.rpartition("/")[2]  # the customer's own file name is nobody's business
    release_connection()
    try:
        url = upstream().upload(content, name, content_type, call)
    except Refused as exc:
        raise Rejected(exc.code, exc.field.value) from exc
    except OutcomeUnknown as exc:
        raise UpstreamUnavailable(exc.code, trace=exc.trace, retry_after=5) from exc
    except SessionEnded:
        token = _new_token(flow)
        if not token:
            raise
        content.seek(0)
        release_connection()
        url = upstream().upload(content, name, content_type, replace(call, token=token))
    with locked(flow) as row:
        uploads = dict(row.personal.get("uploads") or {})
        uploads[level] = {**uploads.get(level, {}), element: {"url": url, "name": shown_name[:100]}}
        row.personal = {**row.personal, "uploads": uploads}
        row.touch(now)
        row.save()
    return row


def _new_token(flow: Flow) -> str:
    """The session of another log-in after the first one ended; "" when we cannot log in."""
    with locked(flow) as row:
        row.personal = {**row.personal, "token": ""}
        row.save()
    ensure_token(flow)
    return str(Flow.objects.get(pk=flow.pk).personal.get("token", ""))


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
    if submission is not None and submission.progress.is_pending:
        perform(submission, WRITES[SubmissionKind.LEVEL], clock=clock)


def _intend_level(
    flow: Flow, level: str, path: str, answers: list[tuple[str, str]], visitor: Visitor, now: datetime
) -> Submission:
    with locked(flow) as row:
        before = find_to_plan(row, SubmissionKind.LEVEL, level)
        if before is not None and before.progress not in (Progress.REJECTED, Progress.PLANNED):
            return before
        payload = writes.level_payload(row, level, path, answers, visitor)
        if before is not None and before.progress is Progress.PLANNED and writes.same_request(before.payload, payload):
            return before
        row.touch(now)
        row.save()
        return plan(row, SubmissionKind.LEVEL, payload, now=now, level=level, before=before)


def look_at_review(*, flow: Flow, now: datetime) -> Flow:
    """Asks how the checks stand, at most every REVIEW_PAUSE; gives the flow as it then is.

    Passed: the flow is at its end, and what was only kept for mending is dropped. Rejected: the levels are open again,
    with the reason and what was entered; a level that had passed alone says so when it is sent again.
    """
    token = flow.personal.get("token")
    review = flow.personal.get("review") or {}
    if flow.outcome != Outcome.IN_REVIEW or not token or not flow.levels or review.get("next", "") > now.isoformat():
        return flow
    release_connection()
    try:
        found = upstream().check_application(
            settings.KYC_BUSINESS_CODE or OPEN_ACCOUNT,
            flow.identity.account_type.number,
            Call(lang=upstream_language(flow.language), token=token),
        )
    except SessionEnded:
        _new_token(flow)
        found = Review(ReviewStatus.IN_REVIEW)
    except UpstreamError as exc:
        log.info("the review of reference %s cannot be looked at: %s", flow.reference, exc)
        found = Review(ReviewStatus.IN_REVIEW)
    with locked(flow) as row:
        if row.outcome == Outcome.IN_REVIEW:
            _take_over(row, found, now)
            row.save()
    return row


def _take_over(row: Flow, found: Review, now: datetime) -> None:
    row.personal = {**row.personal, "review": {"next": (now + REVIEW_PAUSE).isoformat()}}
    if found.status is ReviewStatus.PASSED:
        row.outcome = Outcome.PASSED
        row.personal = {**row.personal, "password": "", "drafts": {}, "uploads": {}, "levels": []}
    elif found.status is ReviewStatus.REJECTED:
        row.outcome = Outcome.OPEN
        row.personal = {**row.personal, "review": {"reason": found.reason[:MAX_REASON]}}
        row.submissions.filter(kind=SubmissionKind.LEVEL, state=Progress.ACCEPTED).update(state=Progress.REJECTED)


def review_reason(flow: Flow) -> str:
    """Why the checks were not passed, in the upstream's words; "" when they were not looked at or nothing is wrong."""
    return str((flow.personal.get("review") or {}).get("reason", ""))


def translate_levels(*, flow: Flow, now: datetime) -> None:
    """Asks for the open levels again in the flow's language; the names change, nothing else.

    Without an answer the customer goes on with the names as they are.
    """
    token = flow.personal.get("token")
    if flow.outcome or not token or flow.account_type != AccountType.INDIVIDUAL:
        return
    names: dict[str, Level] = {}
    call = Call(lang=upstream_language(flow.language), token=token)
    try:
        for level in open_levels(state_of(flow)):
            release_connection()
            found = upstream().find_levels(FindLevelsRequest(level_code=level.code), call)
            names |= {other.code: other for other in found}
    except UpstreamError as exc:
        log.info("levels of reference %s keep their language: %s", flow.reference, exc)
        return
    with locked(flow) as row:
        levels = [renamed(level, names.get(level.code, level)) for level in row.levels]
        row.personal = {**row.personal, "levels": to_json(levels)}
        row.touch(now)
        row.save()


def levels_left(flow: Flow) -> int:
    """How many levels are still to be filled in."""
    return len(open_levels(state_of(flow)))


def may_go_on(flow: Flow) -> bool:
    """Whether the way on leads anywhere: one that carries the session needs a session."""
    address = settings.CONTINUE_URL
    return bool(address) and ("{token}" not in address or bool(flow.personal.get("token")))


def continue_address(flow: Flow) -> str:
    """Where the trading platform takes over, with the session token in it: never put this into a page or a log."""
    address: str = settings.CONTINUE_URL.replace("{lang}", upstream_language(flow.language))
    return address.replace("{token}", quote(flow.personal.get("token", ""), safe=""))
