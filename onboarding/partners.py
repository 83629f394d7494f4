"""Who may embed us, as the first page needs it: without touching the database on every view."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.conf import settings

from onboarding.domain.partner import DEFAULT, Partner
from onboarding.models import Partner as PartnerRow

FRESH_SECONDS = 60.0  # a change in the admin holds after this long on every process

MAX_SLUG = 60  # characters, as the column has it

_cache: dict[str, tuple[float, Partner | None]] = {}
_lock = threading.Lock()


def find_partner(slug: str, *, clock: Callable[[], float] = time.monotonic) -> Partner | None:
    """The active partner with this slug, at most FRESH_SECONDS old; None when there is none."""
    if slug == DEFAULT:
        return Partner(DEFAULT, "", settings.EMBED_ORIGINS)
    if len(slug) > MAX_SLUG:
        return None
    now = clock()
    kept = _cache.get(slug)
    if kept is not None and now - kept[0] < FRESH_SECONDS:
        return kept[1]
    row = PartnerRow.objects.filter(slug=slug, active=True).defer("webhook_keys").first()
    found = row.settings() if row else None
    with _lock:
        if len(_cache) > 1000:  # made-up slugs must not fill the memory
            _cache.clear()
        _cache[slug] = (now, found)
    return found


def partner_of(slug: str) -> Partner:
    """The partner of a page or flow; one that is not there, or no longer active, may frame nothing."""
    return find_partner(slug) or Partner(slug)
