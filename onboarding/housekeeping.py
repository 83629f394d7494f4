"""The use cases of no customer: settle what is unknown or was put off, delete what is due, seal anew."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from axes.models import AccessAttempt
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Count, F, Model, Q, TextField, Value
from django.db.models.functions import Cast
from django.utils import timezone

from onboarding import rollup
from onboarding.domain import flow as flow_rules
from onboarding.domain.flow import Outcome, Progress
from onboarding.models import Flow, Once, SealedField, Submission, SubmissionKind
from onboarding.review_services import look_at_review
from onboarding.sealing import SealBroken, resealed
from onboarding.services import ensure_token
from onboarding.submissions import Clock, give_up, lease, locked, new_key, perform
from onboarding.upstream.errors import TURNED_AWAY, UpstreamError
from onboarding.writes import WRITES

log = logging.getLogger("onboarding.housekeeping")

_ONCE = Q(kind__in=[SubmissionKind.REGISTER, SubmissionKind.LEVEL])  # what may be done once only
_PUT_OFF = ("", *TURNED_AWAY)  # "": refused by our own bounds, which leave no code behind
PENDING = _ONCE & Q(state__in=flow_rules.PENDING)
FORGOTTEN_AT_ONCE = 500  # flows whose rows are deleted in one short transaction
FORGOTTEN_IN_A_ROUND = 100  # such transactions: personal data that becomes due must not wait for years of old rows


def settle_flow(flow: Flow, *, clock: Clock = timezone.now) -> None:
    """Asks again, with the same key, about each of the flow's writes whose outcome is unknown."""
    for submission in flow.submissions.filter(PENDING).select_related("flow"):
        settle(submission, clock=clock)


def settle(submission: Submission, *, clock: Clock = timezone.now) -> Submission:
    """One question about one unknown outcome, or the sending of what was put off.

    Does not wait for a process that is asking already.
    """
    now = clock()
    if give_up(submission, now):
        return submission
    if submission.progress is Progress.SENT and (submission.sent_at or now) > now - lease():
        return submission
    try:
        lost = not submission.payload or not submission.flow.personal
    except SealBroken:
        lost = True
    if lost:
        submission.refresh_from_db(fields=["state"])
        if not submission.progress.is_pending:  # answered since it was listed, and emptied with the answer
            return submission
        log.error("submission of reference %s cannot be asked about: its key is lost", submission.flow.reference)
        return submission
    if submission.kind == SubmissionKind.LEVEL:
        ensure_token(submission.flow)
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
    return _listed(PENDING)


def put_off_submissions(*, now: datetime, left: timedelta) -> list[Submission]:
    """Those that the customer sent and that could not go out, and that nobody has come back to for so long.

    Two presses of one button may show "we have it" to a customer before the call turns out not to go out. Whoever
    leaves then must not be lost. Nothing that was entered or asked for since is overtaken.
    """
    untouched = Q(flow__touched_at__lte=F("planned_at"), flow__expires_at__gt=now, flow__purged_at=None)
    never_sent = Q(state=Progress.PLANNED, code__in=_PUT_OFF, planned_at__lte=now - left)
    return _listed(_ONCE & never_sent & untouched)


def _listed(wanted: Q) -> list[Submission]:
    found = Submission.objects.filter(wanted).select_related("flow").defer("payload", "flow__personal")
    return list(found.order_by("sent_at"))


def count_open() -> dict[str, int]:
    """How many registrations and levels are on their way, unknown or given up, by state; purged ones left out."""
    rows = Submission.objects.filter(_ONCE, state__in=flow_rules.OPEN, flow__purged_at=None).values_list("state")
    return {**dict.fromkeys(flow_rules.OPEN, 0), **dict(rows.annotate(Count("pk")).order_by())}


def reviews_due(*, now: datetime) -> list[tuple[int, str]]:
    """Flows in review that are to be looked at, each with its reference.

    Who has left the page is told about all the same (milestones).
    """
    due = Flow.objects.filter(look_at__lte=now, outcome=Outcome.IN_REVIEW, purged_at=None)
    return list(due.order_by("look_at").values_list("pk", "reference"))


def look_after_review(pk: int, *, now: datetime) -> None:
    """One question about how a flow's checks stand, unless another process asks it."""
    row = Flow.objects.defer("personal").get(pk=pk)
    mine = Flow.objects.filter(pk=pk, look_at=row.look_at, look_at__lte=now)
    if not mine.update(look_at=now + flow_rules.pause_before_look(now - row.touched_at)):
        return
    try:
        look_at_review(flow=Flow.objects.get(pk=pk), now=now, attended=False)
    except SealBroken:
        log.error("the review of reference %s cannot be looked at: its key is lost", row.reference)
    except Flow.DoesNotExist:  # its data was deleted meanwhile
        return


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
    Once.objects.filter(until__lte=now).delete()
    due = Flow.objects.filter(Q(purge_at__lte=now) | Q(delete_asked=True), purged_at=None)
    open_flows = Submission.objects.filter(PENDING).values("flow")
    done = 0
    for pk in due.exclude(pk__in=open_flows).values_list("pk", flat=True):
        with transaction.atomic():
            row = Flow.objects.select_for_update().defer("personal").get(pk=pk)
            if row.submissions.filter(PENDING).exists():  # planned since we looked
                continue
            _wipe(row, now)
        done += 1
    return done


def forget_flows(*, now: datetime) -> int:
    """Deletes what is left of flows that began KEEP_FLOWS_DAYS ago; gives their number. Their counts stay.

    Only of those that are purged, have no open outcome and were counted since: without `rollup` nothing is deleted.
    """
    if not settings.KEEP_FLOWS_DAYS:
        return 0
    done = 0
    for _ in range(FORGOTTEN_IN_A_ROUND):
        deleted = _forget_some(begun=now - timedelta(days=settings.KEEP_FLOWS_DAYS), now=now)
        done += deleted
        if not deleted:
            break
    return done


def _forget_some(*, begun: datetime, now: datetime) -> int:
    """Some flows of one day. Whoever comes at the same time waits, and then finds others."""
    with transaction.atomic():
        counted_at = rollup.hold()
        if counted_at is None:
            return 0
        counted = counted_at - rollup.OVERLAP
        due = Flow.objects.filter(created_at__lte=begun, purged_at__lte=counted, expires_at__lte=counted)
        due = due.exclude(pk__in=Submission.objects.filter(PENDING).values("flow")).order_by("created_at")
        found = list(due.values_list("pk", "created_at")[:FORGOTTEN_AT_ONCE])
        if not found:
            return 0
        day = found[0][1].astimezone(UTC).date()
        flows = [pk for pk, created_at in found if created_at.astimezone(UTC).date() == day]
        rollup.set_aside(day, flows, now=now)
        Flow.objects.filter(pk__in=flows).delete()
        return len(flows)


def forget_sign_ins(*, now: datetime) -> int:
    """Deletes the console's sessions that are over, and failed sign-ins that count no more; gives their number."""
    sessions = Session.objects.filter(expire_date__lt=now).delete()[0]
    failed, _by_table = AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME).delete()
    return sessions + int(failed)


def forget_pages() -> None:
    """Lets SQLite write its log into the file and begin it anew: until then it holds what was deleted, still sealed.

    Pages of the file itself are overwritten (`secure_delete`, settings.py). PostgreSQL does the like by itself.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@dataclass
class Resealed:
    """How many sealed values were under an earlier key, under SECRET_KEY already, and under none that we hold."""

    renewed: int = 0
    kept: int = 0
    lost: int = 0


def reseal() -> Resealed:
    """Seals every value anew that rests under one of SECRET_KEY_FALLBACKS.

    Goes beside a running server: a value is replaced only while it is the one that was read, and whoever writes in
    between seals under SECRET_KEY anyway.
    """
    done = Resealed()
    for model in apps.get_app_config("onboarding").get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, SealedField):
                _reseal_column(model, field.name, done)
    return done


def _reseal_column(model: type[Model], name: str, done: Resealed) -> None:
    rows = model._default_manager.annotate(resting=Cast(name, TextField())).exclude(resting="")
    for pk in list(rows.values_list("pk", flat=True)):  # whole: SQLite refuses to write while it still reads
        text = rows.filter(pk=pk).values_list("resting", flat=True).first()
        if text is None:  # emptied meanwhile
            continue
        try:
            anew = resealed(text)
        except SealBroken:
            done.lost += 1
            continue
        if anew is None:
            done.kept += 1
        else:  # as text: the column's own type would seal what is sealed
            done.renewed += rows.filter(pk=pk, resting=text).update(**{name: Value(anew, output_field=TextField())})


def _wipe(row: Flow, now: datetime) -> None:
    """Leaves what counts (steps, times, campaign) and nothing of the person; the address is gone too."""
    row.personal = {}
    row.customer_no = row.customer_no if row.registered_at else ""
    row.handle_digest = f"purged-{row.pk}"
    row.next_handle_digest = row.previous_handle_digest = None
    row.landing_digest = f"purged-{row.pk}"
    row.link_digest = row.link_until = row.link_used_at = row.second_digest = row.look_at = None
    row.delete_asked = False
    row.purged_at = now
    row.outcome = row.outcome or Outcome.DELETED
    row.save()
    log.info("the data of reference %s is deleted", row.reference, extra={"reference": row.reference})
    row.submissions.filter(kind=SubmissionKind.CODE).delete()  # one on its way must find nothing to write to
    row.submissions.update(payload={})
    for submission in row.submissions.filter(state=Progress.PLANNED):  # nobody may claim what has no body any more
        row.submissions.filter(pk=submission.pk).update(state=Progress.REJECTED, key=new_key())
