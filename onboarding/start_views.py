"""The first page of a partner, and the identify step wherever it is shown: nothing is stored before the first POST."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from math import ceil
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from onboarding import (
    dictionaries,
    door,
    embedding,
    first_page,
    i18n,
    limits,
    pages,
    partners,
    pumping,
    services,
    visitor,
)
from onboarding.domain.flow import Consent, Step
from onboarding.domain.partner import Partner
from onboarding.forms import IdentifyForm, errors_of
from onboarding.gateway import registration_pause
from onboarding.guards import customer_page, see_other
from onboarding.landing import Landing, from_field, from_request, is_old, region_of, renewed
from onboarding.models import Flow
from onboarding.proof import Challenge
from onboarding.upstream.wire import Country

IDENTIFY_FIELDS = ("account_type", "country", "channel", "email", "phone_area", "phone", "terms")


@customer_page
def start(request: HttpRequest, slug: str = "default") -> HttpResponse:
    """The identify step of a partner: renders without a row; the first POST makes the flow."""
    partner = partners.find_partner(slug)
    if partner is None:
        return pages.problem(request, "not-found", 404)
    pages.set_page(request, partner=partner)  # so that the partner's page shows, too, why a query cannot be read
    landing = from_request(request, partner)
    pages.set_page(request, landing=landing)
    if request.method == "POST":
        return _start_flow(request, partner, landing)
    given = {key: request.GET.get(key, "") for key in ("channel", "email")} | {"phone": request.GET.get("mobile", "")}
    given["channel"] = given["channel"] or partner.channel
    country = _first_country(landing.country, partner.country, settings.DEFAULT_COUNTRY, region_of(request))
    return show_first(request, landing, given | {"country": country, "account_type": landing.account_type})


def show_first(request: HttpRequest, landing: Landing, given: Mapping[str, str]) -> HttpResponse:
    """The page as nearly everybody sees it first: put together from parts that were drawn before."""
    if registration_pause():  # the time that is left is another one on each page
        return show_identify(request, given)
    partner, offered = pages.of(request).partner, pumping.needed_channels()
    channel = _channel(given, offered)
    sort = first_page.Sort(
        first_page.shown_of(partner), landing.language, channel, offered, given["country"], given["account_type"],
        pages.is_fragment(request), pages.is_framed(request), request.GET.get("deleted") == "1",
        dictionaries.edition(landing.language),
    )  # fmt: skip
    own = {
        first_page.NONCE: request.csp_nonce,  # type: ignore[attr-defined]
        first_page.FIELD: landing.signed(),
        first_page.LINK: f"&{landing.rest}" if landing.rest else "",
        first_page.EMAIL: given["email"],
        first_page.PHONE: given["phone"],
    }
    text = first_page.put_together(sort, own, partial(_with_stand_ins, request, sort, given))
    return pages.answered(request, Step.IDENTIFY, text)


def _with_stand_ins(request: HttpRequest, sort: first_page.Sort, given: Mapping[str, str]) -> str:
    """The first page of this sort, with stand-ins for all that is the visitor's."""
    page = pages.of(request)
    landing = first_page.stand_in(sort, page.partner.slug)
    stood_in = replace(page, landing=landing)
    values = {**given, "channel": sort.channel, "email": first_page.EMAIL, "phone": first_page.PHONE}
    context = _identify_context(request, stood_in, values)
    context |= {"landing_field": first_page.FIELD, "csp_nonce": first_page.NONCE, "pause": 0}
    context |= pages.addresses(stood_in)
    return pages.drawn_page(pages.context_of(request, Step.IDENTIFY, context))


def _first_country(*proposals: str) -> str:
    """The first proposal whose residents may register here, else ""."""
    return next((found for code in proposals if (found := _match(dictionaries.registrable, code))), "")


def _start_flow(request: HttpRequest, partner: Partner, fresh: Landing) -> HttpResponse:
    text = request.POST.get("landing", "")
    landing = from_field(text, partner)
    if landing is not None:
        pages.set_page(request, landing=landing)  # from here on in the language of the page that was answered
    if landing is not None and is_round_trip(request):
        return round_trip(request)
    form = identify_form(request, request.POST)
    if landing is None or is_old(text, at_most=embedding.FRESH if embedding.is_silent(request) else None):
        pages.set_page(request, landing=renewed(landing) if landing else fresh)
        text = _("This page was open for a long time or came back altered. Check your entries and send them again.")
        return show_identify(request, request.POST.dict(), form, page_error=text)
    if not form.is_valid():
        return show_identify(request, request.POST.dict(), form)
    entry = services.Entry(
        partner.slug, landing.nonce, landing.language, landing.touches, landing.agent, visitor.read(request).kind
    )
    return _begin(request, landing, entry, form)


def _begin(request: HttpRequest, landing: Landing, entry: services.Entry, form: IdentifyForm) -> HttpResponse:
    """The flow of this landing and these answers, and on to it; or what has to come first."""
    given = request.POST.dict()
    begun = services.flows_begun(entry)  # before the look for its own: a twin that comes in between is no other answer
    try:
        flow, handle = services.find_begun(entry, form.identity()) or _new_flow(request, landing, entry, form, begun)
        return send_first_code(request, flow, handle)
    except door.Challenged as exc:
        return show_identify(request, given, form, challenge=exc.challenge)
    except services.AlreadyUsed:
        pages.set_page(request, landing=renewed(landing))
        text = _("This page has been used before. Nothing you entered is lost: send it once more.")
        return show_identify(request, given, form, page_error=text)
    except services.StepOver:  # a repetition that came while the flow went on
        return see_other(pages.of(request).handle)
    except limits.Spent as exc:  # the page stays as it was: sent again later, it goes on with the same flow
        pages.set_page(request, flow=None, handle="")
        text = i18n.too_many_codes(exc.seconds)
        return show_identify(request, given, form, page_error=text, retry_after=exc.seconds)
    except services.Rejected as exc:
        pages.set_page(request, flow=None, handle="", landing=renewed(landing))
        return show_identify(request, given, form, rejected=exc)


def _new_flow(
    request: HttpRequest, landing: Landing, entry: services.Entry, form: IdentifyForm, begun: int
) -> tuple[Flow, str]:
    """One more flow of a landing that has `begun` so many, once whoever asks for it has been through the door."""
    if begun >= services.FLOWS_PER_LANDING:
        raise services.AlreadyUsed
    proof = door.admit(request, door.of_landing(landing), door.signs_of_landing(request, landing, reused=begun > 0))
    now = timezone.now()
    links = pages.links(landing.language, pages.of(request).partner)
    consent = Consent(now, landing.language, links["terms"], links["privacy"])
    return services.start_flow(entry=entry, identity=form.identity(), consent=consent, now=now, proof=proof)


def is_round_trip(request: HttpRequest) -> bool:
    return "language" in request.POST or request.POST.get("switch") in pumping.channels()


def round_trip(request: HttpRequest) -> HttpResponse:
    """The same step for the other channel or in another language, with everything entered so far; no answer yet."""
    page, given = pages.of(request), request.POST.dict()
    language = i18n.supported(given.get("lang", "")) if "language" in given else ""
    if language and page.flow:
        pages.set_page(request, flow=services.set_language(flow=page.flow, language=language, now=timezone.now()))
    elif language and page.landing:
        pages.set_page(request, landing=replace(page.landing, language=language))
    return show_identify(request, given | {"channel": given.get("switch") or given.get("channel", "")})


def send_first_code(request: HttpRequest, flow: Flow, handle: str) -> HttpResponse:
    """On to the flow; with the code sent when nothing comes before it."""
    pages.set_page(request, flow=flow, handle=handle)
    if services.position(flow).step is Step.VERIFY:
        services.send_code(flow=flow, visitor=visitor.read(request), resend=False)
    return see_other(handle)


def identify_form(request: HttpRequest, data: Any, *, ask_consent: bool = True) -> IdentifyForm:
    language = translation.get_language()
    return IdentifyForm(
        data,
        countries=dictionaries.registrable(language),
        areas=dictionaries.countries(language),
        texted=dictionaries.texted(language),
        company_countries=dictionaries.company_countries(),
        ask_consent=ask_consent,
    )


def show_identify(
    request: HttpRequest,
    values: Mapping[str, str],
    form: IdentifyForm | None = None,
    *,
    rejected: services.Rejected | None = None,
    page_error: str = "",
    challenge: Challenge | None = None,
    status: int = 0,
    retry_after: int | None = None,
) -> HttpResponse:
    """The identify step with what was entered, and what is wrong with it."""
    context = _identify_context(request, pages.of(request), values)
    channel = context["values"]["channel"]
    errors: list[tuple[str, str | Promise]] = [("", page_error)] if page_error else []
    if form is not None and not form.is_valid():
        errors += errors_of(form)
    if rejected is not None:
        field = channel if rejected.field == "identifier" else rejected.field
        errors.append((f"id_{field}" if field in IDENTIFY_FIELDS else "", i18n.not_sent(rejected.code, rejected.field)))
    context["problem"] = "limited" if retry_after else ""
    context |= pages.challenged(challenge)
    status = 429 if retry_after else status or (422 if errors or challenge else 200)
    return pages.render(request, Step.IDENTIFY, context, status=status, errors=errors, retry_after=retry_after)


def _identify_context(request: HttpRequest, page: pages.Page, values: Mapping[str, str]) -> dict[str, Any]:
    """What the step shows besides what is wrong with it; also whole first pages with nobody's values."""
    channel = _channel(values, pumping.needed_channels())
    return {
        **_choices({**values, "channel": channel}),
        **_ways(page, channel),
        "deleted": request.GET.get("deleted") == "1",
        "pause": ceil(registration_pause()) if page.flow is None else 0,
        "trap": door.TRAP,
    }


def _channel(values: Mapping[str, str], offered: Sequence[str]) -> str:
    """The one asked for where it is offered, else the first that is."""
    return values.get("channel", "") if values.get("channel") in offered else offered[0]


def _choices(values: dict[str, str]) -> dict[str, Any]:
    """What can be chosen, and what is: by the visitor, else by the link."""
    language = translation.get_language()
    registrable = dictionaries.registrable(language)
    company_countries = dictionaries.company_countries()
    return {
        "values": {
            **values,
            "country": _match(dictionaries.registrable, values.get("country", "")),
            "phone_area": _match(dictionaries.countries, values.get("phone_area", "")),
        },
        "countries": registrable,
        "areas": dictionaries.texted(language),
        "account_types": settings.ACCOUNT_TYPES if any(c.code in company_countries for c in registrable) else (),
    }


def _ways(page: pages.Page, channel: str) -> dict[str, Any]:
    """Where the form goes, and the links to the same page with another channel."""
    if page.flow is not None:
        return {
            "action": reverse("answer", args=[page.handle, Step.IDENTIFY]),
            "channel_links": [(name, f"?change={name}") for name in pumping.channels()],
        }
    landing = page.landing or Landing(page.partner.slug, "")
    return {
        "action": f"{pages.landing_path(page.partner)}?{landing.query(channel=channel)}",
        "landing_field": landing.signed(),
        "channel_links": [(name, f"?{landing.query(channel=name)}") for name in pumping.channels()],
    }


def _match(listed: Callable[[str], Iterable[Country]], code: str) -> str:
    """The dictionary's code for a code or an alpha-2 in any case; "" when it is not in that list."""
    language = translation.get_language()
    return _codes(listed, language, dictionaries.edition(language)).get(code.upper(), "") if code else ""


@lru_cache(maxsize=64)
def _codes(listed: Callable[[str], Iterable[Country]], language: str, _edition: int) -> dict[str, str]:
    found = [(spelt, country.code) for country in listed(language) for spelt in (country.code, country.alpha2)]
    return {spelt.upper(): code for spelt, code in reversed(found) if spelt}
