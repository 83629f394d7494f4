"""Draws steps and problems: the full page, or for htmx the same fragment alone. Knows templates, decides nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from onboarding import embedding, handover_services, i18n
from onboarding.domain.flow import Channel, Outcome, Position, Step
from onboarding.domain.levels import readable
from onboarding.domain.partner import DEFAULT, Partner
from onboarding.gateway import is_spoken, upstream_language
from onboarding.landing import Landing
from onboarding.logs import follow
from onboarding.metrics import ANSWERS
from onboarding.models import Flow
from onboarding.proof import Challenge

Errors = Iterable[tuple[str, str | Promise]]  # (id of the field, or "" for the page; text)

HTMX_CONFIG = json.dumps(
    {
        "allowEval": False,
        "allowScriptTags": False,  # steps bring none: see form.js
        "attributesToSettle": ["class"],  # not style: the content policy knows no inline style
        "includeIndicatorStyles": False,
        "defaultSettleDelay": 0,  # what was swapped in answers at once, not 20 ms later
        "selfRequestsOnly": True,
        "historyCacheSize": 0,  # nothing a customer typed is written to any storage
        "refreshOnHistoryMiss": True,
        "scrollIntoViewOnBoost": False,
        # Every status carries a page or a step, so every answer is shown.
        "responseHandling": [{"code": "204", "swap": False}, {"code": "...", "swap": True}],
    }
)


BUILT_IN = Partner(DEFAULT)
OF_A_CUSTOMER = (Step.PATH, Step.LEVEL, Step.HANDOVER)  # steps that say whose account it is
# No code is sent from here on and nothing registered: no CAPTCHA, and so no reason to do without htmx.
WITHOUT_CAPTCHA = (*OF_A_CUSTOMER, Step.DONE)


@dataclass(frozen=True)
class Page:
    """Whose page this is: kept on the request from the moment it is known."""

    partner: Partner = BUILT_IN
    landing: Landing | None = None
    flow: Flow | None = None
    handle: str = ""


def of(request: HttpRequest) -> Page:
    return getattr(request, "page", Page())


def set_page(request: HttpRequest, **known: Any) -> Page:
    """Notes what is known about the page, speaks its language, and lets its partner frame it."""
    page = replace(of(request), **known)
    request.page = page  # type: ignore[attr-defined]
    if page.flow is not None:
        follow(page.flow.reference)
        translation.activate(page.flow.language)
    elif page.landing is not None:
        translation.activate(page.landing.language)
    embedding.allow_framing(request, page.partner.origins)
    return page


def render(
    request: HttpRequest,
    step: Step,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    errors: Errors = (),
    level: str = "",
    retry_after: int | None = None,
    address: str = "",
) -> HttpResponse:
    """The step as a whole page, or as the fragment that htmx asked for. `address`: its own, if not the flow's."""
    values = context_of(request, step, context or {}, errors=errors, level=level)
    return answered(request, step, drawn_page(values), status=status, retry_after=retry_after, address=address)


def context_of(
    request: HttpRequest, step: Step, context: Mapping[str, Any], *, errors: Errors = (), level: str = ""
) -> dict[str, Any]:
    """Everything that the templates of a page may show."""
    page = of(request)
    language = translation.get_language() or settings.LANGUAGE_CODE
    errors = list(errors)
    captcha = settings.CAPTCHA_PROVIDER if step not in WITHOUT_CAPTCHA else ""
    return {
        "step": step.value,
        "level_code": level,
        "template": f"steps/{step.value}.html",
        "lang": language,
        # The upstream's words, where it does not speak the page's language; a company's parts are in ours.
        "theirs": "" if is_spoken(language) or context.get("part") else "en",
        "text_direction": "rtl" if translation.get_language_bidi() else "ltr",
        "page": page,
        "flow": page.flow,
        "reference": page.flow.reference if page.flow else "",
        "account": masked_identifier(page.flow) if page.flow and step in OF_A_CUSTOMER else "",
        "flow_url": reverse("flow", args=[page.handle]) if page.handle else "",
        **addresses(page),
        "handover": page.flow is not None and handover_services.is_offered(page.flow, page.handle, step),
        "languages": i18n.choices(),
        "errors": errors,
        "error_of": _by_field(errors),
        "links": links(language, page.partner),
        "progress": progress(step, is_registered=page.flow is not None and page.flow.registered_at is not None),
        "captcha_key": settings.CAPTCHA_SITE_KEY if captcha else "",
        "captcha_script": embedding.CAPTCHA_SCRIPTS.get(captcha, ""),
        "htmx_config": HTMX_CONFIG,
        "fragment": is_fragment(request),
        "framed": is_framed(request),
        "path": request.path,
        "csp_nonce": request.csp_nonce,  # type: ignore[attr-defined]
        **context,
    }


def addresses(page: Page) -> dict[str, str]:
    """Where the customer can start again, and where this page is in a window of its own."""
    start = start_url(page)
    return {"start_url": start, "alone_url": reverse("flow", args=[page.handle]) if page.handle else start}


def answered(
    request: HttpRequest, step: Step, text: str, *, status: int = 200, retry_after: int | None = None, address: str = ""
) -> HttpResponse:
    """The response that carries the text of a step's page."""
    response = HttpResponse(text, status=status)
    response["Content-Language"] = translation.get_language() or settings.LANGUAGE_CODE
    response["Vary"] = "HX-Request, Accept-Language"
    handle = of(request).handle
    if handle and is_fragment(request):
        name = "HX-Replace-Url" if "/f/" in request.headers.get("HX-Current-URL", "") else "HX-Push-Url"
        response[name] = address or reverse("flow", args=[handle])
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    ANSWERS.labels(step.value, str(status)).inc()
    return response


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks, which takes the step alone."""
    return bool(request.headers.get("HX-Request"))


def is_framed(request: HttpRequest) -> bool:
    return request.headers.get("Sec-Fetch-Dest") == "iframe"


def drawn_page(values: Mapping[str, Any]) -> str:
    return drawn("fragment.html" if values["fragment"] else "base.html", values)


def drawn(template: str, values: Mapping[str, Any]) -> str:
    """The text of a customer's page or of a part of one. Nothing but `values` comes in, whoever asked."""
    return engines["pages"].get_template(template).render(dict(values))


def challenged(challenge: Challenge | None) -> dict[str, Any]:
    """What a form shows of the work that is asked for before it counts."""
    if challenge is None:
        return {}
    return {
        "ticket": challenge.ticket,
        "work": json.dumps(challenge.work),
        "wait_for_proof": challenge.left(timezone.now()),
    }


def element(request: HttpRequest, template: str, context: Mapping[str, Any], *, status: int) -> HttpResponse:
    """One element of a form by itself, as it stands on its page."""
    return HttpResponse(drawn(template, context), status=status)


def _by_field(errors: Errors) -> dict[str, str]:
    """All that is wrong with a field, as one text beside it."""
    found: dict[str, str] = {}
    for name, text in errors:
        found[name] = f"{found[name]} {text}" if name in found else str(text)
    return found


def problem(
    request: HttpRequest, kind: str, status: int, *, retry_after: float | None = None, **context: Any
) -> HttpResponse:
    """Shown instead of a step. `kind` is one of the names that docs/architecture.md lists."""
    seconds = max(1, math.ceil(retry_after)) if retry_after is not None else None
    known = {"problem": kind, "retry_after": seconds, "time": i18n.time_in_words(seconds or 0)}
    return render(request, Step.PROBLEM, {**known, **context}, status=status, retry_after=seconds)


def problem_of(outcome: Outcome) -> str:
    """The problem that a flow's bad end is shown as."""
    return {Outcome.EXISTS: "exists", Outcome.REFUSED: "refused"}.get(outcome, "expired")


def start_url(page: Page, *, plain: bool = False) -> str:
    """Where the customer can start again, language, country and attribution kept; `plain`: to be copied by hand."""
    landing = page.landing
    if landing is None and page.flow is not None:
        landing = landing_of(page.flow)
    path = landing_path(page.partner)
    query = landing.query(**({"touch": ""} if plain else {})) if landing else ""
    return f"{path}?{query}" if query else path


def landing_of(flow: Flow) -> Landing:
    """How the customer of this flow came in, for another start."""
    return Landing(
        partner=flow.partner, nonce="", language=flow.language, country=flow.country, agent=flow.agent,
        account_type=flow.account_type, attribution=flow.attribution,
    )  # fmt: skip


def landing_path(partner: Partner) -> str:
    return reverse("start") if partner.slug == DEFAULT else reverse("partner", args=[partner.slug])


def links(language: str, partner: Partner) -> dict[str, str]:
    """The configured links, the partner's first, in the page's language."""
    found = {name: getattr(settings, f"{name.upper()}_URL") for name in ("terms", "privacy", "support", "sign_in")}
    found["sign_in"] = partner.sign_in_url or found["sign_in"]
    return {name: address.replace("{lang}", upstream_language(language)) for name, address in found.items()}


def progress(step: Step, *, is_registered: bool) -> list[dict[str, Any]]:
    """The named parts of the way, with the one the customer is on; the status may be that of the code or of a level."""
    waits = (Step.STATUS,)
    parts: Sequence[tuple[str, tuple[Step, ...]]] = (
        (_("Contact"), (Step.IDENTIFY,)),
        *(((_("Password"), (Step.PASSWORD,)),) if settings.PASSWORD_STEP != "off" else ()),  # noqa: S105
        (_("Code"), (Step.VERIFY, *(() if is_registered else waits))),
        (_("Your details"), (Step.PATH, Step.LEVEL, Step.HANDOVER, *(waits if is_registered else ()))),
        (_("Done"), (Step.DONE,)),
    )
    here = next((i for i, (_name, steps) in enumerate(parts) if step in steps), -1)
    if here < 0:
        return []
    return [
        {"name": name, "state": "done" if i < here else "current" if i == here else "ahead"}
        for i, (name, _steps) in enumerate(parts)
    ]


def shown_identifier(flow: Flow) -> str:
    """The identifier as its owner typed it, for the verify step (the handle is the right to see it)."""
    identity = flow.identity
    return identity.email if identity.channel is Channel.EMAIL else f"{identity.area} {identity.phone}"


def masked_identifier(flow: Flow) -> str:
    """Enough to recognise one's own account by: the first letter and the host, or the last three digits."""
    identity = flow.identity
    if identity.channel is Channel.EMAIL:
        name, _at, host = identity.email.rpartition("@")
        return f"{name[:1]}•••@{host}"
    return f"{identity.area} ••• {identity.phone[-3:]}"


def level_heading(position: Position) -> str:
    return (readable(position.level.name) if position.level else "") or _("Your details")
