"""One short function per step: find the flow, check the step, call one service, answer.

The current step is computed from what is known, never believed from the address. Every effect is a POST; a GET of a
flow whose outcome is unknown asks the upstream again under the same key, which changes nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from onboarding import dictionaries, embedding, i18n, pages, partners, services, visitor
from onboarding.domain.flow import Channel, Consent, Notice, Outcome, Position, Step
from onboarding.domain.partner import Partner
from onboarding.forms import IdentifyForm, PasswordForm, VerifyForm
from onboarding.kyc_forms import LevelForm, Question, picture_type
from onboarding.landing import Landing, from_field, from_request, renewed
from onboarding.models import Flow
from onboarding.upstream.errors import SessionEnded, UpstreamError, UpstreamUnavailable

SMALL_BODY = 64 * 1024  # bytes; only a level carries pictures
View = Callable[..., HttpResponse]
IDENTIFY_FIELDS = ("account_type", "country", "channel", "email", "phone_area", "phone", "terms")


# -- What every customer page does -------------------------------------------------------------------------------------


def customer_page(view: View) -> View:
    """No cookie, no foreign POST, no oversized body, and every upstream error as a page with a way on."""

    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        with translation.override(i18n.negotiate((), request.headers.get("Accept-Language", ""))):
            if request.method not in ("GET", "HEAD", "POST"):
                return pages.problem(request, "not-allowed", 405)
            if embedding.is_foreign(request):
                return pages.problem(request, "not-allowed", 403)
            most = settings.BODY_MAX_BYTES if kwargs.get("step") == Step.LEVEL else SMALL_BODY
            if int(request.META.get("CONTENT_LENGTH") or 0) > most:
                return pages.problem(request, "not-allowed", 413, too_large=most // 1024 // 1024)
            try:
                return view(request, **kwargs)
            except UpstreamUnavailable as exc:
                return pages.problem(request, "busy", 503, retry_after=exc.retry_after or 10)
            except services.LimitReached:
                return pages.problem(request, "limited", 429, retry_after=1800)
            except services.StepOver:
                return _current_step(request, status=409)
            except SessionEnded:
                return _see_other(request, pages.of(request).handle)
            except UpstreamError:
                return pages.problem(request, "unsupported", 503, retry_after=300)

    return guarded


def with_flow(view: View) -> View:
    """Finds the flow behind the handle; 404 for none, 410 for one that expired or moved on."""

    @wraps(view)
    def found(request: HttpRequest, handle: str, **kwargs: Any) -> HttpResponse:
        flow = services.find_flow(handle)
        if flow is None:
            return _left_flow(request, handle)
        partner = partners.find_partner(flow.partner) or Partner(flow.partner)
        pages.set_page(request, flow=flow, handle=handle, partner=partner)
        if services.is_expired(flow, timezone.now()):
            return pages.problem(request, "expired", 410)
        return view(request, flow=flow, handle=handle, **kwargs)

    return found


def posted(view: View) -> View:
    """For views with an effect: a GET of their address has none and leads to the current step."""

    @wraps(view)
    def only_post(request: HttpRequest, flow: Flow, handle: str, **kwargs: Any) -> HttpResponse:
        return view(request, flow=flow, handle=handle, **kwargs) if request.method == "POST" else _see_other(request, handle)

    return only_post


def _left_flow(request: HttpRequest, handle: str) -> HttpResponse:
    """An address that a registration has left: worth nothing, except with the code that registered."""
    flow = services.find_left_flow(handle)
    if flow is None or services.is_expired(flow, timezone.now()):
        return pages.problem(request, "not-found" if flow is None else "expired", 404 if flow is None else 410)
    translation.activate(flow.language)
    embedding.allow_framing(request, (partners.find_partner(flow.partner) or Partner("")).origins)
    form = VerifyForm(request.POST) if request.method == "POST" else None
    if form is not None and form.is_valid():
        found = services.replayed_handle(handle=handle, code=form.cleaned_data["code"])
        if found is not None:
            return _see_other(request, found)
    return pages.problem(request, "expired", 410, left_url=reverse("answer", args=[handle, Step.VERIFY]))


def _see_other(request: HttpRequest, handle: str) -> HttpResponse:
    response = HttpResponse(status=303)
    response["Location"] = reverse("flow", args=[handle])
    return response


# -- The first page ----------------------------------------------------------------------------------------------------


@customer_page
def start(request: HttpRequest, slug: str = "default") -> HttpResponse:
    """The identify step of a partner: renders without a row; the first POST makes the flow."""
    partner = partners.find_partner(slug)
    if partner is None:
        raise Http404
    landing = from_request(request, partner)
    pages.set_page(request, partner=partner, landing=landing)
    if request.method == "POST":
        return _start_flow(request, partner, landing)
    given = {key: request.GET.get(key, "") for key in ("channel", "email")} | {"phone": request.GET.get("mobile", "")}
    return _identify(request, given | {"country": landing.country, "account_type": landing.account_type})


def _start_flow(request: HttpRequest, partner: Partner, fresh: Landing) -> HttpResponse:
    landing = from_field(request.POST.get("landing", ""), partner)
    form = _identify_form(request, request.POST)
    if landing is None:
        text = _("This page was open for a long time or came back altered. Check your entries and send them again.")
        return _identify(request, request.POST.dict(), form, page_error=text)
    pages.set_page(request, landing=landing)
    if not form.is_valid():
        return _identify(request, request.POST.dict(), form)
    now = timezone.now()
    links = pages.links(landing.language)
    flow, handle = services.start_flow(
        entry=services.Entry(partner.slug, landing.nonce, landing.language, landing.attribution, landing.agent),
        identity=form.identity(),
        consent=Consent(now, landing.language, links["terms"], links["privacy"]),
        now=now,
    )
    try:
        return _send_first_code(request, flow, handle)
    except services.Rejected as exc:
        pages.set_page(request, flow=None, handle="", landing=renewed(landing))
        return _identify(request, request.POST.dict(), form, rejected=exc)


def _send_first_code(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """On to the flow; with the code sent when nothing comes before it."""
    pages.set_page(request, flow=flow, handle=handle)
    if services.position(flow).step is Step.VERIFY:
        services.send_code(flow=flow, visitor=visitor.read(request), resend=False)
    return _see_other(request, handle)


def _identify_form(request: HttpRequest, data: Any, *, ask_consent: bool = True) -> IdentifyForm:
    language = translation.get_language()
    return IdentifyForm(
        data,
        countries=dictionaries.registrable(language),
        areas=dictionaries.countries(language),
        company_countries=dictionaries.company_countries() if "enterprise" in settings.ACCOUNT_TYPES else frozenset(),
        ask_consent=ask_consent,
    )


def _identify(
    request: HttpRequest,
    values: dict[str, str],
    form: IdentifyForm | None = None,
    *,
    rejected: services.Rejected | None = None,
    page_error: str = "",
    status: int = 0,
) -> HttpResponse:
    """The identify step with what was entered, and what is wrong with it."""
    page = pages.of(request)
    language = translation.get_language()
    countries = dictionaries.registrable(language)
    country = _match(countries, values.get("country", ""))
    channel = values.get("channel") if values.get("channel") in settings.CHANNELS else settings.CHANNELS[0]
    errors: list[tuple[str, Any]] = [("", page_error)] if page_error else []
    if form is not None and not form.is_valid():
        errors += [(f"id_{name}" if name in IDENTIFY_FIELDS else "", text) for name, texts in form.errors.items() for text in texts]
    if rejected is not None:
        field = rejected.field if rejected.field != "identifier" else channel
        errors.append((f"id_{field}" if field in IDENTIFY_FIELDS else "", i18n.refusal(rejected.code, rejected.field)))
    query = page.landing.query if page.landing else None
    context = {
        "values": values | {"channel": channel, "country": country, "phone_area": _match(dictionaries.countries(language), values.get("phone_area", "")) or country},
        "countries": countries,
        "areas": [c for c in dictionaries.countries(language) if c.area],
        "account_types": settings.ACCOUNT_TYPES if dictionaries.company_countries() else (),
        "landing_field": page.landing.signed() if page.landing and not page.flow else "",
        "action": reverse("answer", args=[page.handle, Step.IDENTIFY]) if page.flow else pages.landing_path(page.partner),
        "channel_links": [(c, f"?change={c}" if page.flow else f"?{query(channel=c) if query else ''}") for c in settings.CHANNELS],
        "language_links": [(code, name, f"?{query(lang=code, channel=channel)}" if query else "") for code, name in i18n.choices()],
        "deleted": request.GET.get("deleted") == "1",
    }
    return pages.render(request, Step.IDENTIFY, context, status=status or (422 if errors else 200), errors=errors)


def _match(countries: Any, code: str) -> str:
    """The dictionary's code for a code or an alpha-2 in any case; "" when it is not there."""
    wanted = code.upper()
    return next((c.code for c in countries if wanted and wanted in (c.code.upper(), c.alpha2.upper())), "")


# -- The flow ----------------------------------------------------------------------------------------------------------


@customer_page
@with_flow
def flow_page(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """The current step. While an outcome is unknown it is asked for again."""
    if request.method == "POST":
        raise services.StepOver
    here = services.position(flow)
    if here.step is Step.STATUS:
        services.settle_flow(flow)
        again = services.find_flow(handle)
        if again is None:
            return _left_flow(request, handle)
        flow = pages.set_page(request, flow=again).flow or again
        here = services.position(flow)
    change = request.GET.get("change", "")
    if change in settings.CHANNELS and here.step in (Step.PASSWORD, Step.VERIFY, Step.IDENTIFY):
        return _identify(request, _known(flow) | {"channel": change})
    return _show(request, flow, here)


def _known(flow: Flow) -> dict[str, str]:
    identity = flow.identity
    return {
        "account_type": identity.account_type, "country": identity.country, "channel": identity.channel,
        "email": identity.email, "phone": identity.phone, "phone_area": identity.area_country or identity.country,
    }  # fmt: skip


def _current_step(request: HttpRequest, *, status: int) -> HttpResponse:
    """The step where the flow really is, for a POST that came too late."""
    page = pages.of(request)
    flow = services.find_flow(page.handle)
    if flow is None:
        return _left_flow(request, page.handle)
    pages.set_page(request, flow=flow)
    return _show(request, flow, services.position(flow), status=status)


def _show(request: HttpRequest, flow: Flow, here: Position, *, status: int = 200) -> HttpResponse:
    """Draws the step of this position, with the refusal that led back to it."""
    match here.step:
        case Step.IDENTIFY:
            rejected = services.Rejected(flow.notice_code, flow.notice)
            return _identify(request, _known(flow), rejected=rejected, status=status)
        case Step.PASSWORD:
            refused = flow.notice == Notice.PASSWORD
            errors = [("id_password", i18n.refusal(flow.notice_code, flow.notice))] if refused else []
            return _password(request, status=status, errors=errors)
        case Step.VERIFY:
            return _verify(request, flow, status=status)
        case Step.PATH:
            return pages.render(request, Step.PATH, {"position": here}, status=status, level=here.level.code if here.level else "")
        case Step.LEVEL:
            return _level(request, flow, here, _level_form(flow, here), status=status)
        case Step.STATUS:
            return pages.render(request, Step.STATUS, {"refresh": 4}, status=status)
        case Step.DONE:
            return _done(request, flow, status=status)
        case _:
            return pages.problem(request, pages.problem_of(Outcome(flow.outcome)), status)


@customer_page
@with_flow
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
    services.await_level(flow=flow, level=here.level.code)
    return _see_other(request, handle)


def _answer_identify(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    form = _identify_form(request, request.POST, ask_consent=False)
    if not form.is_valid():
        return _identify(request, request.POST.dict(), form)
    flow = services.correct_identity(flow=flow, identity=form.identity(), now=timezone.now())
    try:
        return _send_first_code(request, flow, handle)
    except services.Rejected as exc:
        return _identify(request, request.POST.dict(), form, rejected=exc)


def _password(request: HttpRequest, *, status: int = 200, errors: pages.Errors = ()) -> HttpResponse:
    context = {"optional": settings.PASSWORD_STEP == "optional"}  # noqa: S105 (a setting's value)
    return pages.render(request, Step.PASSWORD, context, status=status, errors=errors)


def _answer_password(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    form = PasswordForm(request.POST)
    if not form.is_valid():
        return _password(request, status=422, errors=[("id_password", text) for text in form.errors["password"]])
    flow = services.set_password(flow=flow, password_md5=form.digest, now=timezone.now())
    try:
        return _send_first_code(request, flow, handle)
    except services.Rejected as exc:
        return _identify(request, _known(flow), rejected=exc)


def _verify(
    request: HttpRequest, flow: Flow, *, status: int = 200, errors: pages.Errors = (), typed: str = ""
) -> HttpResponse:
    context = {
        "identifier": pages.shown_identifier(flow),
        "by_phone": flow.channel == Channel.PHONE,
        "sent": flow.code_sent_at is not None,
        "wait": services.wait_for_next_code(flow, timezone.now()),
        "typed": typed,
    }
    return pages.render(request, Step.VERIFY, context, status=status, errors=errors)


def _answer_verify(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    form = VerifyForm(request.POST)
    typed = request.POST.get("code", "")[:40]
    if not form.is_valid():
        return _verify(request, flow, status=422, errors=[("id_code", t) for t in form.errors["code"]], typed=typed)
    try:
        found = services.register(flow=flow, code=form.cleaned_data["code"], visitor=visitor.read(request))
    except services.Rejected as exc:
        flow.refresh_from_db()
        errors = [("id_code", i18n.refusal(exc.code, exc.field))]
        return _verify(request, flow, status=422, errors=errors, typed=typed)
    return _see_other(request, found)


@customer_page
@with_flow
@posted
def resend(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """Another code, after the cool-down."""
    if services.position(flow).step is not Step.VERIFY:
        raise services.StepOver
    try:
        services.send_code(flow=flow, visitor=visitor.read(request), resend=True)
    except services.TooSoon as exc:
        text = _("Please wait %(seconds)d seconds before you ask for another code.") % {"seconds": exc.seconds}
        response = _verify(request, flow, status=429, errors=[("", text)])
        response["Retry-After"] = str(exc.seconds)
        return response
    except services.Rejected as exc:
        return _verify(request, flow, status=422, errors=[("", i18n.refusal(exc.code, exc.field))])
    return _see_other(request, handle)


def _answer_path(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    chosen = request.POST.get("path", "")
    if here.level is None or here.level.path(chosen) is None:
        level = here.level.code if here.level else ""
        errors = [("id_path_0", _("Choose one of the ways."))]
        return pages.render(request, Step.PATH, {"position": here}, status=422, level=level, errors=errors)
    services.choose_path(flow=flow, level=here.level.code, path=chosen, now=timezone.now())
    return _see_other(request, handle)


def _level_form(flow: Flow, here: Position, request: HttpRequest | None = None) -> LevelForm:
    level = here.level.code if here.level else ""
    return LevelForm(
        here.path.elements if here.path else (),
        documents=dictionaries.document_kinds(flow.language),
        uploads=services.uploads_of(flow, level),
        data=request.POST if request else services.draft_of(flow, level),
        files=request.FILES if request else None,
    )


def _level(
    request: HttpRequest, flow: Flow, here: Position, form: LevelForm, *, status: int = 200, errors: pages.Errors = ()
) -> HttpResponse:
    level = here.level.code if here.level else ""
    context = {
        "form": form,
        "heading": pages.level_heading(here),
        "left": services.levels_left(flow),
        "draft_url": reverse("answer", args=[pages.of(request).handle, Step.LEVEL]),
    }
    return pages.render(request, Step.LEVEL, context, status=status, level=level, errors=[*form.errors, *errors])


def _answer_level(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    if here.level is None or here.path is None or request.POST.get("level", here.level.code) != here.level.code:
        raise services.StepOver
    form = _level_form(flow, here, request)
    form.check()
    flow = services.keep_draft(flow=flow, level=here.level.code, draft=form.entered, now=timezone.now())
    for question in form.new_pictures():
        flow = _pass_on(request, flow, here.level.code, question)
    if form.errors:
        return _level(request, flow, here, form, status=422)
    try:
        services.submit_level(
            flow=flow, level=here.level.code, path=here.path.code, answers=form.answers(), visitor=visitor.read(request)
        )
    except services.Rejected as exc:
        return _level(request, flow, here, form, status=422, errors=[("", i18n.refusal(exc.code, exc.field))])
    return _see_other(request, handle)


def _pass_on(request: HttpRequest, flow: Flow, level: str, question: Question) -> Flow:
    """One picture on to the upstream; a refusal stands at its question."""
    assert question.file is not None  # noqa: S101 (new_pictures() gives no others)
    try:
        flow = services.upload_picture(
            flow=flow, level=level, element=question.element.code, content=question.file, now=timezone.now(),
            content_type=picture_type(question.file) or "", shown_name=question.file.name or "",
            visitor=visitor.read(request),
        )  # fmt: skip
        question.upload = services.uploads_of(flow, level)[question.element.code]
    except services.Rejected as exc:
        question.errors[""] = i18n.refusal(exc.code, exc.field)
    return flow


def _done(request: HttpRequest, flow: Flow, *, status: int = 200) -> HttpResponse:
    context = {
        "outcome": flow.outcome or Outcome.REGISTERED,
        "unfinished": not flow.outcome,  # the upstream wants more, but we hold no session to give it with
        "customer_no": flow.customer_no,
        "continue_url": reverse("continue", args=[pages.of(request).handle]) if settings.CONTINUE_URL else "",
    }
    return pages.render(request, Step.DONE, context, status=status)


@customer_page
@with_flow
def go_on(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """On to the trading platform. The session token is put into the address here and stands in no page of ours."""
    if services.position(flow).step is not Step.DONE or not settings.CONTINUE_URL:
        raise services.StepOver
    response = HttpResponse(status=303)
    response["Location"] = services.continue_address(flow)
    response["Referrer-Policy"] = "no-referrer"
    return response


@customer_page
@with_flow
@posted
def delete(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """"Delete my data now"; while an outcome is open, as soon as that is known."""
    address = pages.start_url(pages.of(request))
    if not services.delete_data(flow=flow, now=timezone.now()):
        return _see_other(request, handle)
    response = HttpResponse(status=303)
    response["Location"] = f"{address}{'&' if '?' in address else '?'}deleted=1"
    return response


@customer_page
@with_flow
@posted
def language(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """The rest of the flow in another language."""
    chosen = i18n.supported(request.POST.get("lang", ""))
    if chosen:
        services.set_language(flow=flow, language=chosen, now=timezone.now())
    return _see_other(request, handle)


@customer_page
@with_flow
def elsewhere(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """Any other address below a flow leads to the current step."""
    return _see_other(request, handle)


ANSWERS: dict[str, View] = {
    Step.IDENTIFY: _answer_identify,
    Step.PASSWORD: _answer_password,
    Step.VERIFY: _answer_verify,
    Step.PATH: _answer_path,
    Step.LEVEL: _answer_level,
}


# -- What Django answers itself ----------------------------------------------------------------------------------------


def _speaking(request: HttpRequest, kind: str, status: int) -> HttpResponse:
    with translation.override(i18n.negotiate((), request.headers.get("Accept-Language", ""))):
        return pages.problem(request, kind, status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _speaking(request, "not-allowed", 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _speaking(request, "not-allowed", 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _speaking(request, "not-found", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _speaking(request, "unsupported", 500)
