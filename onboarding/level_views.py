"""The steps after the registration: the choice of a path, and the level's form with its files, part by part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from onboarding import dictionaries, handover_views, i18n, level_services, pages, review_services, services, visitor
from onboarding.company_forms import HEADINGS, ROWS, CompanyChoice, CompanyForm, without_row
from onboarding.domain.flow import Position, Step
from onboarding.domain.levels import (
    COMPANY,
    DECLARATION,
    WHOLE,
    Kind,
    Level,
    Path,
    elements_of,
    parts_of,
    plain,
    readable,
)
from onboarding.guards import see_other
from onboarding.kinds import AskedElement
from onboarding.kyc_forms import LevelForm, Received
from onboarding.models import Flow
from onboarding.sealing import fingerprint
from onboarding.writes import company_of

# -- The path ----------------------------------------------------------------------------------------------------------


def show_path(request: HttpRequest, here: Position, *, status: int = 200, errors: pages.Errors = ()) -> HttpResponse:
    level = _level(here)
    paths = enumerate(level.paths, start=1)
    context = {
        "heading": pages.level_heading(here),
        "paths": [(plain(path.code), readable(path.name, path.code) or str(number)) for number, path in paths],
    }
    return pages.render(request, Step.PATH, context, status=status, level=plain(level.code), errors=errors)


def answer_path(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    chosen = here.level.path(request.POST.get("path")) if here.level else None
    if here.level is None or chosen is None:
        return show_path(request, here, status=422, errors=[("id_path_0", _("Choose one of the ways."))])
    level_services.choose_path(flow=flow, level=here.level.code, path=chosen.code, now=timezone.now())
    return see_other(handle)


# -- The form of a level, or of a part of it ---------------------------------------------------------------------------


def at_part(flow: Flow, here: Position, part: str) -> Position | None:
    """The position in a part that is answered already, to be looked at or changed; None for any other part."""
    if here.level is None or part == here.part:
        return here
    asked = parts_of(here.level, here.path) if here.path else ()
    answered = level_services.answered_parts(flow, here.level.code)
    return replace(here, part=part) if part in asked and part in answered else None


def level_form(flow: Flow, here: Position, request: HttpRequest | None = None) -> LevelForm:
    level, path = _level(here), here.path or Path("", "", ())
    data = request.POST if request else level_services.draft_of(flow, level.code, here.part)
    if here.part == COMPANY:
        needed = partial(dictionaries.needed_options, lang=flow.language)
        return CompanyChoice(options=needed, country=flow.country, data=data)
    asked = elements_of(path, here.part)
    received = Received(*level_services.files_of(flow, level.code, here.part))
    files = request.FILES if request else None
    if asked and asked[0].kind is Kind.COMPANY:
        needed = partial(dictionaries.needed_options, lang=flow.language)
        return CompanyForm(asked[0], options=needed, received=received, data=data, files=files)
    options = partial(dictionaries.options, lang=flow.language)
    return LevelForm(asked, options=options, received=received, data=data, files=files)


def _level(here: Position) -> Level:
    if here.level is None:
        raise services.StepOver
    return here.level


def show_level(
    request: HttpRequest, flow: Flow, here: Position, form: LevelForm, *, status: int = 200,
    errors: pages.Errors = (), saved: str = "", focus: str = "",
) -> HttpResponse:  # fmt: skip
    level = _level(here)
    parts = parts_of(level, here.path) if here.path else (COMPANY,)
    context = {
        "form": form,
        "level": level,
        "part": here.part,
        "parts": _part_list(flow, here, parts) if len(parts) > 1 else None,
        "first": here.part in (COMPANY, parts[0]),
        "declaration": here.part == DECLARATION,
        "answers": _all_answers(flow, here) if here.part == DECLARATION else (),
        "seen": _seen(flow, here) if here.part == DECLARATION else "",
        "has_other_ways": len(level.paths) > 1,
        "final": here.part in (WHOLE, DECLARATION),
        "heading": HEADINGS.get(here.part) or pages.level_heading(here),
        "reason": review_services.review_reason(flow),
        "comes_first": review_services.comes_first(flow, level.code),
        "left": review_services.levels_left(flow),
        "saved": saved,
        "minutes_left": max(1, int((flow.expires_at - timezone.now()).total_seconds() // 60)),
        "focus": focus,
    }
    return pages.render(
        request, Step.LEVEL, context, status=status, level=plain(level.code), errors=[*form.errors, *errors]
    )


def _part_list(flow: Flow, here: Position, parts: Sequence[str]) -> dict[str, Any]:
    answered = level_services.answered_parts(flow, _level(here).code)
    found = [
        {
            "code": part,
            "name": HEADINGS.get(part) or _level(here).name,
            "here": part == here.part,
            "answered": part in answered,
        }
        for part in parts
    ]
    return {"all": found, "number": parts.index(here.part) + 1}


def _all_answers(flow: Flow, here: Position) -> list[dict[str, Any]]:
    """Everything that was entered, for the last look at it."""
    parts = parts_of(_level(here), here.path) if here.path else ()
    forms = [(part, level_form(flow, replace(here, part=part))) for part in parts if part != DECLARATION]
    return [
        {"code": part, "name": HEADINGS.get(part) or _level(here).name, "sections": [
            (title, [(asked.label, asked.shown) for asked in elements if asked.shown])
            for title, _row, elements in form.sections
        ]}
        for part, form in forms
    ]  # fmt: skip


# -- Its answer --------------------------------------------------------------------------------------------------------


def answer_level(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    """The answers, or one of the buttons that keep them and show the page in another way."""
    here = _place(request, flow, here)
    form = level_form(flow, here, request)
    button = next((name for name in request.POST if name.startswith(_BUTTONS)), "")
    if button:
        form.check_files()
    else:
        form.check()
    flow = _keep(request, flow, here, form)
    if button:
        return _round_trip(request, flow, handle, here, form, button)
    if form.errors:
        return show_level(request, flow, here, form, status=422)
    return _next(request, flow, handle, here, form)


# Buttons beside "Send": what is in the form is kept whichever is pressed.
_BUTTONS = ("choose", "draft", "handover", "language", "other-way", "add-", "remove-", "go-")


def _place(request: HttpRequest, flow: Flow, here: Position) -> Position:
    """The part that was answered. Raises StepOver when it is not one that can be answered now."""
    level = _level(here)
    found = at_part(flow, here, request.POST.get("part", here.part))
    if found is None or here.must_fetch or plain(request.POST.get("level", level.code)) != plain(level.code):
        raise services.StepOver
    return found


def _keep(request: HttpRequest, flow: Flow, here: Position, form: LevelForm) -> Flow:
    """Nothing entered is lost: the answers stay with us, right or wrong, and good files go to the upstream at once."""
    flow = _keep_draft(flow, here, form.entered, form.receipts)
    for asked in form.new_files():
        flow = _pass_on(request, flow, here, asked)
    return flow


def _keep_draft(flow: Flow, here: Position, draft: Mapping[str, str], receipts: Mapping[str, str]) -> Flow:
    return level_services.keep_draft(
        flow=flow, level=_level(here).code, part=here.part, draft=draft, receipts=receipts, now=timezone.now()
    )


def _pass_on(request: HttpRequest, flow: Flow, here: Position, asked: AskedElement) -> Flow:
    """One file on to the upstream; a refusal stands at its element."""
    assert asked.picture is not None and asked.file is not None  # noqa: S101 (new_files() gives no others)
    turn = request.POST.get("turn", "")
    try:
        flow, asked.receipt = level_services.upload_file(
            flow=flow,
            level=_level(here).code,
            part=here.part,
            field=asked.name,
            content=BytesIO(asked.picture.content),
            content_type=asked.picture.content_type,
            shown_name=asked.file.name or "",
            visitor=visitor.read(request),
            now=timezone.now(),
            turn=int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 16 else 0,
        )
        asked.upload = level_services.files_of(flow, _level(here).code)[0][asked.receipt]
    except services.Rejected as exc:
        asked.errors[""] = i18n.refusal(exc.code, exc.field)
    return flow


def _round_trip(
    request: HttpRequest, flow: Flow, handle: str, here: Position, form: LevelForm, button: str
) -> HttpResponse:
    """Everything is kept, nothing is handed in yet."""
    saved = ""
    if button == "draft" and here.path:
        saved = "there" if save_draft(request, flow, here) else "here"
    if form.errors:
        return show_level(request, flow, here, form, status=422, saved=saved)
    match button:
        case "handover":
            return handover_views.begin(request, flow, handle)
        case "language":
            return _in_language(request, flow, handle, here)
        case "other-way":
            level_services.forget_path(flow=flow, level=_level(here).code, now=timezone.now())
            return see_other(handle)
        case _ if button.startswith("go-"):
            return _at(handle, {"part": button.removeprefix("go-")})
    focus = "pictures" if button == "choose" else ""
    if isinstance(form, CompanyForm) and form.has_people:
        flow, focus = _change_people(flow, here, form, button)
    shown = {"part": here.part} if here.part else {}
    shown |= {"saved": saved} if saved else {}
    return _again(request, flow, handle, here, shown, focus)


def _again(
    request: HttpRequest, flow: Flow, handle: str, here: Position, shown: dict[str, str], focus: str
) -> HttpResponse:
    """The page as it is now: at once for htmx; else by a redirect, so that Back and reload send nothing again."""
    if request.headers.get("HX-Request"):
        return show_level(request, flow, here, level_form(flow, here), saved=shown.get("saved", ""), focus=focus)
    return _at(handle, shown, focus)


def _at(handle: str, shown: Mapping[str, str], focus: str = "") -> HttpResponse:
    response = see_other(handle)
    response["Location"] += (f"?{urlencode(shown)}" if shown else "") + (f"#{focus}" if focus else "")
    return response


def _in_language(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    """A whole page even for htmx: its language is not a matter of the step alone."""
    chosen = i18n.supported(request.POST.get("lang", ""))
    if chosen:
        flow = services.set_language(flow=flow, language=chosen, now=timezone.now())
        review_services.translate_levels(flow=flow, now=timezone.now())
    response = _at(handle, {"part": here.part} if here.part else {})
    if request.headers.get("HX-Request"):
        address = response["Location"]
        response = HttpResponse()
        response["HX-Redirect"] = address
    return response


def look_at_level(request: HttpRequest, flow: Flow, here: Position) -> HttpResponse:
    """The level by GET; `part` leads back to a part that is answered."""
    here = at_part(flow, here, request.GET.get("part", here.part)) or here
    return show_level(request, flow, here, level_form(flow, here), saved=request.GET.get("saved", ""))


def _change_people(flow: Flow, here: Position, form: CompanyForm, button: str) -> tuple[Flow, str]:
    """One person more, or one less: whoever came behind moves up. Gives the id of the field to go on with."""
    draft, receipts, people = form.entered, form.receipts, form.people
    row = next((row for row in range(people) if button == f"remove-{form.code}-{row}"), None)
    if button == f"add-{form.code}" and form.may_add:
        people += 1
    elif row is not None and people > 1:
        draft, receipts = without_row(form.code, row, draft), without_row(form.code, row, receipts)
        people -= 1
    flow = _keep_draft(flow, here, {**draft, ROWS: str(people)}, receipts)
    added = people > form.people
    return flow, level_form(flow, here).asked_elements[form.first_of(people - 1)].id if added else ""


def _next(request: HttpRequest, flow: Flow, handle: str, here: Position, form: LevelForm) -> HttpResponse:
    """On from a part that is right; the last one hands everything in."""
    level = _level(here)
    if isinstance(form, CompanyChoice):
        country, company_type = form.chosen
        level_services.choose_company(
            flow=flow, level=level.code, country=country, company_type=company_type, now=timezone.now()
        )
        return see_other(handle)
    if here.part == WHOLE:
        return _submit(request, flow, handle, here, form, form.answers())
    if here.part != DECLARATION:
        flow = level_services.answer_part(flow=flow, level=level.code, part=here.part, now=timezone.now())
        save_draft(request, flow, here)
        return see_other(handle)
    if request.POST.get("seen", _seen(flow, here)) != _seen(flow, here):
        text = _("Something was changed in the meantime. Look at everything once more.")
        return show_level(request, flow, here, form, status=409, errors=[("", text)])
    if "declare" not in request.POST:
        text = _("Confirm this before you send.")
        return show_level(request, flow, here, form, status=422, errors=[("id_declare", text)])
    answers: list[tuple[str, str]] = []
    for place, other in _other_parts(flow, here):
        if not other.check():
            return show_level(request, flow, place, other, status=422)
        answers += other.answers()
    return _submit(request, flow, handle, here, form, answers)


def _seen(flow: Flow, here: Position) -> str:
    """What the declaration is about, as a fingerprint: another tab or device must not change what somebody confirms."""
    parts = [[form.entered, form.receipts] for _place, form in _other_parts(flow, here)]
    return fingerprint("declaration", _level(here).code, json.dumps([company_of(flow, _level(here).code), parts]))


def _other_parts(flow: Flow, here: Position) -> list[tuple[Position, LevelForm]]:
    """The parts with elements, filled with what was kept of them."""
    parts = parts_of(_level(here), here.path) if here.path else ()
    places = [replace(here, part=part) for part in parts if part not in (COMPANY, DECLARATION)]
    return [(place, level_form(flow, place)) for place in places]


def save_draft(request: HttpRequest, flow: Flow, here: Position) -> bool:
    """What is right so far, of every part, to the upstream, where it outlives this flow; whether it took it."""
    answers = []
    for _place, form in _other_parts(flow, here):
        form.check()
        answers += form.answers()
    path = here.path.code if here.path else ""
    return level_services.save_draft(
        flow=flow, level=_level(here), path=path, answers=answers, visitor=visitor.read(request)
    )


def _submit(
    request: HttpRequest, flow: Flow, handle: str, here: Position, form: LevelForm, answers: list[tuple[str, str]]
) -> HttpResponse:
    path = here.path.code if here.path else ""
    try:
        level_services.submit_level(
            flow=flow, level=_level(here), path=path, answers=answers, visitor=visitor.read(request)
        )
    except services.Rejected as exc:
        return show_level(request, flow, here, form, status=422, errors=[("", i18n.refusal(exc.code, exc.field))])
    return see_other(handle)


# -- One file by itself ------------------------------------------------------------------------------------------------


def take_file(request: HttpRequest, flow: Flow, here: Position) -> HttpResponse:
    """One file, sent by a script as soon as it was chosen; answered by the element it belongs to."""
    here = _place(request, flow, here)
    form = level_form(flow, here, request)
    asked = form.find(request.POST.get("field", ""))
    if here.step is not Step.LEVEL or asked is None or asked.file is None or _is_stale(flow, here, form):
        raise services.StepOver
    asked.rule.check(asked)
    if not asked.errors:
        _pass_on(request, flow, here, asked)
    return pages.element(request, asked.template, {"asked": asked}, status=422 if asked.errors else 200)


def _is_stale(flow: Flow, here: Position, form: LevelForm) -> bool:
    """Whether people were added or removed since the page was drawn: a file would go to somebody else."""
    kept = level_form(flow, here)
    return isinstance(form, CompanyForm) and isinstance(kept, CompanyForm) and form.people != kept.people
