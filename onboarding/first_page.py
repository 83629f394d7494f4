"""The first page put together from parts that were drawn once: only what differs per visitor is put in.

The parts come from the very templates that draw it whole, filled with stand-ins at which the text is then cut. What the
copies are kept by is ours or a partner's, never a visitor's own text, and no visitor can know the stand-ins.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import escape

from onboarding.domain.partner import Partner
from onboarding.landing import Landing

MOST_KEPT = 500  # copies of 15 to 50 kB; a partner, a language and a proposed country make one

_SECRET = secrets.token_hex(8)
AGENT = f"{_SECRET}agent"
NONCE, FIELD, EMAIL, PHONE = (f"{_SECRET}{name}" for name in ("nonce", "field", "email", "phone"))
LINK = f"&amp;b_superiorAgent={AGENT}"  # as it stands in an address of the page, after the language
_CUT = re.compile(f"({'|'.join((NONCE, FIELD, EMAIL, PHONE, LINK))})")


@dataclass(frozen=True)
class Sort:
    """All that tells one first page from another, but for the visitor."""

    partner: tuple[object, ...]
    language: str
    channel: str
    channels: tuple[str, ...]
    country: str
    account_type: str
    fragment: bool
    framed: bool
    deleted: bool
    edition: int  # of the dictionaries


_kept: dict[Sort, list[str]] = {}


def shown_of(partner: Partner) -> tuple[object, ...]:
    """What a first page shows of its partner."""
    return partner.slug, partner.name, partner.origins, partner.theme, partner.sign_in_url


def stand_in(sort: Sort, slug: str) -> Landing:
    """The landing of the page that is cut: the agent's number stands for all that a link can carry."""
    return Landing(partner=slug, nonce="", language=sort.language, agent=AGENT)


def put_together(sort: Sort, own: Mapping[str, object], draw: Callable[[], str]) -> str:
    """The page with the visitor's `own` text at each stand-in, escaped here; `draw` draws it where it is not kept yet.

    What the page does not show is not asked for its text: a nonce is made when it is first written.
    """
    parts = _kept.get(sort)
    if parts is None:
        parts = _CUT.split(draw())
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[sort] = parts
    said = {name: str(escape(str(own[name]))) for name in dict.fromkeys(parts[1::2])}
    return "".join([part if i % 2 == 0 else said[part] for i, part in enumerate(parts)])
