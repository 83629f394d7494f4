"""The answers to the steps after the registration: a path, a level's form and its buttons, a single file.

level_pages.py draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from onboarding import handover_views, i18n, level_services, pages, review_services, services, visitor
from onboarding.company_forms import ROWS, ROWS_VERSION, CompanyChoice, CompanyForm, without_row
from onboarding.domain.flow import Position, Step
from onboarding.domain.levels import DECLARATION, WHOLE, plain
from onboarding.guards import see_other
from onboarding.kinds import AskedElement
from onboarding.kyc_forms import LevelForm
from onboarding.level_pages import (
    at_part,
    level_form,
    level_of,
    parts_with_elements,
    seen_by,
    show_level,
    show_path,
)
from onboarding.models import Flow

# -- The path ----------------------------------------------------------------------------------------------------------


def answer_path(request: HttpRequest, flow: Flow, handle: str, here: Position) -> HttpResponse:
    chosen = here.level.path(request.POST.get("path")) if here.level else None
    if here.level is None or chosen is None:
        return show_path(request, here, status=422, errors=[("id_path_0", _("Choose one of the ways."))])
    level_services.choose_path(flow=flow, level=here.level.code, path=chosen.code, now=timezone.now())
    return see_other(handle)


# -- The form of a level, or of a part of it ---------------------------------------------------------------------------


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
    level = level_of(here)
    found = at_part(flow, here, request.POST.get("part", here.part))
    if found is None or here.must_fetch or plain(request.POST.get("level", level.code)) != plain(level.code):
        raise services.StepOver
    return found


def _keep(request: HttpRequest, flow: Flow, here: Position, form: LevelForm) -> Flow:
    """Nothing entered is lost: the answers stay with us, right or wrong, and good files go to the upstream at once."""
    flow = _keep_draft(flow, here, form.entered, form.receipts, whole=form.has_rows)
    for asked in form.new_files():
        flow = _pass_on(request, flow, here, asked)
    return flow


def _keep_draft(
    flow: Flow, here: Position, draft: Mapping[str, str], receipts: Mapping[str, str], *, whole: bool
) -> Flow:
    return level_services.keep_draft(
        flow=flow, level=level_of(here).code, part=here.part, draft=draft, receipts=receipts, whole=whole,
        now=timezone.now(),
    )  # fmt: skip


def _pass_on(request: HttpRequest, flow: Flow, here: Position, asked: AskedElement) -> Flow:
    """One file on to the upstream; a refusal stands at its element."""
    assert asked.picture is not None and asked.file is not None  # noqa: S101 (new_files() gives no others)
    turn = request.POST.get("turn", "")
    try:
        flow, asked.receipt = level_services.upload_file(
            flow=flow,
            level=level_of(here).code,
            part=here.part,
            field=asked.name,
            content=BytesIO(asked.picture.content),
            content_type=asked.picture.content_type,
            shown_name=asked.file.name or "",
            visitor=visitor.read(request),
            now=timezone.now(),
            turn=int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 16 else 0,
        )
        asked.upload = level_services.files_of(flow, level_of(here).code)[0][asked.receipt]
    except services.Rejected as exc:
        asked.errors[""] = i18n.refusal(exc.code, exc.field)
    return flow


def _round_trip(
    request: HttpRequest, flow: Flow, handle: str, here: Position, form: LevelForm, button: str
) -> HttpResponse:
    """Everything is kept, nothing is handed in yet."""
    saved = ""
    if button == "draft" and here.path:
        saved = "there" if _save_draft(request, flow, here) else "here"
    if form.errors:
        return show_level(request, flow, here, form, status=422, saved=saved)
    match button:
        case "handover":
            return handover_views.begin(request, flow, handle)
        case "language":
            return _in_language(request, flow, handle, here)
        case "other-way":
            level_services.forget_path(flow=flow, level=level_of(here).code, now=timezone.now())
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
    review_services.change_language(
        flow=flow, language=i18n.supported(request.POST.get("lang", "")), now=timezone.now()
    )
    response = _at(handle, {"part": here.part} if here.part else {})
    if request.headers.get("HX-Request"):
        address = response["Location"]
        response = HttpResponse()
        response["HX-Redirect"] = address
    return response


def _change_people(flow: Flow, here: Position, form: CompanyForm, button: str) -> tuple[Flow, str]:
    """One person more, or one less: whoever came behind moves up. Gives the id of the field to go on with."""
    draft, receipts, people = form.entered, form.receipts, form.people
    row = next((row for row in range(people) if button == f"remove-{form.code}-{row}"), None)
    if button == f"add-{form.code}" and form.may_add:
        people += 1
    elif row is not None and people > 1:
        draft, receipts = without_row(form.code, row, draft), without_row(form.code, row, receipts)
        people -= 1
    draft = {**draft, ROWS: str(people), ROWS_VERSION: str(form.version + 1)}
    flow = _keep_draft(flow, here, draft, receipts, whole=True)
    added = people > form.people
    return flow, level_form(flow, here).asked_elements[form.first_of(people - 1)].id if added else ""


def _next(request: HttpRequest, flow: Flow, handle: str, here: Position, form: LevelForm) -> HttpResponse:
    """On from a part that is right; the last one hands everything in."""
    level = level_of(here)
    if isinstance(form, CompanyChoice):
        country, company_type = form.chosen
        level_services.choose_company(
            flow=flow, level=level.code, country=country, company_type=company_type, draft=form.entered,
            now=timezone.now(),
        )  # fmt: skip
        return see_other(handle)
    if here.part == WHOLE:
        return _submit(request, flow, handle, here, form, form.answers())
    if here.part == DECLARATION:
        return _declare(request, flow, handle, here, form)
    flow = level_services.answer_part(flow=flow, level=level.code, part=here.part, now=timezone.now())
    _save_draft(request, flow, here)
    return see_other(handle)


def _declare(request: HttpRequest, flow: Flow, handle: str, here: Position, form: LevelForm) -> HttpResponse:
    """Everything together, if it is what the customer saw, is confirmed, and still right."""
    now = seen_by(flow, here)
    if request.POST.get("seen", now) != now:
        text = _("Something was changed in the meantime. Look at everything once more.")
        return show_level(request, flow, here, form, status=409, errors=[("", text)])
    if "declare" not in request.POST:
        text = _("Confirm this before you send.")
        return show_level(request, flow, here, form, status=422, errors=[("id_declare", text)])
    answers: list[tuple[str, str]] = []
    for place, other in parts_with_elements(flow, here):
        if not other.check():
            return show_level(request, flow, place, other, status=422)
        answers += other.answers()
    return _submit(request, flow, handle, here, form, answers)


def _save_draft(request: HttpRequest, flow: Flow, here: Position) -> bool:
    """What is right so far, of every part, to the upstream, where it outlives this flow; whether it took it."""
    answers = []
    for _place, form in parts_with_elements(flow, here):
        form.check()
        answers += form.answers()
    path = here.path.code if here.path else ""
    return level_services.save_draft(
        flow=flow, level=level_of(here), path=path, answers=answers, visitor=visitor.read(request)
    )


def _submit(
    request: HttpRequest, flow: Flow, handle: str, here: Position, form: LevelForm, answers: list[tuple[str, str]]
) -> HttpResponse:
    path = here.path.code if here.path else ""
    try:
        level_services.submit_level(
            flow=flow, level=level_of(here), path=path, answers=answers, visitor=visitor.read(request)
        )
    except services.Rejected as exc:
        text = i18n.refusal(exc.code, exc.field)
        errors = [] if form.blame(exc.field, text) else [("", text)]
        return show_level(request, flow, here, form, status=422, errors=errors)
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
    if not isinstance(form, CompanyForm):
        return False
    kept = level_form(flow, here)
    return isinstance(kept, CompanyForm) and (form.people, form.version) != (kept.people, kept.version)
