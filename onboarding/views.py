"""One short function per step: find the flow, check the step, call one service, answer.

The current step is computed from what is known, never believed from the address. Every effect is a POST; a GET of a
flow whose outcome is unknown asks the upstream again under the same key, which changes nothing there.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from onboarding import (
    door,
    embedding,
    handover_views,
    housekeeping,
    i18n,
    level_pages,
    level_services,
    level_views,
    limits,
    pages,
    pumping,
    registering,
    review_services,
    services,
    start_views,
    visitor,
)
from onboarding.domain.flow import Channel, Notice, Outcome, Position, Step
from onboarding.forms import PasswordForm, VerifyForm, errors_of
from onboarding.guards import View, customer_page, left_flow, posted, see_other, with_flow
from onboarding.models import Flow
from onboarding.proof import Challenge
from onboarding.upstream.errors import UpstreamUnavailable

SOON = 60  # seconds that a customer may wait for on the page


# -- The flow ----------------------------------------------------------------------------------------------------------


def flow_view(view: View) -> View:
    """A view of a flow; a POST that came too late is answered with the step where the flow really is."""

    @wraps(view)
    def or_current(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, **kwargs)
        except services.StepOver:
            return _current_step(request, status=409 if request.method == "POST" else 200)
        except limits.Spent as exc:
            flow = services.find_flow(pages.of(request).handle)
            return _spent(request, flow, exc.seconds) if flow else left_flow(request, pages.of(request).handle)

    return customer_page(with_flow(or_current))


def _current_step(request: HttpRequest, *, status: int) -> HttpResponse:
    """The step where the flow really is, for a POST that came too late."""
    page = pages.of(request)
    flow = services.find_flow(page.handle)
    if flow is None:
        return left_flow(request, page.handle)
    pages.set_page(request, flow=flow)
    return _show(request, *_fetched(request, flow, services.position(flow)), status=status)


def _spent(request: HttpRequest, flow: Flow, seconds: int) -> HttpResponse:
    """No code for now: beside the button where it is soon over or where nothing was sent yet, else as a problem."""
    if seconds > SOON and flow.code_sent_at is not None:
        return pages.problem(request, "limited", 429, retry_after=seconds)
    pages.set_page(request, flow=flow)
    errors = [("", i18n.too_many_codes(seconds))]
    return _verify(request, flow, status=429, errors=errors, retry_after=seconds, problem="limited")


@flow_view
def flow_page(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """The current step. While an outcome is unknown it is asked for again."""
    if request.method == "POST":
        return _come_back(request, flow, handle)
    here = services.position(flow)
    if here.step is Step.STATUS:
        housekeeping.settle_flow(flow)
        again = services.find_flow(handle)
        if again is None:
            return left_flow(request, handle)
        if services.home_of(again, handle) != handle:  # refused: the flow's own address counts again
            return see_other(services.home_of(again, handle))
        flow, here = again, services.position(again)
    flow, here = _looked_at(request, flow, here)
    change = request.GET.get("change", "")
    if change in pumping.channels() and here.step in (Step.PASSWORD, Step.VERIFY, Step.IDENTIFY):
        return start_views.show_identify(request, _known(flow) | {"channel": change})
    if here.step is Step.LEVEL:
        return level_pages.look_at_level(request, flow, here)
    return _show(request, flow, here)


def _come_back(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """The button of the page that refuses a silent browser after a while (guards): from now on it is believed again."""
    if not embedding.is_way_back(request.POST.get("back", ""), flow.reference):
        raise services.StepOver
    services.keep_alive(flow=flow, now=timezone.now())
    return see_other(handle)


def _looked_at(request: HttpRequest, flow: Flow, here: Position) -> tuple[Flow, Position]:
    """The position once the upstream has said how the checks stand, or what comes next."""
    if here.step is Step.DONE:
        seen = review_services.look_at_review(flow=flow, now=timezone.now())
        flow, here = (flow, here) if seen is flow else (seen, services.position(seen))
    pages.set_page(request, flow=flow)
    return _fetched(request, flow, here)


MOST_FETCHED = 5  # levels in one request


def _fetched(request: HttpRequest, flow: Flow, here: Position) -> tuple[Flow, Position]:
    """The position once the upstream has said what the level asks for."""
    for _look in range(MOST_FETCHED):
        if here.level is None or not here.must_fetch:
            return flow, here
        flow = review_services.fetch_level(flow=flow, level=here.level, now=timezone.now())
        flow = pages.set_page(request, flow=flow).flow or flow
        here = services.position(flow)
    raise UpstreamUnavailable("MANY_LEVELS", retry_after=1)  # the next look goes on from here


def _known(flow: Flow) -> dict[str, str]:
    identity = flow.identity
    return {
        "account_type": identity.account_type, "country": identity.country, "channel": identity.channel,
        "email": identity.email, "phone": identity.phone, "phone_area": identity.area_country or identity.country,
    }  # fmt: skip


def _show(request: HttpRequest, flow: Flow, here: Position, *, status: int = 200) -> HttpResponse:
    """Draws the step of this position, with the refusal that led back to it."""
    match here.step:
        case Step.IDENTIFY:
            rejected = services.Rejected(flow.notice_code, flow.notice)
            return start_views.show_identify(request, _known(flow), rejected=rejected, status=status)
        case Step.PASSWORD:
            refused = flow.notice == Notice.PASSWORD
            errors = [("id_password", i18n.refusal(flow.notice_code, flow.notice))] if refused else []
            return _password(request, status=status, errors=errors)
        case Step.VERIFY:
            refused = flow.notice == Notice.AGENT
            errors = [("", i18n.refusal(flow.notice_code, flow.notice))] if refused else []
            return _verify(request, flow, status=status, errors=errors)
        case Step.PATH:
            return level_pages.show_path(request, here, status=status)
        case Step.LEVEL:
            return level_pages.show_level(request, flow, here, level_pages.level_form(flow, here), status=status)
        case Step.STATUS:
            return _status(request, flow, here, status=status)
        case Step.DONE:
            return _done(request, flow, status=status)
        case _:
            return pages.problem(request, pages.problem_of(Outcome(flow.outcome)), status)


@flow_view
@posted
def answer(request: HttpRequest, flow: Flow, handle: str, step: str) -> HttpResponse:
    """An answered step. One that is over leads to the current one, with 409."""
    here = services.position(flow)
    if here.step is Step.STATUS and step == (Step.LEVEL if here.level else Step.VERIFY):
        return _answer_twice(request, flow, handle, here)
    correctable = here.step in (Step.IDENTIFY, Step.PASSWORD, Step.VERIFY)
    if step != here.step and not (step == Step.IDENTIFY and correctable):
        raise services.StepOver
    return ANSWERS[step](request, flow, handle, here)


def _answer_twice(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    """The same answer while the first one is still on its way (a double click): waits for it, sends nothing."""
    if here.level is None:
        return _answer_verify(request, flow, handle, here)
    level_services.await_level(flow=flow, level=here.level.code)
    return see_other(handle)


def _answer_identify(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    if start_views.is_round_trip(request):
        return start_views.round_trip(request)
    form = start_views.identify_form(request, request.POST, ask_consent=False)
    if not form.is_valid():
        return start_views.show_identify(request, request.POST.dict(), form)
    given, signs = request.POST.dict(), door.signs_of_flow(request)
    try:
        proof = door.admit(request, door.of_flow(flow), signs)
        flow = services.correct_identity(flow=flow, identity=form.identity(), now=timezone.now(), proof=proof)
        return start_views.send_first_code(request, flow, handle)
    except door.Challenged as exc:
        return start_views.show_identify(request, given, form, challenge=exc.challenge)
    except services.AlreadyUsed:
        again = door.challenge_again(door.of_flow(flow), signs)
        return start_views.show_identify(request, given, form, challenge=again)
    except services.Rejected as exc:
        return start_views.show_identify(request, given, form, rejected=exc)


def _password(request: HttpRequest, *, status: int = 200, errors: pages.Errors = ()) -> HttpResponse:
    context = {"optional": settings.PASSWORD_STEP == "optional"}  # noqa: S105 (a setting's value)
    return pages.render(request, Step.PASSWORD, context, status=status, errors=errors)


def _answer_password(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    form = PasswordForm(request.POST)
    if not form.is_valid():
        return _password(request, status=422, errors=errors_of(form))
    try:
        services.answer_password(flow=flow, password_md5=form.digest, visitor=visitor.read(request))
        return see_other(handle)
    except services.Rejected as exc:
        return start_views.show_identify(request, _known(flow), rejected=exc)


def _verify(
    request: HttpRequest,
    flow: Flow,
    *,
    status: int = 200,
    errors: pages.Errors = (),
    typed: str = "",
    retry_after: int | None = None,
    problem: str = "",
    challenge: Challenge | None = None,
) -> HttpResponse:
    context = pages.challenged(challenge) | {
        "identifier": pages.shown_identifier(flow),
        "by_phone": flow.channel == Channel.PHONE,
        "sent": flow.code_sent_at is not None,
        "wait": services.wait_for_next_code(flow, timezone.now()),
        "typed": typed,
        "agent_refused": flow.notice == Notice.AGENT,
        "problem": problem,
        "no_more_codes": flow.sends >= settings.LIMIT_FLOW_SENDS,
        "channels": pumping.channels(),
    }
    return pages.render(request, Step.VERIFY, context, status=status, errors=errors, retry_after=retry_after)


def _answer_verify(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    form = VerifyForm(request.POST)
    typed = request.POST.get("code", "")[:40]
    if not form.is_valid():
        return _verify(request, flow, status=422, errors=errors_of(form), typed=typed)
    if "without_agent" in request.POST and flow.notice == Notice.AGENT:
        registering.drop_agent(flow=flow, now=timezone.now())
    try:
        found = registering.register(flow=flow, code=form.cleaned_data["code"], visitor=visitor.read(request))
    except services.Rejected as exc:
        flow = exc.flow or flow
        errors = [("id_code" if exc.field == Notice.CODE else "", i18n.refusal(exc.code, exc.field))]
        return _verify(request, flow, status=422, errors=errors, typed=typed)
    return see_other(found)


@flow_view
@posted
def resend(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """Another code, after the cool-down."""
    if services.position(flow).step is not Step.VERIFY:
        raise services.StepOver
    try:
        if _may_resend(request, flow):
            services.send_code(flow=flow, visitor=visitor.read(request), resend=True)
    except door.Challenged as exc:
        return _verify(request, flow, status=422, challenge=exc.challenge)
    except services.TooSoon as exc:
        return _verify(request, flow, status=429, errors=[("", i18n.too_soon(exc.seconds))], retry_after=exc.seconds)
    except services.NoMoreCodes as exc:
        text = _("No more codes can be sent here. Enter the newest one, or start again.")
        return _verify(request, flow, status=429, errors=[("", text)], retry_after=exc.seconds, problem="limited")
    except services.Rejected as exc:
        return _verify(request, flow, status=422, errors=[("", i18n.not_sent(exc.code, exc.field))])
    return see_other(handle)


def _may_resend(request: HttpRequest, flow: Flow) -> bool:
    """False for a repetition: its proof has counted, so its code is on its way. Raises Challenged."""
    if services.wait_for_next_code(flow, timezone.now()):
        return True  # nobody works for being told to wait
    proof = door.admit(request, door.of_flow(flow), door.signs_of_flow(request))
    return proof is None or proof.use()


# Seconds after which a page that waits looks again by itself; then it stops, and the link does the same by hand.
LOOKS_FOR_AN_ANSWER = (2, 4, 6, 9, 13, 18, 25, 35, 50, 70, 100, 140, 200, 280, 400, 560)
LOOKS_FOR_A_REVIEW = (15, 30, 60, 120, 240, 480, 900, 1800)


def _status(request: HttpRequest, flow: Flow, here: Position, *, status: int) -> HttpResponse:
    if here.given_up:
        return pages.render(request, Step.STATUS, {"given_up": True}, status=status)
    waited = (timezone.now() - flow.touched_at).total_seconds()
    again = next((int(seconds - waited) + 4 for seconds in LOOKS_FOR_AN_ANSWER if seconds > waited), None)
    context = {"refresh": again, "looks": LOOKS_FOR_AN_ANSWER, "waits": "status"}
    return pages.render(request, Step.STATUS, context, status=status)


def _done(request: HttpRequest, flow: Flow, *, status: int = 200) -> HttpResponse:
    context = {
        "outcome": flow.outcome or Outcome.REGISTERED,
        "unfinished": not flow.outcome,  # the upstream wants more, but we hold no session to give it with
        "customer_no": flow.customer_no,
        "levels": bool(flow.levels),
        "waits": flow.outcome if flow.outcome == Outcome.IN_REVIEW else "",
        "looks": LOOKS_FOR_A_REVIEW if flow.outcome == Outcome.IN_REVIEW and flow.levels else (),
        "continue_url": reverse("continue", args=[pages.of(request).handle]) if review_services.may_go_on(flow) else "",
    }
    return pages.render(request, Step.DONE, context, status=status)


@flow_view
def go_on(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """On to the trading platform. The session token is put into the address here and stands in no page of ours."""
    if services.position(flow).step is not Step.DONE or not review_services.may_go_on(flow):
        raise services.StepOver
    response = HttpResponse(status=303)
    response["Location"] = review_services.continue_address(flow)
    response["Referrer-Policy"] = "no-referrer"
    return response


@customer_page
@partial(with_flow, expired_too=True)
@posted
def delete(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """ "Delete my data now"; while an outcome is open, as soon as that is known."""
    address = pages.start_url(pages.of(request))
    if not housekeeping.delete_data(flow=flow, now=timezone.now()):
        return see_other(handle)
    response = HttpResponse(status=303)
    response["Location"] = f"{address}{'&' if '?' in address else '?'}deleted=1"
    return response


@flow_view
@posted
def language(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """The rest of the flow in another language."""
    review_services.change_language(
        flow=flow, language=i18n.supported(request.POST.get("lang", "")), now=timezone.now()
    )
    return see_other(handle, "handover" if "handover" in request.POST else "flow")


handover = flow_view(handover_views.handover)


@flow_view
@posted
def upload(request: HttpRequest, flow: Flow, handle: str, step: str) -> HttpResponse:
    """One file of the level, sent by a script as soon as it was chosen."""
    return level_views.take_file(request, flow, services.position(flow))


@flow_view
def elsewhere(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """Any other address below a flow leads to the current step."""
    return see_other(handle)


ANSWERS: dict[str, View] = {
    Step.IDENTIFY: _answer_identify,
    Step.PASSWORD: _answer_password,
    Step.VERIFY: _answer_verify,
    Step.PATH: level_views.answer_path,
    Step.LEVEL: level_views.answer_level,
}


# -- What Django answers itself ----------------------------------------------------------------------------------------


def _speaking(request: HttpRequest, kind: str, status: int) -> HttpResponse:
    with translation.override(i18n.negotiate((), request.headers.get("Accept-Language", ""))):
        return pages.problem(request, kind, status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _speaking(request, "not-allowed", 400)


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponse:
    """Whatever is refused, also by Django's own check of cross-site posts (CSRF_FAILURE_VIEW)."""
    return _speaking(request, "not-allowed", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _speaking(request, "not-found", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _speaking(request, "unsupported", 500)
