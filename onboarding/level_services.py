"""The use cases of a level: its path, its parts, drafts, uploads, and its submission.

The same rules as in services.py: lock shortly, write the intent down, call the upstream with no transaction open.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

from django.utils import timezone

from onboarding import writes
from onboarding.domain.flow import Progress, Visitor
from onboarding.domain.levels import COMPANY, Level, to_json
from onboarding.gateway import upstream, upstream_language
from onboarding.models import Flow, Submission, SubmissionKind, release_connection
from onboarding.review_services import open_earlier
from onboarding.services import Rejected, ensure_token, renew_token
from onboarding.submissions import Clock, changing, find, find_to_plan, locked, new_key, perform, plan
from onboarding.upstream.client import Call
from onboarding.upstream.codes import LEVEL_ORDER
from onboarding.upstream.errors import OutcomeUnknown, Refused, SessionEnded, UpstreamError, UpstreamUnavailable
from onboarding.writes import WRITES

log = logging.getLogger("onboarding.level_services")
MOST_FILES = 500  # of one level, those that were replaced included
DRAFT_TIMEOUT = 3.0  # seconds: a customer waits for the next part, and the draft stays with us in any case


def choose_path(*, flow: Flow, level: str, path: str, now: datetime) -> None:
    def change(row: Flow) -> None:
        row.personal = {**row.personal, "paths": {**(row.personal.get("paths") or {}), level: path}}
        row.touch(now)
        row.store()

    changing(flow, change)


def answered_parts(flow: Flow, level: str) -> frozenset[str]:
    """The parts of the level that are filled in; they can be looked at and changed until it is sent."""
    return frozenset((flow.personal.get("answered") or {}).get(level) or ())


def files_of(flow: Flow, level: str, part: str = "") -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The files that the upstream took for this level, {url, name} by receipt; the newest receipt by form field."""
    files = dict((flow.personal.get("uploads") or {}).get(level) or {})
    return files, dict((flow.personal.get("receipts") or {}).get(_draft_key(level, part)) or {})


def draft_of(flow: Flow, level: str, part: str = "") -> dict[str, str] | None:
    """What was entered on this part of the level before, by form field; None when nothing was."""
    drafts = flow.personal.get("drafts") or {}
    return drafts.get(_draft_key(level, part))


def _draft_key(level: str, part: str) -> str:
    return f"{level}\n{part}" if part else level


def keep_draft(
    *, flow: Flow, level: str, part: str, draft: Mapping[str, str], receipts: Mapping[str, str], whole: bool,
    now: datetime,
) -> Flow:  # fmt: skip
    """Keeps what was entered, right or wrong, so that neither a refusal nor a bad network loses it.

    `receipts` says which of the level's files stand in which field. Unless this is the `whole` of what is to be kept
    (people may have been taken away), what another way asks for and files that came meanwhile stay beside it.
    """
    key = _draft_key(level, part)

    def change(row: Flow) -> Flow:
        drafts, kept = dict(row.personal.get("drafts") or {}), dict(row.personal.get("receipts") or {})
        drafts[key] = {**({} if whole else drafts.get(key) or {}), **draft}
        kept[key] = {**({} if whole else kept.get(key) or {}), **receipts}
        row.personal = {**row.personal, "drafts": drafts, "receipts": kept}
        row.touch(now)
        row.store()
        return row

    return changing(flow, change)


def answer_part(*, flow: Flow, level: str, part: str, now: datetime) -> Flow:
    """The part is filled in: the next one comes."""

    def change(row: Flow) -> Flow:
        _mark(row, level, part)
        row.touch(now)
        row.store()
        return row

    return changing(flow, change)


def _mark(row: Flow, level: str, part: str) -> None:
    answered = dict(row.personal.get("answered") or {})
    answered[level] = list(dict.fromkeys([*answered.get(level, []), part]))
    row.personal = {**row.personal, "answered": answered}


def forget_path(*, flow: Flow, level: str, now: datetime) -> None:
    """Another way through the level may be chosen."""
    with locked(flow) as row:
        paths = {code: path for code, path in (row.personal.get("paths") or {}).items() if code != level}
        row.personal = {**row.personal, "paths": paths}
        row.touch(now)
        row.save()


def choose_company(
    *, flow: Flow, level: str, country: str, company_type: str, draft: Mapping[str, str], now: datetime
) -> Flow:
    """Where and of which type the company is; what the upstream asks depends on it and is fetched anew.

    The `draft` goes with it: of two choices at once the page must show the one that is handed in.
    """
    with locked(flow) as row:
        drafts = dict(row.personal.get("drafts") or {})
        key = _draft_key(level, COMPANY)
        drafts[key] = {**(drafts.get(key) or {}), **draft}
        companies = {**(row.personal.get("companies") or {}), level: [country, company_type]}
        levels = [replace(found, known=found.known and found.code != level) for found in row.levels]
        review = {k: v for k, v in (row.personal.get("review") or {}).items() if k != "refused"}
        row.personal = {
            **row.personal, "companies": companies, "drafts": drafts, "levels": to_json(levels), "review": review,
        }  # fmt: skip
        _mark(row, level, COMPANY)
        row.touch(now)
        row.save()
    return row


def upload_file(
    *, flow: Flow, level: str, part: str, field: str, content: BinaryIO, content_type: str, shown_name: str,
    visitor: Visitor, now: datetime, turn: int = 0,
) -> tuple[Flow, str]:  # fmt: skip
    """Passes one file on to the upstream and remembers its address there; gives its receipt too.

    `turn` tells which of several files for one field was chosen last: an earlier one that arrives late must not take
    its place. Raises Rejected, or UpstreamUnavailable when there was no answer (sending it again is safe).
    """
    call = Call(
        lang=upstream_language(flow.language),
        token=flow.personal.get("token", ""),
        client_address=visitor.address,
    )
    name = "file." + content_type.rpartition("/")[2]  # the customer's own file name is nobody's business
    release_connection()
    try:
        url = upstream().upload(content, name, content_type, call)
    except Refused as exc:
        raise Rejected(exc.code, exc.field.value) from exc
    except OutcomeUnknown as exc:
        raise UpstreamUnavailable(exc.code, trace=exc.trace, retry_after=5) from exc
    except SessionEnded:
        token = renew_token(flow, call.token)
        if not token:
            raise
        content.seek(0)
        release_connection()
        url = upstream().upload(content, name, content_type, replace(call, token=token))
    receipt = secrets.token_urlsafe(9)

    def change(row: Flow) -> Flow:
        _put_file(row, level, _draft_key(level, part), field, receipt, {"url": url, "name": shown_name[:100]}, turn)
        row.touch(now)
        row.store()
        return row

    return changing(flow, change), receipt


def _put_file(row: Flow, level: str, place: str, field: str, receipt: str, file: Mapping[str, str], turn: int) -> None:
    uploads, receipts = dict(row.personal.get("uploads") or {}), dict(row.personal.get("receipts") or {})
    files, newest = dict(uploads.get(level) or {}), dict(receipts.get(place) or {})
    if turn >= int(files.get(newest.get(field, ""), {}).get("turn", 0)):
        newest[field] = receipt
    files[receipt] = {**file, "turn": turn}
    kept = dict(list(files.items())[-MOST_FILES:])
    row.personal = {**row.personal, "uploads": {**uploads, level: kept}, "receipts": {**receipts, place: newest}}


def save_draft(*, flow: Flow, level: Level, path: str, answers: list[tuple[str, str]], visitor: Visitor) -> bool:
    """Has the upstream keep what is filled in so far; whether it did.

    No submission: the next draft and the final answers overwrite it, so nothing is lost or doubled when its outcome
    is unknown. We keep a draft of our own in any case.
    """
    call = Call(
        lang=upstream_language(flow.language),
        token=flow.personal.get("token", ""),
        client_address=visitor.address,
        idempotency_key=new_key(),
        read_timeout=DRAFT_TIMEOUT,
    )
    submission = find(flow, SubmissionKind.LEVEL, level.code)
    if submission is not None and (submission.progress.is_open or submission.progress is Progress.ACCEPTED):
        return False  # handed in meanwhile, from another tab or device: a draft must not come behind
    try:
        writes.apply(writes.level_application(flow, level, path, answers, draft=True), call)
    except UpstreamError as exc:
        log.info("a draft of reference %s is kept here only: %s", flow.reference, exc)
        return False
    return True


def submit_level(
    *,
    flow: Flow,
    level: Level,
    path: str,
    answers: list[tuple[str, str]],
    visitor: Visitor,
    clock: Clock = timezone.now,
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
        if submission.code == LEVEL_ORDER and open_earlier(flow=flow, level=level.code, now=clock()):
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
    flow: Flow, level: Level, path: str, answers: list[tuple[str, str]], visitor: Visitor, now: datetime
) -> Submission:
    def intend(row: Flow) -> Submission:
        before = find_to_plan(row, level.code).get(SubmissionKind.LEVEL)
        if before is not None and before.progress not in (Progress.REJECTED, Progress.PLANNED):
            return before
        payload = writes.level_payload(row, level, path, answers, visitor)
        if before is not None and before.progress is Progress.PLANNED and writes.same_request(before.payload, payload):
            return before
        row.touch(now)
        row.store()
        return plan(row, SubmissionKind.LEVEL, payload, now=now, level=level.code, before=before)

    return changing(flow, intend, at_once=flow.has_no(SubmissionKind.LEVEL, level=level.code))
