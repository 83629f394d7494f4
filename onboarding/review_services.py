"""The use cases around the levels: fetching them, looking at how their checks stand, opening what comes first.

Reads the upstream and writes to our own rows only, so every one of them may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote

from django.conf import settings

from onboarding import writes
from onboarding.domain.flow import Outcome, Progress, open_levels
from onboarding.domain.levels import Level, renamed, to_json
from onboarding.gateway import upstream, upstream_language
from onboarding.models import Flow, SubmissionKind, release_connection
from onboarding.services import renew_token, state_of
from onboarding.submissions import locked
from onboarding.upstream.client import Call
from onboarding.upstream.errors import OutcomeUnknown, SessionEnded, UpstreamError, UpstreamUnavailable
from onboarding.upstream.wire import FindLevelsRequest, LevelStatus, Review, ReviewStatus
from onboarding.writes import MAX_LEVEL_CODE

log = logging.getLogger("onboarding.review_services")

OPEN_ACCOUNT = "open_account"  # the business that levels are asked for when none is configured (docs/upstream.md 2.10)
REVIEW_PAUSE = timedelta(seconds=5)
MAX_REASON = 500  # characters of a reason shown


def _call(flow: Flow) -> Call:
    release_connection()
    return Call(lang=upstream_language(flow.language), token=flow.personal.get("token", ""))


# -- What is asked -----------------------------------------------------------------------------------------------------


def fetch_level(*, flow: Flow, level: Level, now: datetime) -> Flow:
    """Puts the elements in of a level that the upstream only named; one that has none is left out from then on.

    Raises UpstreamUnavailable when there is no answer: nothing was done, and the next look asks again.
    """
    try:
        found = _find_level(flow, level)
    except SessionEnded:
        if not renew_token(flow):
            return Flow.objects.get(pk=flow.pk)
        raise UpstreamUnavailable("SESSION_RENEWED", retry_after=1) from None
    except OutcomeUnknown as exc:
        raise UpstreamUnavailable(exc.code, trace=exc.trace, retry_after=5) from exc
    except UpstreamUnavailable:
        raise
    except UpstreamError as exc:
        log.error("level %r of reference %s cannot be fetched: %s", level.code, flow.reference, exc)
        found = None
    with locked(flow) as row:
        _put(row, replace(found, code=level.code, name=found.name or level.name) if found else level)
        row.touch(now)
        row.save()
    return row


def _find_level(flow: Flow, level: Level) -> Level | None:
    """The level as the upstream asks for it now; None when it has no such level."""
    country, company_type = writes.company_of(flow, level.code)
    request = FindLevelsRequest(
        level_code=level.code,
        open_account_type=level.account_type if level.is_company else None,
        select_country=country or None,
        select_company_type=company_type or None,
    )
    found = upstream().find_levels(request, _call(flow), level.account_type)
    return next((other for other in found if other.code == level.code), None)


def _put(row: Flow, level: Level) -> None:
    levels = tuple(replace(level, known=True) if found.code == level.code else found for found in row.levels)
    row.personal = {**row.personal, "levels": to_json(levels)}
    if not row.outcome and not open_levels(state_of(row)):
        accepted = row.submissions.filter(kind=SubmissionKind.LEVEL, state=Progress.ACCEPTED).exists()
        row.outcome = Outcome.IN_REVIEW if accepted else Outcome.REGISTERED


def translate_levels(*, flow: Flow, now: datetime) -> None:
    """Asks for the open levels again in the flow's language; the names change, nothing else.

    Without an answer the customer goes on with the names as they are.
    """
    if flow.outcome or not flow.personal.get("token"):
        return
    names: dict[str, Level] = {}
    try:
        for level in open_levels(state_of(flow)):
            if found := _find_level(flow, level):
                names[level.code] = found
    except UpstreamError as exc:
        log.info("levels of reference %s keep their language: %s", flow.reference, exc)
        return
    with locked(flow) as row:
        levels = [renamed(level, names.get(level.code, level)) for level in row.levels]
        row.personal = {**row.personal, "levels": to_json(levels)}
        row.touch(now)
        row.save()


# -- How the checks stand ----------------------------------------------------------------------------------------------


def look_at_review(*, flow: Flow, now: datetime) -> Flow:
    """Asks how the checks stand, at most every REVIEW_PAUSE; gives the flow as it then is.

    Passed: the flow is at its end, and what was only kept for mending is dropped. Rejected: what was rejected is open
    again, with the reason and what was entered. Neither, and the upstream has further levels open: they come next.
    """
    token = flow.personal.get("token")
    review = flow.personal.get("review") or {}
    if flow.outcome != Outcome.IN_REVIEW or not token or not flow.levels or review.get("next", "") > now.isoformat():
        return flow
    statuses: tuple[LevelStatus, ...] = ()
    found = Review(ReviewStatus.IN_REVIEW)
    try:
        found = _check(flow)
        if found.status in (ReviewStatus.REJECTED, ReviewStatus.OPEN):
            statuses = level_statuses(flow)
    except SessionEnded:
        renew_token(flow)
    except UpstreamError as exc:
        log.info("the review of reference %s cannot be looked at: %s", flow.reference, exc)
    with locked(flow) as row:
        if row.outcome == Outcome.IN_REVIEW:
            _take_over(row, found, statuses, now)
            row.save()
    return row


def _check(flow: Flow) -> Review:
    business = settings.KYC_BUSINESS_CODE or OPEN_ACCOUNT
    return upstream().check_application(business, flow.identity.account_type.number, _call(flow))


def level_statuses(flow: Flow) -> tuple[LevelStatus, ...]:
    """How each level stands; nothing when the upstream does not say."""
    try:
        return upstream().level_statuses(flow.identity.account_type.number, _call(flow))
    except UpstreamError as exc:
        log.info("the levels of reference %s cannot be listed: %s", flow.reference, exc)
        return ()


def _take_over(row: Flow, found: Review, statuses: Iterable[LevelStatus], now: datetime) -> None:
    row.personal = {**row.personal, "review": {"next": (now + REVIEW_PAUSE).isoformat()}}
    by_status = {status: {s.code for s in statuses if s.status is status} for status in ReviewStatus}
    if found.status is ReviewStatus.PASSED:
        row.outcome = Outcome.PASSED
        row.personal = {**row.personal, "password": "", "drafts": {}, "uploads": {}, "levels": []}
    elif found.status is ReviewStatus.REJECTED:
        _reopen(row, by_status[ReviewStatus.REJECTED])
        row.personal = {**row.personal, "review": {"reason": found.reason[:MAX_REASON]}}
        row.touch(now)
    elif found.status is ReviewStatus.OPEN:
        new = [status for status in _fillable(statuses) if status.code not in {level.code for level in row.levels}]
        if new:
            _add(row, new)
            row.outcome = Outcome.OPEN
            row.touch(now)


def _reopen(row: Flow, rejected: set[str]) -> None:
    """The levels that were rejected; all that were handed in when the upstream does not say which."""
    handed_in = row.submissions.filter(kind=SubmissionKind.LEVEL, state=Progress.ACCEPTED)
    named = handed_in.filter(level__in=rejected)
    (named if named.exists() else handed_in).update(state=Progress.REJECTED)
    row.outcome = Outcome.OPEN


def _fillable(statuses: Iterable[LevelStatus]) -> list[LevelStatus]:
    """The open levels whose predecessor has passed, or that have none."""
    statuses = tuple(statuses)
    passed = {status.name for status in statuses if status.status is ReviewStatus.PASSED}
    to_do = (ReviewStatus.OPEN, ReviewStatus.REJECTED)
    return [s for s in statuses if s.status in to_do and (not s.after or s.after in passed)]


def _add(row: Flow, new: Iterable[LevelStatus], *, first: bool = False) -> None:
    """Levels that the registration did not name; their elements are fetched when their turn comes."""
    kind = row.identity.account_type.number
    levels = [Level(s.code, s.name, (), kind, known=False) for s in new if len(s.code) <= MAX_LEVEL_CODE]
    ordered = (*levels, *row.levels) if first else (*row.levels, *levels)
    row.personal = {**row.personal, "levels": to_json(ordered)}


def open_earlier(*, flow: Flow, level: str, now: datetime) -> bool:
    """Opens the level that must come before this one; whether there is one that the customer can fill in.

    There is none while the earlier one is being checked: then there is only waiting.
    """
    statuses = level_statuses(flow)
    earlier = next((s for s in _fillable(statuses) if s.code != level), None)
    position = [s.code for s in statuses]
    if earlier is None or (level in position and position.index(earlier.code) > position.index(level)):
        return False
    reason = _reason(flow) if earlier.status is ReviewStatus.REJECTED else ""
    with locked(flow) as row:
        row.submissions.filter(kind=SubmissionKind.LEVEL, level=earlier.code).update(state=Progress.REJECTED)
        others = [found for found in row.levels if found.code != earlier.code]
        same = [found for found in row.levels if found.code == earlier.code]
        row.personal = {**row.personal, "levels": to_json([*same, *others])}
        row.personal = {**row.personal, "review": {"first": earlier.code, "reason": reason}}
        if not same:
            _add(row, [earlier], first=True)
        row.touch(now)
        row.save()
    return True


def _reason(flow: Flow) -> str:
    try:
        return _check(flow).reason[:MAX_REASON]
    except UpstreamError as exc:
        log.info("the reason for reference %s cannot be asked: %s", flow.reference, exc)
        return ""


def comes_first(flow: Flow, level: str) -> bool:
    """Whether this level was opened because another one was refused before it."""
    return bool(level) and (flow.personal.get("review") or {}).get("first") == level


def review_reason(flow: Flow) -> str:
    """Why the checks were not passed, in the upstream's words; "" when they were not looked at or nothing is wrong."""
    return str((flow.personal.get("review") or {}).get("reason", ""))


def levels_left(flow: Flow) -> int:
    """How many levels are still to be filled in."""
    return len(open_levels(state_of(flow)))


# -- The way on --------------------------------------------------------------------------------------------------------


def may_go_on(flow: Flow) -> bool:
    """Whether the way on leads anywhere: one that carries the session needs a session."""
    address = settings.CONTINUE_URL
    return bool(address) and ("{token}" not in address or bool(flow.personal.get("token")))


def continue_address(flow: Flow) -> str:
    """Where the trading platform takes over, with the session token in it: never put this into a page or a log."""
    address: str = settings.CONTINUE_URL.replace("{lang}", upstream_language(flow.language))
    return address.replace("{token}", quote(flow.personal.get("token", ""), safe=""))
