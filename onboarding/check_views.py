"""The page by which a partner sees whether the form can work in theirs: opened by itself, or framed like the form.

For people who build pages, so in English. Reads what was sent and stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation

from onboarding import embedding, pages, partners
from onboarding.domain import attribution
from onboarding.domain.partner import Partner, is_allowed, origin_of, wrong_origins
from onboarding.guards import customer_page

OURS = frozenset(
    {"lang", "country", "channel", "email", "mobile", "openaccounttype", "b_superioragent", "touch", "page"}
)
REASONS = {
    attribution.Dropped.EMAIL: "looks like an e-mail address, so it is not taken",
    attribution.Dropped.PHONE: "looks like a phone number, so it is not taken",
    attribution.Dropped.OBJECTION: "not taken: this browser objects (Sec-GPC)",
}


LISTED = 50  # parameters shown of an address, which anybody may make as long as he likes


@customer_page
def check(request: HttpRequest, slug: str) -> HttpResponse:
    """Framing, permissions, referrer, UTM values and events of this very visit; the rest is found out by check.js."""
    partner = partners.find_partner(slug)
    if partner is None:
        return pages.problem(request, "not-found", 404)
    pages.set_page(request, partner=partner)
    with translation.override("en"):
        return HttpResponse(pages.drawn("check.html", _values(request, partner)))


def _values(request: HttpRequest, partner: Partner) -> dict[str, Any]:
    """All that the template shows."""
    script = embedding.embed_script(embedding.EMBED_VERSION) or b""
    asked = request.GET.get("page", "")[:500].strip()
    return {
        "partner": partner,
        "path": request.path,
        "csp_nonce": request.csp_nonce,  # type: ignore[attr-defined]
        "home": settings.PUBLIC_URL,
        "asked": asked,
        "verdict": _verdict(partner, asked),
        "dest": request.headers.get("Sec-Fetch-Dest", ""),
        "referrer": _origin_and_rest(request.headers.get("Referer", "")),
        "found": _found(request),
        "ignored": sorted({k[:40] for k in request.GET if k.lower() not in OURS | set(attribution.KEYS)})[:LISTED],
        "version": embedding.EMBED_VERSION,
        "integrity": embedding.integrity(script),
        "csp": embedding.frame_ancestors(partner.origins),
    }


def _verdict(partner: Partner, address: str) -> tuple[bool, str] | None:
    """Whether a page at this address may frame the form, and why (not); None when none was asked about."""
    if not address:
        return None
    origin = origin_of(address)
    if not origin:
        return False, "This is no address of a page. Copy it from the address bar: https://…"
    if is_allowed(origin, partner.origins):
        return True, f"Pages of {origin} may frame this form."
    if wrong_origins([origin]) and urlsplit(address).scheme == "http":
        return False, f"{origin} is not encrypted. The form can be framed by https pages only."
    return False, f"{origin} is not among the origins of this partner. Ask us to add it, spelt exactly like this."


def _origin_and_rest(referrer: str) -> tuple[str, bool]:
    """The sender's origin, and whether path or query came along. The rest is not looked at, let alone shown."""
    try:
        parts = urlsplit(referrer)
    except ValueError:
        return "", False
    return origin_of(referrer), bool(parts.query or parts.path.strip("/"))


def _found(request: HttpRequest) -> Iterable[tuple[str, str, str]]:
    """(key, value taken, remark) of the marketing parameters of this address, as far as they are listed."""
    rows: list[tuple[str, str, str]] = []
    seen: set[str] = set()
    objects = request.headers.get("Sec-GPC") == "1"
    pairs: list[tuple[str, Any]] = [(key, value) for key, values in request.GET.lists() for value in values]
    for key, value in pairs:
        name = key.lower()
        if name not in attribution.KEYS:
            continue
        if len(rows) == LISTED:
            break
        taken = attribution.read([(key, value)], clicks=settings.CLICK_IDS, objects=objects)
        remark = next((REASONS[reason] for reason in taken.dropped), "")
        if name in seen:
            remark = "given twice: the first one counts"
        elif name in attribution.CLICK_KEYS and not settings.CLICK_IDS:
            remark = "click identifiers are not kept here"
        elif not remark and not value:
            remark = "empty"
        elif not remark and taken.values.get(name) != value:
            remark = "shortened, or cleaned of invisible characters"
        rows.append((name, taken.values.get(name, "") if name not in seen else "", remark))
        seen.add(name)
    return rows
