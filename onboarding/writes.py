"""The three writes to the upstream (code, register, level): what is sent, and what follows from each answer.

One builder per body, so that attribution, agent and consent are on every path. The bodies are kept sealed with their
submission, because the same key must always carry the same body.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings

from onboarding import limits, partners, pumping
from onboarding.domain import attribution
from onboarding.domain.flow import Channel, Identity, Notice, Outcome, Progress, Visitor
from onboarding.domain.levels import Level, to_json
from onboarding.gateway import upstream, upstream_language
from onboarding.milestones import end, reached
from onboarding.models import Flow, MilestoneKind, Submission, SubmissionKind, release_connection
from onboarding.sealing import derive_handle
from onboarding.upstream.client import Call
from onboarding.upstream.codes import (
    AGENT_CODES,
    EXISTS_CODES,
    IN_REVIEW_CODES,
    LATER_CODES,
    NO_LEVELS_SET_UP,
    PASSED_CODES,
    Field,
)
from onboarding.upstream.errors import Misconfigured, Refused, SessionEnded, UpstreamError
from onboarding.upstream.wire import (
    BizType,
    CustomerGroup,
    ElementAnswer,
    LevelApplication,
    RegisterRequest,
    Registration,
    SendCodeRequest,
    sms_recipient,
)

MAX_LEVEL_CODE = 200  # characters; nothing that could be a level's code is longer


@dataclass(frozen=True, slots=True)
class Write:
    """How one kind of submission is sent, and what its definite answers change.

    `accept` and `reject` run in the transaction that records the outcome; `reject` says what the refusal amounts to.
    """

    send: Callable[[Submission], Any]
    accept: Callable[[Flow, Submission, Any, datetime], None]
    reject: Callable[[Flow, Submission, UpstreamError, datetime], Progress]


def same_request(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two payloads ask for the same thing; who asks (address, device, time) does not count."""
    visitor_fields = ("register_device", "register_source")

    def essence(payload: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in payload.get("request", {}).items() if key not in visitor_fields}

    return bool(one) and essence(one) == essence(other)


def _payload(request: Any, flow: Flow, visitor: Visitor) -> dict[str, Any]:
    return {
        "request": request.model_dump(mode="json"),
        "call": {
            "lang": upstream_language(flow.language),
            "client_address": visitor.address,
            "captcha": visitor.captcha,
        },
    }


def _call(submission: Submission, **extra: str) -> Call:
    call: dict[str, Any] = {**submission.payload["call"], **extra}
    return Call(idempotency_key=submission.key, question=submission.question, **call)


@contextmanager
def _guest() -> Iterator[None]:
    """What only the operator can mend: "session ended" without log-in, and a CAPTCHA wanted where none is set up."""
    try:
        yield
    except (SessionEnded, Refused) as exc:
        if isinstance(exc, Refused) and (exc.field != Field.CAPTCHA or settings.CAPTCHA_PROVIDER):
            raise
        raise Misconfigured(exc.code, trace=exc.trace, status=exc.status) from exc


# -- The verification code ---------------------------------------------------------------------------------------------


def code_payload(flow: Flow, visitor: Visitor) -> dict[str, Any]:
    identity = flow.identity
    if identity.channel is Channel.EMAIL:
        biz_type, to_user = BizType.EMAIL_REGISTER, identity.email
    else:
        biz_type, to_user = BizType.SMS_REGISTER, sms_recipient(identity.area, identity.phone)
    country = identity.area_country if identity.channel is Channel.PHONE else identity.country
    request = SendCodeRequest(biz_type=biz_type, to_user=to_user, country=country or identity.country)
    return _payload(request, flow, visitor)


def _send_code(submission: Submission) -> str:
    request = SendCodeRequest.model_validate(submission.payload["request"])
    with _guest():
        return upstream().send_code(request, _call(submission))


def _accept_code(flow: Flow, submission: Submission, ticket: str, now: datetime) -> None:
    submission.payload = {}  # nobody asks about it again
    flow.then(partial(pumping.note_sent, flow.identity, now))
    _put_ticket(flow, ticket, now)


def _put_ticket(flow: Flow, ticket: str, now: datetime) -> None:
    """The ticket replaces the earlier one: only the newest code counts from now on."""
    if flow.code_sent_at is None:  # else it was reached then
        reached(flow, MilestoneKind.CODE_SENT, now)
    flow.personal = {**flow.personal, "ticket": ticket}
    flow.code_sent_at = now
    flow.notice, flow.notice_code = Notice.NONE, ""


def _reject_code(flow: Flow, submission: Submission, error: UpstreamError, now: datetime) -> Progress:
    if error.code in EXISTS_CODES:
        # Nobody has proven yet that the identifier is theirs, so nobody may learn that it is registered: the page goes
        # on as if a code had been sent, and no code will fit.
        # A made-up ticket lets the register call take its usual time.
        submission.payload = {}
        _put_ticket(flow, str(uuid.uuid4()), now)
        return Progress.ACCEPTED
    flow.sends -= 1
    flow.then(partial(limits.give_back, identity=flow.identity, planned_at=submission.planned_at))
    return Progress.REJECTED


# -- Registering -------------------------------------------------------------------------------------------------------


def handle_for(flow: Flow, code: str) -> str:
    """The handle that a flow has once this code has registered it.

    Derived, not drawn: every POST of the same code leads to the same address, and nothing but the code does.
    """
    return derive_handle("registered", flow.landing_digest, code)


def login_fields(identity: Identity) -> dict[str, Any]:
    """How the upstream names a customer: the fields that register and login share."""
    by_phone = identity.channel is Channel.PHONE
    return {
        "type": 2 if by_phone else 1,
        "login_name": identity.phone if by_phone else identity.email,
        "phone_area": identity.area if by_phone else None,
    }


def registration_payload(flow: Flow, code: str, visitor: Visitor) -> dict[str, Any]:
    """The body of the register call: the only place that puts identity, consent, groups and attribution into it."""
    identity = flow.identity
    group = _group(flow)
    utm = attribution.Touches.of(flow.attribution).last.values
    request = RegisterRequest(
        **login_fields(identity),
        email_area=identity.area or None if identity.channel is Channel.EMAIL else None,
        country=identity.country,
        verify_code=code,
        send_token=flow.personal.get("ticket") or "",
        register_source=1 if visitor.mobile else 2,
        password_md5=flow.personal.get("password") or None,
        open_account_type=identity.account_type.number,
        customer_group_id=group.customer_group_id,
        trade_types=group.trade_types,
        lang=upstream_language(flow.language),
        register_device=visitor.device or None,
        utm_source=utm.get("utm_source"),
        utm_medium=utm.get("utm_medium"),
        utm_campaign=utm.get("utm_campaign"),
        utm_content=utm.get("utm_content"),
        utm_term=utm.get("utm_term"),
        third_server_code=flow.agent or None,
        third_server_source="agent" if flow.agent else None,
        protocol=True,
    )
    return _payload(request, flow, visitor)


def _group(flow: Flow) -> CustomerGroup:
    """The partner's customer group and trade types, each else that of the country."""
    groups = settings.CUSTOMER_GROUPS
    found = CustomerGroup.model_validate(groups.get(flow.identity.country) or groups.get("*") or {})
    partner = partners.partner_of(flow.partner)
    return CustomerGroup.model_validate(
        {
            "customer_group_id": partner.customer_group or found.customer_group_id,
            "trade_types": partner.trade_types or found.trade_types,
        }
    )


def _register(submission: Submission) -> Registration:
    request = RegisterRequest.model_validate(submission.payload["request"])
    with _guest():
        return upstream().register(request, _call(submission))


def _accept_registration(flow: Flow, submission: Submission, answer: Registration, now: datetime) -> None:
    """From here the flow has a new address, and the old one is worth nothing."""
    asked = () if answer.in_review else tuple(level for level in answer.levels if len(level.code) <= MAX_LEVEL_CODE)
    levels = to_json(asked)
    flow.customer_no = answer.customer_no[:64]
    flow.registered_at = now
    submission.trace = answer.trace[:80]
    flow.previous_handle_digest = flow.handle_digest
    flow.handle_digest, flow.next_handle_digest = flow.next_handle_digest or flow.handle_digest, None
    flow.notice, flow.notice_code = Notice.NONE, ""
    flow.then(partial(pumping.note_used, flow.identity, flow.code_sent_at or now))
    flow.personal = {
        **flow.personal,
        "ticket": "",
        "token": answer.token,
        "levels": levels,
        "password": flow.personal.get("password", "") if levels else "",  # to log in again until they are done
    }
    reached(flow, MilestoneKind.VERIFIED, now)
    reached(flow, MilestoneKind.REGISTERED, now)
    if answer.in_review:
        end(flow, Outcome.IN_REVIEW, now)
    elif not asked:
        end(flow, Outcome.REGISTERED, now)
    flow.touch(now)
    submission.payload = {}  # code, ticket and password digest have done their work
    if any(s.kind == SubmissionKind.CODE and s.progress is not Progress.ACCEPTED for s in flow.look()):
        codes = flow.submissions.filter(kind=SubmissionKind.CODE)
        flow.then(partial(codes.update, payload={}))  # and so has the order of the code, whatever came of it


def _reject_registration(flow: Flow, submission: Submission, error: UpstreamError, now: datetime) -> Progress:
    field = error.field.value if isinstance(error, Refused) else ""
    if error.code in EXISTS_CODES:
        flow.end(Outcome.EXISTS, now)  # the code was right, so whoever reads this owns the identifier
        flow.then(partial(pumping.note_used, flow.identity, flow.code_sent_at or now))
        reached(flow, MilestoneKind.VERIFIED, now)
    elif field == Notice.CODE:
        pass  # said at once on the verify step, nothing to remember
    elif field == "captcha" or error.code in LATER_CODES:
        flow.code_attempts -= 1  # the code was not looked at
    elif error.code in AGENT_CODES and flow.agent:
        flow.notice, flow.notice_code = Notice.AGENT, error.code
        flow.code_attempts -= 1
    elif field in _NOTICES:
        flow.notice, flow.notice_code = _NOTICES[field](flow), error.code[:60]
        if flow.notice == Notice.PASSWORD:
            flow.password_open = True
            flow.personal = {**flow.personal, "password": ""}
        else:
            flow.code_sent_at = None  # the code stays unused upstream, but a corrected identifier needs its own
    else:
        flow.end(Outcome.REFUSED, now)
        flow.notice_code = error.code[:60]
    return Progress.REJECTED


_NOTICES: Mapping[str, Callable[[Flow], Notice]] = {
    "email": lambda _flow: Notice.EMAIL,
    "phone": lambda _flow: Notice.PHONE,
    "phone_area": lambda _flow: Notice.PHONE_AREA,
    "identifier": lambda flow: Notice.EMAIL if flow.channel == Channel.EMAIL else Notice.PHONE,
    "country": lambda _flow: Notice.COUNTRY,
    "account_type": lambda _flow: Notice.ACCOUNT_TYPE,
    "password": lambda _flow: Notice.PASSWORD,
}


# -- Levels ------------------------------------------------------------------------------------------------------------


def level_application(
    flow: Flow, level: Level, path: str, answers: list[tuple[str, str]], *, draft: bool = False
) -> LevelApplication:
    """The body of a level: element codes and values as the upstream encodes them, in the order asked.

    A company says where and of which type it is, and whether this is a draft; for others these are left out.
    """
    country, company_type = company_of(flow, level.code)
    return LevelApplication(
        level_code=level.code,
        path_code=path or None,
        open_account_type=level.account_type,
        elements=tuple(ElementAnswer(element_code=code, element_value=value) for code, value in answers),
        select_country=country or None,
        select_company_type=company_type or None,
        commit_tag=not draft if draft or level.is_company else None,
    )


def company_of(flow: Flow, level: str) -> tuple[str, str]:
    """(country, type) that the customer chose for the company on this level."""
    chosen = (flow.personal.get("companies") or {}).get(level) or ("", "")
    return str(chosen[0]), str(chosen[1])


def level_payload(
    flow: Flow, level: Level, path: str, answers: list[tuple[str, str]], visitor: Visitor
) -> dict[str, Any]:
    return _payload(level_application(flow, level, path, answers), flow, visitor)


def _submit_level(submission: Submission) -> str:
    request = LevelApplication.model_validate(submission.payload["request"])
    flow = submission.flow if submission.is_planned_here else Flow.objects.get(pk=submission.flow_id)
    call = _call(submission, token=flow.personal.get("token", ""))
    return apply(request, call)


def apply(request: LevelApplication, call: Call) -> str:
    """Hands a level in, or a draft of it, in the configured way; gives the proposal's number where there is one."""
    release_connection()
    if settings.KYC_BUSINESS_CODE:
        upstream().apply_business(request, settings.KYC_BUSINESS_CODE, call)
        return ""
    return upstream().apply_level(request, call)


def _accept_level(flow: Flow, submission: Submission, _proposal: str, now: datetime) -> None:
    submission.payload = {}  # upstream now; the draft stays until the review has passed, to be mended if it has not
    flow.personal = {**flow.personal, "review": _still_rejected(flow, submission.level)}
    reached(flow, MilestoneKind.SUBMITTED, now, submission.level)
    levels = [seen for seen in flow.look() if seen.kind == SubmissionKind.LEVEL]
    accepted = {seen.level for seen in levels if seen.progress is Progress.ACCEPTED} | {submission.level}
    if all(level.code in accepted or (level.known and not level.has_elements) for level in flow.levels):
        end(flow, Outcome.IN_REVIEW, now)
    flow.touch(now)


def _still_rejected(flow: Flow, level: str) -> dict[str, Any]:
    """What the review said of the other levels that it did not accept."""
    review = flow.personal.get("review") or {}
    others = [code for code in review.get("rejected", ()) if code != level]
    return {"reason": review.get("reason", ""), "rejected": others} if others else {}


def _reject_level(flow: Flow, submission: Submission, error: UpstreamError, now: datetime) -> Progress:
    if error.code in IN_REVIEW_CODES | PASSED_CODES | {NO_LEVELS_SET_UP}:
        _accept_level(flow, submission, "", now)
        return Progress.ACCEPTED
    if not isinstance(error, Refused):  # the session has ended: the token is worth nothing any more
        flow.personal = {**flow.personal, "token": ""}
    return Progress.REJECTED


WRITES: Mapping[str, Write] = {
    SubmissionKind.CODE: Write(_send_code, _accept_code, _reject_code),
    SubmissionKind.REGISTER: Write(_register, _accept_registration, _reject_registration),
    SubmissionKind.LEVEL: Write(_submit_level, _accept_level, _reject_level),
}
