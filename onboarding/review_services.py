"""The use cases around the levels: fetching them, looking at how their checks stand, opening what comes first.

Reads the upstream and writes to our own rows only, so every one of them may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote

from django.conf import settings

from onboarding import partners, writes
from onboarding.domain.flow import Outcome, Progress, open_levels
from onboarding.domain.levels import COMPANY, Level, renamed, to_json
from onboarding.gateway import upstream, upstream_language
from onboarding.milestones import end
from onboarding.models import Flow, SubmissionKind, release_connection
from onboarding.services import renew_token, set_language, state_of
from onboarding.submissions import locked
from onboarding.upstream.client import Call
from onboarding.upstream.codes import NO_LEVEL_DATA
from onboarding.upstream.errors import OutcomeUnknown, Refused, SessionEnded, UpstreamError, UpstreamUnavailable
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
    """Puts the elements in of a level that the upstream only named; one that it says has none is left out from then on.

    Any other answer leaves nothing out: a company whose country or type is refused chooses again, with the reason.
    Raises UpstreamUnavailable, Misconfigured or ContractBroken: the next look asks again.
    """
    chosen = writes.company_of(flow, level.code)
    try:
        found = _find_level(flow, level)
    except SessionEnded:
        if not renew_token(flow, flow.personal.get("token", "")):
            return Flow.objects.get(pk=flow.pk)
        raise UpstreamUnavailable("SESSION_RENEWED", retry_after=1) from None
    except OutcomeUnknown as exc:
        raise UpstreamUnavailable(exc.code, trace=exc.trace, retry_after=5) from exc
    except Refused as exc:
        if exc.code not in NO_LEVEL_DATA:
            return _choose_again(flow, level, exc, now)
        found = None
    with locked(flow) as row:
        if writes.company_of(row, level.code) == chosen:  # else another choice was made meanwhile: its answer counts
            _put(row, replace(found, code=level.code, name=found.name or level.name) if found else level, now)
            row.touch(now)
            row.save()
    return row


def _choose_again(flow: Flow, level: Level, refused: Refused, now: datetime) -> Flow:
    log.warning("level %r of reference %s is refused: %s", level.code, flow.reference, refused)
    if not level.is_company:
        raise UpstreamUnavailable(refused.code, trace=refused.trace, retry_after=60) from refused
    with locked(flow) as row:
        answered = dict(row.personal.get("answered") or {})
        answered[level.code] = [part for part in answered.get(level.code, []) if part != COMPANY]
        review = {**(row.personal.get("review") or {}), "refused": [refused.code, refused.field.value]}
        row.personal = {**row.personal, "answered": answered, "review": review}
        row.touch(now)
        row.save()
    return row


def company_refusal(flow: Flow) -> tuple[str, str] | None:
    """(code, field) of the refusal of the country or type that was chosen for the company."""
    refused = (flow.personal.get("review") or {}).get("refused")
    return (str(refused[0]), str(refused[1])) if refused else None


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


def _put(row: Flow, level: Level, now: datetime) -> None:
    levels = tuple(replace(level, known=True) if found.code == level.code else found for found in row.levels)
    row.personal = {**row.personal, "levels": to_json(levels)}
    if not row.outcome and not open_levels(state_of(row)):
        accepted = row.submissions.filter(kind=SubmissionKind.LEVEL, state=Progress.ACCEPTED).exists()
        end(row, Outcome.IN_REVIEW if accepted else Outcome.REGISTERED, now)


def change_language(*, flow: Flow, language: str, now: datetime) -> None:
    """The rest of the flow in this language ("" changes nothing), what the upstream asks for included."""
    if language:
        _translate_levels(set_language(flow=flow, language=language, now=now), now)


def _translate_levels(flow: Flow, now: datetime) -> None:
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


def look_at_review(*, flow: Flow, now: datetime, attended: bool = True) -> Flow:
    """Asks how the checks stand, at most every REVIEW_PAUSE; gives the flow as it then is.

    Passed: the flow is at its end, and what was only kept for mending is dropped. Rejected: what was rejected is open
    again, with the reason and what was entered. Neither, and the upstream has further levels open: they come next.
    Not `attended`: nobody is at the flow, so nothing is opened again; that would keep personal data for longer.
    """
    if flow.outcome != Outcome.IN_REVIEW or not flow.personal.get("token") or not flow.levels:
        return flow
    with locked(flow) as row:
        if (row.personal.get("review") or {}).get("next", "") > now.isoformat():
            return row
        row.personal = {**row.personal, "review": {"next": (now + REVIEW_PAUSE).isoformat()}}
        row.save()
    try:
        found = _check(row)
        asked = attended and found.status in (ReviewStatus.REJECTED, ReviewStatus.OPEN)
        statuses = _statuses(row) if asked else ()
    except SessionEnded:
        renew_token(row, row.personal.get("token", ""))
        return row
    except UpstreamError as exc:
        log.info("the review of reference %s cannot be looked at: %s", flow.reference, exc)
        return row
    with locked(flow) as row:
        if row.outcome == Outcome.IN_REVIEW and (attended or found.status is ReviewStatus.PASSED):
            _take_over(row, found, statuses, now)
            row.save()
    return row


def _check(flow: Flow) -> Review:
    business = settings.KYC_BUSINESS_CODE or OPEN_ACCOUNT
    return upstream().check_application(business, flow.identity.account_type.number, _call(flow))


def _statuses(flow: Flow) -> tuple[LevelStatus, ...]:
    """How each level stands, each level once."""
    found = upstream().level_statuses(flow.identity.account_type.number, _call(flow))
    return tuple({status.code: status for status in reversed(found)}.values())[::-1]


def _take_over(row: Flow, found: Review, statuses: Sequence[LevelStatus], now: datetime) -> None:
    if found.status is ReviewStatus.PASSED:
        end(row, Outcome.PASSED, now)
        row.personal = {
            **row.personal, "password": "", "drafts": {}, "uploads": {}, "receipts": {}, "levels": []
        }  # fmt: skip
    elif found.status is ReviewStatus.REJECTED:
        rejected = _reopen(row, statuses)
        row.outcome = Outcome.OPEN
        row.personal = {**row.personal, "review": {"reason": found.reason[:MAX_REASON], "rejected": rejected}}
        row.touch(now)
    elif found.status is ReviewStatus.OPEN and _add(row, _fillable(statuses)):
        row.outcome = Outcome.OPEN
        row.touch(now)


def _reopen(row: Flow, statuses: Sequence[LevelStatus]) -> list[str]:
    """The levels that were rejected; all that have not passed when the upstream's list does not say which.

    Gives their codes.
    """
    rejected = {status.code for status in statuses if status.status is ReviewStatus.REJECTED}
    passed = {status.code for status in statuses if status.status is ReviewStatus.PASSED}
    handed_in = row.submissions.filter(kind=SubmissionKind.LEVEL, state=Progress.ACCEPTED)
    which = handed_in.filter(level__in=rejected) if rejected else handed_in.exclude(level__in=passed)
    reopened = set(which.values_list("level", flat=True)) | rejected
    which.update(state=Progress.REJECTED)
    _add(row, [status for status in statuses if status.code in rejected])
    return sorted(reopened)


def _fillable(statuses: Iterable[LevelStatus]) -> list[LevelStatus]:
    """The open levels whose predecessor has passed, or that have none."""
    statuses = tuple(statuses)
    passed = {status.name for status in statuses if status.status is ReviewStatus.PASSED}
    to_do = (ReviewStatus.OPEN, ReviewStatus.REJECTED)
    return [s for s in statuses if s.status in to_do and (not s.after or s.after in passed)]


def _add(row: Flow, statuses: Iterable[LevelStatus], *, first: bool = False) -> bool:
    """Levels that the registration did not name; their elements are fetched when their turn comes. Whether any."""
    kind, known = row.identity.account_type.number, {level.code for level in row.levels}
    new = [status for status in statuses if status.code not in known and len(status.code) <= MAX_LEVEL_CODE]
    levels = [Level(status.code, status.name, (), kind, known=False) for status in new]
    ordered = (*levels, *row.levels) if first else (*row.levels, *levels)
    row.personal = {**row.personal, "levels": to_json(ordered)}
    return bool(new)


def open_earlier(*, flow: Flow, level: str, now: datetime) -> bool:
    """Opens the level that must come before this one; whether there is one that the customer can fill in.

    There is none while the earlier one is being checked, or when it turned out to ask for nothing: then there is only
    waiting.
    """
    try:
        statuses = _statuses(flow)
    except UpstreamError as exc:
        log.info("the levels of reference %s cannot be listed: %s", flow.reference, exc)
        return False
    before = [status.code for status in statuses]
    before = before[: before.index(level)] if level in before else before
    earlier = next((status for status in _fillable(statuses) if status.code in before), None)
    if earlier is None or _is_empty(flow, earlier.code):
        return False
    rejected = earlier.status is ReviewStatus.REJECTED
    review = {"reason": _reason(flow), "rejected": [earlier.code]} if rejected else {}
    with locked(flow) as row:
        row.submissions.filter(kind=SubmissionKind.LEVEL, level=earlier.code).update(state=Progress.REJECTED)
        same = [replace(f, known=f.has_elements) for f in row.levels if f.code == earlier.code]
        others = [found for found in row.levels if found.code != earlier.code]
        row.personal = {**row.personal, "levels": to_json([*same, *others])}
        _add(row, [earlier], first=True)
        row.personal = {**row.personal, "review": {"first": earlier.code, **review}}
        row.touch(now)
        row.save()
    return True


def _is_empty(flow: Flow, level: str) -> bool:
    """Whether the level was opened before, and asks for nothing."""
    return comes_first(flow, level) and any(f.code == level and not f.has_elements for f in flow.levels)


def _reason(flow: Flow) -> str:
    try:
        return _check(flow).reason[:MAX_REASON]
    except UpstreamError as exc:
        log.info("the reason for reference %s cannot be asked: %s", flow.reference, exc)
        return ""


def comes_first(flow: Flow, level: str) -> bool:
    """Whether this level was opened because another one was refused before it."""
    return bool(level) and (flow.personal.get("review") or {}).get("first") == level


def rejection(flow: Flow, level: str) -> str | None:
    """Why the level did not pass, in the upstream's words, "" when it gives no reason; None when nothing is wrong."""
    review = flow.personal.get("review") or {}
    return str(review.get("reason", "")) if level in review.get("rejected", ()) else None


# -- The way on --------------------------------------------------------------------------------------------------------


def _way_on(flow: Flow) -> str:
    """The partner's address, else the settings'."""
    return partners.partner_of(flow.partner).continue_url or str(settings.CONTINUE_URL)


def may_go_on(flow: Flow) -> bool:
    """Whether the way on leads anywhere: one that carries the session needs a session."""
    address = _way_on(flow)
    return bool(address) and ("{token}" not in address or bool(flow.personal.get("token")))


def continue_address(flow: Flow) -> str:
    """Where the trading platform takes over, with the session token in it: never put this into a page or a log."""
    address = _way_on(flow).replace("{lang}", upstream_language(flow.language))
    return address.replace("{token}", quote(flow.personal.get("token", ""), safe=""))
