"""The life of one intended upstream write: planned → sent → accepted | rejected | unknown.

The intent is committed before anything is sent, the outcome in one transaction with what follows from it, and no
transaction is open while the upstream works. Whoever else comes in the meantime waits for the one who sends.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from onboarding.domain.flow import ASKED_FOR, PENDING, Progress
from onboarding.metrics import SUBMISSIONS
from onboarding.milestones import reached
from onboarding.models import Flow, MilestoneKind, Seen, Stale, Submission, release_connection
from onboarding.upstream import budget
from onboarding.upstream.codes import Field
from onboarding.upstream.errors import (
    NOTHING_SENT,
    ContractBroken,
    Misconfigured,
    OutcomeUnknown,
    Refused,
    SessionEnded,
    UpstreamError,
    keeps_key,
)
from onboarding.writes import Write

log = logging.getLogger("onboarding.submissions")
Clock = Callable[[], datetime]
_T = TypeVar("_T")

UNREADABLE = "UNREADABLE"  # code of a success whose data makes no sense
WAIT_FOR_TWIN = 8.0  # seconds a second request waits for the first one's answer before it shows the status step
ASK_AGAIN_AFTER = timedelta(seconds=2)  # between two questions about an unknown outcome


def lease() -> timedelta:
    """After this time a submission still marked `sent` belongs to a process that died: no call lasts longer."""
    return timedelta(seconds=settings.UPSTREAM_CONNECT_TIMEOUT + settings.UPSTREAM_READ_TIMEOUT + 5)


@contextmanager
def locked(flow: Flow) -> Iterator[Flow]:
    """A short transaction that holds this flow's row. Never call the upstream inside.

    Raises Flow.DoesNotExist when its data was deleted meanwhile: nothing may be written back then.
    """
    with transaction.atomic():
        row = Flow.objects.select_for_update().get(pk=flow.pk, purged_at=None)
        row.held = True
        yield row
        row.held = False


def changing(flow: Flow, change: Callable[[Flow], _T], *, at_once: bool = True) -> _T:
    """Makes the `change` in a short transaction, and gives what it gives. Never call the upstream inside.

    First on the row as `flow` has it, fenced: that costs one statement. Where somebody has written to it since, nothing
    of that stays, and the change is made anew on the row `locked`. So `change` stores the row before it touches any
    other one, and does nothing that a transaction does not undo. With `at_once` false it is held from the beginning.
    """
    if at_once and flow.is_marked:
        try:
            with transaction.atomic():
                return change(flow.twin())
        except (Stale, IntegrityError) as exc:
            log.debug("reference %s was changed by somebody else: %s", flow.reference, type(exc).__name__)
    with locked(flow) as row:
        return change(row)


def find(flow: Flow, kind: str, level: str = "") -> Submission | None:
    return Submission.objects.filter(flow=flow, kind=kind, level=level).first()


def find_to_plan(flow: Flow, level: str = "") -> dict[str, Submission]:
    """By kind, those of this level or of none, held until the caller's transaction ends.

    Nobody can claim one while it is planned anew. Of a row that is not held nobody is asked: it is stored only if it
    is still the one that had none, and a constraint keeps it so.
    """
    if not flow.held:
        return {}
    held = Submission.objects.select_for_update().filter(flow=flow, level=level).order_by("pk")
    return {submission.kind: submission for submission in held}


def plan(
    flow: Flow, kind: str, payload: dict[str, Any], *, now: datetime, level: str = "", before: Submission | None = None
) -> Submission:
    """Writes the intent down under a new key, inside the caller's transaction that holds the flow.

    The row says `sent` at once, and whoever planned it is the one to send it: nobody can plan over it before it
    is on its way. If the process dies first, the row is asked about like any other whose answer never came.
    `before` is the submission of the same intent, with a definite answer or never sent; its row is used again.
    """
    submission = before or Submission(kind=kind, level=level)
    submission.flow = flow
    if submission.progress in (Progress.ACCEPTED, Progress.REJECTED):
        submission.history = [*submission.history, _history(submission)][-20:]
    submission.key, submission.payload, submission.planned_at, submission.sent_at = new_key(), payload, now, now
    submission.state, submission.code, submission.field, submission.ended_at = Progress.SENT, "", "", None
    submission.tries += 1
    submission.save()
    submission.claimed = submission.is_planned_here = True
    if flow.seen is not None:
        others = [seen for seen in flow.seen if (seen.kind, seen.level) != (kind, level)]
        flow.seen = [*others, Seen(kind, level, Progress.SENT)]
    return submission


def new_key() -> str:
    """An idempotency key: one for every body, and a new one after every definite answer."""
    return str(uuid.uuid4())


def _history(submission: Submission) -> dict[str, Any]:
    return {
        "state": submission.state,
        "code": submission.code,
        "trace": submission.trace,
        "at": submission.ended_at.isoformat() if submission.ended_at else "",
    }


def perform(submission: Submission, write: Write, *, clock: Clock) -> Submission:
    """Sends the submission unless somebody else does, and records the outcome; gives the submission as it then is.

    Raises UpstreamUnavailable, Misconfigured or ContractBroken when nothing was done upstream and the customer has to
    wait for somebody; the submission is then still planned.
    """
    earlier = Progress.PLANNED
    if not submission.claimed:
        before = submission.claim(clock(), lease=lease(), pause=ASK_AGAIN_AFTER)
        if before is None:
            return _wait(submission)
        earlier = Progress.UNKNOWN if before.is_pending else Progress.PLANNED
    submission.claimed = False
    release_connection()
    try:
        result = write.send(submission)
    except OutcomeUnknown as exc:
        _record(submission, Progress.UNKNOWN, exc, clock())
    except (Refused, SessionEnded) as exc:
        _record_rejection(submission, write, exc, earlier, clock())
    except UpstreamError as exc:
        _record_nothing_done(submission, earlier, exc, clock())
        if submission.progress is Progress.PLANNED:  # else an earlier question is open: nobody may be told to try again
            raise
    else:
        _record_acceptance(submission, write, result, clock())
    return submission


class _Overtaken(Exception):
    """The right to record is not ours any more."""


def _record_answer(
    submission: Submission, follow: Callable[[Flow], tuple[Progress, UpstreamError | None]], now: datetime
) -> None:
    """The answer with all that follows from it, or nothing of that where the right to record was lost.

    The fenced UPDATE of the submission comes last, and undoes the rest.
    """

    def change(row: Flow) -> Flow:
        if row.held and not _ours(submission).exists():
            raise _Overtaken
        state, error = follow(row)
        row.store()
        if not _record(submission, state, error, now):
            raise _Overtaken
        return row

    try:
        submission.flow = changing(submission.flow, change)
        submission.is_answered_here = True
    except _Overtaken:
        submission.refresh_from_db()


def flow_of(submission: Submission) -> Flow:
    """The flow with what followed from the answer."""
    return submission.flow if submission.is_answered_here else Flow.objects.get(pk=submission.flow_id)


def _record_acceptance(submission: Submission, write: Write, result: Any, now: datetime) -> None:
    def follow(row: Flow) -> tuple[Progress, None]:
        write.accept(row, submission, result, now)
        return Progress.ACCEPTED, None

    _record_answer(submission, follow, now)


def _record_rejection(
    submission: Submission, write: Write, exc: UpstreamError, earlier: Progress, now: datetime
) -> None:
    if earlier is Progress.UNKNOWN and getattr(exc, "field", "") == Field.CAPTCHA:
        _record(submission, Progress.UNKNOWN, exc, now)  # our question was refused, not what was asked about
        return

    def follow(row: Flow) -> tuple[Progress, UpstreamError]:
        state = write.reject(row, submission, exc, now)
        if earlier is Progress.UNKNOWN and isinstance(exc, SessionEnded) and row.personal.get("password"):
            state = Progress.UNKNOWN  # likewise; after another log-in it is asked again
        if state is Progress.REJECTED:
            reached(row, MilestoneKind.REFUSED, now, exc.code)
        return state, exc

    _record_answer(submission, follow, now)


def _record_nothing_done(submission: Submission, earlier: Progress, exc: UpstreamError, now: datetime) -> None:
    """The state goes back to what it was before; a definite answer uses its key up.

    An answer that concerns our question, not the customer (a wrong address of ours, say), tells nothing about what an
    earlier question of unknown outcome did: that one stays unknown, under its key.
    """
    if exc.code in NOTHING_SENT:
        _put_back(submission, earlier)
    elif exc.code == UNREADABLE:  # the upstream did it, but we cannot read how: the same key gives the same answer
        _record(submission, Progress.UNKNOWN, exc, now)
    elif keeps_key(exc) or earlier is Progress.UNKNOWN:
        _record(submission, earlier, exc, now)
    else:
        _record(submission, Progress.PLANNED, exc, now, key=new_key())


def _put_back(submission: Submission, earlier: Progress) -> None:
    """No byte went out, so the row tells what it told before: the last answer's code and trace too."""
    if _ours(submission).update(state=earlier, tries=F("tries") - 1):
        submission.state = earlier
    else:
        submission.refresh_from_db()


def _ours(submission: Submission) -> QuerySet[Submission]:
    """The row, while the right to record is still ours.

    It is not when another body was planned while this one was on its way (a corrected address), or when we were away
    for longer than the lease and another process asked: `sent_at` of the claim is the fence.
    """
    return Submission.objects.filter(
        pk=submission.pk, key=submission.key, state=Progress.SENT, sent_at=submission.sent_at
    )


def _record(
    submission: Submission, state: Progress, error: UpstreamError | None, now: datetime, *, key: str = ""
) -> bool:
    """Writes the outcome down, unless the right to do so was lost in the meantime; the row then tells what is true."""
    ours = _ours(submission)
    submission.key = key or submission.key
    submission.state = state
    submission.code = error.code[:60] if error else "0"
    submission.trace = error.trace[:80] if error else submission.trace
    submission.field = error.field.value if isinstance(error, Refused) else ""
    submission.ended_at = now if state in (Progress.ACCEPTED, Progress.REJECTED) else None
    names = ["key", "state", "code", "trace", "field", "ended_at"]
    names += [] if submission.payload else ["payload"]  # emptied once it has done its work, never written again
    if not ours.update(**{name: getattr(submission, name) for name in names}):
        submission.refresh_from_db()
        return False
    SUBMISSIONS.labels(submission.kind, state).inc()
    log.log(
        logging.ERROR if isinstance(error, Misconfigured | ContractBroken) else logging.INFO,
        "submission %s %r is %s, code %s, reference %s, trace %s",
        submission.kind, submission.level, state, submission.code, submission.flow.reference, submission.trace,
        extra={"trace": submission.trace},
    )  # fmt: skip
    return True


def give_up(submission: Submission, now: datetime) -> bool:
    """Stops asking about an outcome that stayed unknown for ASKED_FOR, and says so once; whether it is given up now.

    Nothing is sent for it any more, neither under this key nor under another one, until a person has found out.
    """
    late = Submission.objects.filter(pk=submission.pk, key=submission.key, state__in=PENDING)
    late = late.filter(planned_at__lte=now - ASKED_FOR).exclude(state=Progress.SENT, sent_at__gt=now - lease())
    if not late.update(state=Progress.GIVEN_UP, ended_at=now):
        return False
    submission.state, submission.ended_at = Progress.GIVEN_UP, now
    SUBMISSIONS.labels(submission.kind, submission.state).inc()
    log.error(
        "submission %s %r is given up, its outcome is unknown, last code %s, reference %s, trace %s",
        submission.kind, submission.level, submission.code or "-", submission.flow.reference, submission.trace or "-",
        extra={"trace": submission.trace},
    )  # fmt: skip
    return True


_waiting = threading.BoundedSemaphore(max(1, settings.UPSTREAM_MAX_IN_FLIGHT // 2))


def _wait(submission: Submission) -> Submission:
    """Until the one who sends has an answer; at most WAIT_FOR_TWIN seconds, within the request's time.

    Each who waits holds a thread, so half as many may as may ask the upstream; the others are told at once that it is
    on its way.
    """
    if not _waiting.acquire(blocking=False):
        submission.refresh_from_db()
        return submission
    try:
        return _wait_for_twin(submission, time.monotonic() + min(WAIT_FOR_TWIN, budget.left()))
    finally:
        _waiting.release()


def _wait_for_twin(submission: Submission, deadline: float) -> Submission:
    pause = 0.05
    while True:
        submission.refresh_from_db()
        if submission.progress is not Progress.SENT or time.monotonic() > deadline:
            return submission
        release_connection()
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
