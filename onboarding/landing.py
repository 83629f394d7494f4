"""What the first page carries from the link to the first POST: one signed hidden field, no cookie, no row.

Holds nothing personal: an address to prefill stands in its own form field.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, QueryDict
from django.utils.http import urlencode

from onboarding import i18n
from onboarding.domain import attribution
from onboarding.domain.flow import AccountType
from onboarding.domain.partner import Partner

_SALT = "onboarding.landing"


@dataclass(frozen=True, slots=True)
class Landing:
    """How somebody came to the first page."""

    partner: str
    nonce: str
    language: str = ""
    country: str = ""  # dictionary code or alpha-2, a proposal only
    account_type: str = ""
    agent: str = ""  # referrer agent's number
    attribution: Mapping[str, str] = field(default_factory=dict)

    def signed(self) -> str:
        return signing.dumps(asdict(self), salt=_SALT, compress=True)

    def query(self, **changed: str) -> str:
        """A query string that leads to the same first page again (other language, other channel, a new start)."""
        pairs = {
            "lang": self.language,
            "country": self.country,
            "openAccountType": "1" if self.account_type == AccountType.ENTERPRISE else "",
            "b_superiorAgent": self.agent,
            **self.attribution,
            **changed,
        }
        return urlencode({key: value for key, value in pairs.items() if value})


def from_request(request: HttpRequest, partner: Partner) -> Landing:
    """Reads the marketing link. Only names that we know are looked at."""
    query = request.GET
    accept = request.headers.get("Accept-Language", "")
    return Landing(
        partner=partner.slug,
        nonce=secrets.token_urlsafe(16),
        language=i18n.negotiate((query.get("lang", ""),), accept, default=partner.language),
        country=_short(query, "country", 20),
        account_type=AccountType.ENTERPRISE if query.get("openAccountType") == "1" else "",
        agent=_short(query, "b_superiorAgent", 64),
        attribution=attribution.read((key, values[0]) for key, values in query.lists() if values),
    )


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


def is_old(text: str) -> bool:
    """Whether a good field was signed longer ago than a flow may last."""
    try:
        signing.loads(text, salt=_SALT, max_age=int(settings.FLOW_MAX_HOURS * 3600))
    except signing.SignatureExpired:
        return True
    return False


def renewed(landing: Landing) -> Landing:
    return replace(landing, nonce=secrets.token_urlsafe(16))


def _short(query: QueryDict, key: str, longest: int) -> str:
    return attribution.clean(query.get(key, ""))[:longest]
