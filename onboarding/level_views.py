"""The steps after the registration: the choice of a path, and the level's form with its pictures."""

from __future__ import annotations

from io import BytesIO

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from onboarding import dictionaries, i18n, level_services, pages, services, visitor
from onboarding.domain.flow import Position, Step
from onboarding.guards import see_other
from onboarding.kyc_forms import AskedElement, LevelForm
from onboarding.models import Flow


def show_path(request: HttpRequest, here: Position, *, status: int = 200, errors: pages.Errors = ()) -> HttpResponse:
    level = here.level.code if here.level else ""
    return pages.render(request, Step.PATH, {"position": here}, status=status, level=level, errors=errors)


def answer_path(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    chosen = request.POST.get("path", "")
    if here.level is None or here.level.path(chosen) is None:
        return show_path(request, here, status=422, errors=[("id_path_0", _("Choose one of the ways."))])
    level_services.choose_path(flow=flow, level=here.level.code, path=chosen, now=timezone.now())
    return see_other(handle)


def level_form(flow: Flow, here: Position, request: HttpRequest | None = None) -> LevelForm:
    level = here.level.code if here.level else ""
    return LevelForm(
        here.path.elements if here.path else (),
        documents=dictionaries.document_kinds(flow.language),
        uploads=level_services.uploads_of(flow, level),
        data=request.POST if request else level_services.draft_of(flow, level),
        files=request.FILES if request else None,
    )


def show_level(
    request: HttpRequest, flow: Flow, here: Position, form: LevelForm, *, status: int = 200, errors: pages.Errors = ()
) -> HttpResponse:
    level = here.level.code if here.level else ""
    context = {
        "form": form,
        "heading": pages.level_heading(here),
        "reason": level_services.review_reason(flow),
        "left": level_services.levels_left(flow),
    }
    return pages.render(request, Step.LEVEL, context, status=status, level=level, errors=[*form.errors, *errors])


def answer_level(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    if here.level is None or here.path is None or request.POST.get("level", here.level.code) != here.level.code:
        raise services.StepOver
    form = level_form(flow, here, request)
    form.check()
    flow = level_services.keep_draft(flow=flow, level=here.level.code, draft=form.entered, now=timezone.now())
    for asked in form.new_pictures():
        flow = _pass_on(request, flow, here.level.code, asked)
    if form.errors:
        return show_level(request, flow, here, form, status=422)
    try:
        level_services.submit_level(
            flow=flow, level=here.level.code, path=here.path.code, answers=form.answers(), visitor=visitor.read(request)
        )
    except services.Rejected as exc:
        return show_level(request, flow, here, form, status=422, errors=[("", i18n.refusal(exc.code, exc.field))])
    return see_other(handle)


def _pass_on(request: HttpRequest, flow: Flow, level: str, asked: AskedElement) -> Flow:
    """One picture on to the upstream; a refusal stands at its element."""
    assert asked.picture is not None and asked.file is not None  # noqa: S101 (new_pictures() gives no others)
    try:
        flow = level_services.upload_picture(
            flow=flow,
            level=level,
            element=asked.element.code,
            content=BytesIO(asked.picture.content),
            content_type=asked.picture.content_type,
            shown_name=asked.file.name or "",
            visitor=visitor.read(request),
            now=timezone.now(),
        )
        asked.upload = level_services.uploads_of(flow, level)[asked.element.code]
    except services.Rejected as exc:
        asked.errors[""] = i18n.refusal(exc.code, exc.field)
    return flow
