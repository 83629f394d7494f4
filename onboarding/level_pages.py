"""The pages of the steps after the registration: the choice of a path, and the level's form, whole or part by part.

Draws them, and answers nothing: level_views.py does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from onboarding import dictionaries, i18n, level_services, pages, review_services, services
from onboarding.company_forms import HEADINGS, CompanyChoice, CompanyForm
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
from onboarding.kyc_forms import LevelForm, Received
from onboarding.models import Flow
from onboarding.sealing import fingerprint
from onboarding.writes import company_of


def show_path(request: HttpRequest, here: Position, *, status: int = 200, errors: pages.Errors = ()) -> HttpResponse:
    level = level_of(here)
    paths = enumerate(level.paths, start=1)
    context = {
        "left": here.left,
        "heading": pages.level_heading(here),
        "paths": [(plain(path.code), readable(path.name, path.code) or str(number)) for number, path in paths],
    }
    return pages.render(request, Step.PATH, context, status=status, level=plain(level.code), errors=errors)


def at_part(flow: Flow, here: Position, part: str) -> Position | None:
    """The position in a part that is answered already, to be looked at or changed; None for any other part."""
    if here.level is None or part == here.part:
        return here
    asked = parts_of(here.level, here.path) if here.path else ()
    answered = level_services.answered_parts(flow, here.level.code)
    return replace(here, part=part) if part in asked and part in answered else None


def level_form(flow: Flow, here: Position, request: HttpRequest | None = None) -> LevelForm:
    level, path = level_of(here), here.path or Path("", "", ())
    data = request.POST if request else None
    draft = level_services.draft_of(flow, level.code, here.part)
    if here.part == COMPANY:
        needed = partial(dictionaries.needed_options, lang=flow.language)
        return CompanyChoice(options=needed, country=flow.country, draft=draft, data=data)
    asked = elements_of(path, here.part)
    received = Received(*level_services.files_of(flow, level.code, here.part))
    files = request.FILES if request else None
    if asked and asked[0].kind is Kind.COMPANY:
        needed = partial(dictionaries.needed_options, lang=flow.language)
        return CompanyForm(asked[0], options=needed, received=received, draft=draft, data=data, files=files)
    options = partial(dictionaries.options, lang=flow.language)
    return LevelForm(asked, options=options, received=received, draft=draft, data=data, files=files)


def level_of(here: Position) -> Level:
    if here.level is None:
        raise services.StepOver
    return here.level


def show_level(
    request: HttpRequest, flow: Flow, here: Position, form: LevelForm, *, status: int = 200,
    errors: pages.Errors = (), saved: str = "", focus: str = "",
) -> HttpResponse:  # fmt: skip
    level = level_of(here)
    parts = parts_of(level, here.path) if here.path else (COMPANY,)
    context = {
        "form": form,
        "level": level,
        "part": here.part,
        "parts": _part_list(flow, here, parts) if len(parts) > 1 else None,
        "first": here.part in (COMPANY, parts[0]),
        "declaration": here.part == DECLARATION,
        "answers": _all_answers(flow, here) if here.part == DECLARATION else (),
        "seen": seen_by(flow, here) if here.part == DECLARATION else "",
        "has_other_ways": len(level.paths) > 1,
        "final": here.part in (WHOLE, DECLARATION),
        "heading": HEADINGS.get(here.part) or pages.level_heading(here),
        "reason": review_services.rejection(flow, level.code),
        "comes_first": review_services.comes_first(flow, level.code),
        "left": here.left,
        "saved": saved,
        "minutes_left": max(1, int((flow.expires_at - timezone.now()).total_seconds() // 60)),
        "focus": focus,
    }
    wrong = [*form.errors, *_refused_choice(flow, form), *errors]
    return pages.render(request, Step.LEVEL, context, status=status, level=plain(level.code), errors=wrong)


def _refused_choice(flow: Flow, form: LevelForm) -> list[tuple[str, Any]]:
    """The refusal of the country or type that was chosen for the company."""
    refused = review_services.company_refusal(flow) if isinstance(form, CompanyChoice) else None
    return [(form.asked_elements[0].id, i18n.refusal(*refused))] if refused else []


def _part_list(flow: Flow, here: Position, parts: Sequence[str]) -> dict[str, Any]:
    answered = level_services.answered_parts(flow, level_of(here).code)
    found = [
        {
            "code": part,
            "name": HEADINGS.get(part) or level_of(here).name,
            "here": part == here.part,
            "answered": part in answered,
        }
        for part in parts
    ]
    return {"all": found, "number": parts.index(here.part) + 1}


def _all_answers(flow: Flow, here: Position) -> list[dict[str, Any]]:
    """Everything that was entered, for the last look at it."""
    parts = parts_of(level_of(here), here.path) if here.path else ()
    forms = [(part, level_form(flow, replace(here, part=part))) for part in parts if part != DECLARATION]
    return [
        {"code": part, "name": HEADINGS.get(part) or level_of(here).name, "sections": [
            (title, [(asked.label, asked.shown) for asked in elements if asked.shown])
            for title, _row, elements in form.sections
        ]}
        for part, form in forms
    ]  # fmt: skip


def seen_by(flow: Flow, here: Position) -> str:
    """What the declaration is about, as a fingerprint: another tab or device must not change what somebody confirms."""
    parts = [[form.entered, form.receipts] for _place, form in parts_with_elements(flow, here)]
    return fingerprint("declaration", level_of(here).code, json.dumps([company_of(flow, level_of(here).code), parts]))


def parts_with_elements(flow: Flow, here: Position) -> list[tuple[Position, LevelForm]]:
    """The parts with elements, filled with what was kept of them."""
    parts = parts_of(level_of(here), here.path) if here.path else ()
    places = [replace(here, part=part) for part in parts if part not in (COMPANY, DECLARATION)]
    return [(place, level_form(flow, place)) for place in places]


def look_at_level(request: HttpRequest, flow: Flow, here: Position) -> HttpResponse:
    """The level by GET; `part` leads back to a part that is answered."""
    here = at_part(flow, here, request.GET.get("part", here.part)) or here
    return show_level(request, flow, here, level_form(flow, here), saved=request.GET.get("saved", ""))
