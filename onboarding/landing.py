"""What the first page carries from the link to the first POST: one signed hidden field, no cookie, no row.

Holds nothing personal: an address to prefill stands in its own form field.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.http import urlencode

from onboarding import i18n
from onboarding.domain import attribution
from onboarding.domain.attribution import Touch, Touches
from onboarding.domain.flow import AccountType
from onboarding.domain.partner import Partner
from onboarding.metrics import ATTRIBUTION_DROPPED

_SALT = "onboarding.landing"
_TOUCH_SALT = "onboarding.touch"


@dataclass(frozen=True)
class Landing:
    """How somebody came to the first page."""

    partner: str
    nonce: str
    language: str = ""
    country: str = ""  # dictionary code or alpha-2, a proposal only
    account_type: str = ""
    agent: str = ""  # referrer agent's number
    attribution: Mapping[str, Any] = field(default_factory=dict)  # Touches, as stored
    opened: float = 0.0  # seconds since 1970: when the page was first shown

    @cached_property
    def touches(self) -> Touches:
        return Touches.of(self.attribution)

    @cached_property
    def carried(self) -> str:
        """First and last touch as one signed text, so that another start is no new visit; "" when there are none."""
        if self.touches.is_empty:
            return ""
        return signing.dumps(self.touches.stored(), salt=_touch_salt(self.partner), compress=True)

    def signed(self) -> str:
        return signing.dumps({each.name: getattr(self, each.name) for each in fields(self)}, salt=_SALT, compress=True)

    def query(self, **changed: str) -> str:
        """A query string that leads to the same first page again (other language, other channel, a new start)."""
        return _encoded({"lang": self.language, **self._carried_on, **changed})

    @property
    def rest(self) -> str:
        """What stands in each such query, between the language and what else was changed."""
        return _encoded(self._carried_on)

    @property
    def _carried_on(self) -> dict[str, str]:
        return {
            "country": self.country,
            "openAccountType": "1" if self.account_type == AccountType.ENTERPRISE else "",
            "b_superiorAgent": self.agent,
            **self.touches.last.values,
            "touch": self.carried,
        }


def _encoded(pairs: Mapping[str, str]) -> str:
    return urlencode({key: value for key, value in pairs.items() if value})


def from_request(request: HttpRequest, partner: Partner) -> Landing:
    """Reads the marketing link. Only names that we know are looked at."""
    query = request.GET
    objects = request.headers.get("Sec-GPC") == "1"
    taken = attribution.read(
        ((key, values[0]) for key, values in query.lists() if values), clicks=settings.CLICK_IDS, objects=objects
    )
    before = _carried(query.get("touch", ""), partner)
    before = before if settings.CLICK_IDS and not objects else before.without_clicks()
    for reason, count in taken.dropped.items():
        ATTRIBUTION_DROPPED.labels(reason).inc(count)
    visit = Touch(timezone.now().isoformat(timespec="seconds"), request.path[: attribution.MAX_PATH], taken.values)
    accept = request.headers.get("Accept-Language", "")
    return Landing(
        partner=partner.slug,
        nonce=secrets.token_urlsafe(16),
        opened=round(timezone.now().timestamp(), 1),
        language=i18n.negotiate((query.get("lang", ""),), accept, default=partner.language),
        country=_short(query, "country", 20),
        account_type=AccountType.ENTERPRISE if query.get("openAccountType") == "1" else "",
        agent=_agent(query) or partner.agent,
        attribution=before.then(visit).stored(),
    )


def _touch_salt(partner: str) -> str:
    """A partner's own: nobody's campaigns count at another one's page."""
    return f"{_TOUCH_SALT}.{partner}"


def _carried(text: str, partner: Partner) -> Touches:
    """The touches that an earlier flow or page handed on; none when the text is missing, old or not ours."""
    if not text:
        return Touches()
    try:
        age = int(settings.FLOW_MAX_HOURS * 3600)
        return Touches.of(signing.loads(text, salt=_touch_salt(partner.slug), max_age=age))
    except (signing.BadSignature, ValueError):
        return Touches()


def region_of(request: HttpRequest) -> str:
    """The region of the browser's language, a proposal for the country."""
    return i18n.region(request.headers.get("Accept-Language", ""))


def from_field(text: str, partner: Partner) -> Landing | None:
    """The landing that a POST brings back, however old; None when it is missing, altered or another partner's."""
    try:
        kept: dict[str, Any] = signing.loads(text, salt=_SALT)
        found = Landing(**kept)
    except (signing.BadSignature, TypeError, ValueError):
        return None
    return found if found.partner == partner.slug else None


def is_old(text: str, *, at_most: timedelta | None = None) -> bool:
    """Whether a good field was signed longer ago than this, else than a flow may last."""
    try:
        signing.loads(text, salt=_SALT, max_age=at_most or timedelta(hours=settings.FLOW_MAX_HOURS))
    except signing.SignatureExpired:
        return True
    return False


def seconds_open(landing: Landing, now: datetime) -> float:
    """How long ago the page was first shown; what was put right on it meanwhile does not count anew."""
    return now.timestamp() - landing.opened


def renewed(landing: Landing) -> Landing:
    return replace(landing, nonce=secrets.token_urlsafe(16))


def _agent(query: QueryDict) -> str:
    """An agent's number; somebody's address or telephone number is none."""
    found = _short(query, "b_superiorAgent", 64)
    return "" if attribution.personal("b_superiorAgent", found) else found


def _short(query: QueryDict, key: str, longest: int) -> str:
    return attribution.clean(query.get(key, ""))[:longest]
