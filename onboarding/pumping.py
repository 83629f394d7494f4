"""Against codes that are asked for to earn by the text messages: counts, alarms, and the operator's stops.

Counts say how many codes went to numbers that begin alike and how many were used; what is sent and hardly ever used is
told to the operator once an hour. Stops are read by every process every few seconds, and anew before each send. Never
sees a request; says nothing to customers itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F, Sum

from onboarding import numbers
from onboarding.domain.flow import Channel, Identity
from onboarding.metrics import SMS_ALARMS
from onboarding.models import SmsCount, SmsStop

log = logging.getLogger("onboarding.pumping")

EVERY_COUNTRY = ""
SMS_STOPPED = "SMS_STOPPED"  # our own refusal among the upstream's codes: the operator has stopped text messages
FRESH_SECONDS = 3.0  # a stop holds on every page of every process after this long
HOUR = timedelta(hours=1)
KEPT = timedelta(days=30)  # of counts


class NoChannel(Exception):
    """Codes could only go by text message, and those are stopped."""


# -- Stops -------------------------------------------------------------------------------------------------------------


class _Known:
    """What this process read last."""

    def __init__(self) -> None:
        self.until = float("-inf")
        self.stopped: frozenset[str] = frozenset()
        self.lock = threading.Lock()


_known = _Known()


def _read_stops() -> frozenset[str]:
    return frozenset(SmsStop.objects.filter(stopped=True).values_list("country", flat=True))


def stopped_countries(*, clock: Callable[[], float] = time.monotonic) -> frozenset[str]:
    """Where no text message goes now, at most FRESH_SECONDS old; with EVERY_COUNTRY in it, nowhere.

    For pages: they stay open when the database does not answer, with what was known before. Whoever comes while
    another thread asks does not wait.
    """
    if clock() >= _known.until and _known.lock.acquire(blocking=False):
        try:
            _known.stopped = _read_stops()
        except DatabaseError as exc:
            log.warning("stops of text messages are not known: %s", type(exc).__name__)
        finally:
            _known.until = clock() + FRESH_SECONDS
            _known.lock.release()
    return _known.stopped


def is_stopped(identity: Identity) -> bool:
    """Whether no code may go there, as the database says now: asked before each send."""
    if identity.channel is not Channel.PHONE:
        return False
    return bool(_read_stops() & {EVERY_COUNTRY, numbers.region(identity.area, identity.phone)})


def channels() -> tuple[str, ...]:
    """The channels offered now, in their order; none when only text messages are configured, and those are stopped."""
    stopped = EVERY_COUNTRY in stopped_countries()
    return tuple(name for name in settings.CHANNELS if not (stopped and name == Channel.PHONE))


def needed_channels() -> tuple[str, ...]:
    """The same for a page that cannot do without one; raises NoChannel."""
    found = channels()
    if not found:
        raise NoChannel
    return found


# -- Counts ------------------------------------------------------------------------------------------------------------


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _places(identity: Identity) -> tuple[str, tuple[str, ...]]:
    """The country of a number, and the prefixes it is counted under, always in this order: rows are locked in it.

    A number that no plan knows has no prefix of its own, and one statement may name a row only once.
    """
    prefixes = dict.fromkeys(("", numbers.prefix(identity.area, identity.phone)))
    return numbers.region(identity.area, identity.phone), tuple(prefixes)


def note_sent(identity: Identity, now: datetime) -> None:
    """Counts a code that went by text message, inside the caller's transaction, and tells the operator if need be."""
    if identity.channel is not Channel.PHONE:
        return
    country, prefixes = _places(identity)
    hour = _hour(now)
    SmsCount.objects.bulk_create(  # makes what is missing and holds what is there, one after the other
        [SmsCount(hour=hour, country=country, prefix=prefix) for prefix in prefixes],
        update_conflicts=True,
        unique_fields=["hour", "country", "prefix"],
        update_fields=["country"],
    )
    SmsCount.objects.filter(hour=hour, country=country, prefix__in=prefixes).update(sent=F("sent") + 1)
    for prefix in reversed(prefixes):
        _look(country, prefix, now)


def note_used(identity: Identity, sent_at: datetime) -> None:
    """Counts the code that was sent then as used, inside the caller's transaction."""
    if identity.channel is not Channel.PHONE:
        return
    country, prefixes = _places(identity)
    for prefix in prefixes:
        SmsCount.objects.filter(hour=_hour(sent_at), country=country, prefix=prefix).update(used=F("used") + 1)


def _look(country: str, prefix: str, now: datetime) -> None:
    """Raises the alarm, once an hour, when too few of the codes of this hour and the one before were used.

    Of the whole country only when none was raised about a part of it.
    """
    of_country = SmsCount.objects.filter(country=country, hour__gte=_hour(now) - HOUR, hour__lte=now)
    lately = of_country.filter(prefix=prefix)
    found = lately.aggregate(sent=Sum("sent"), used=Sum("used"))
    sent, used = found["sent"] or 0, found["used"] or 0
    if sent < settings.SMS_ALARM_SENDS or used >= sent * settings.SMS_ALARM_SHARE:
        return
    if (lately if prefix else of_country).filter(alarmed_at__gt=now - HOUR).exists():
        return
    lately.filter(hour=_hour(now)).update(alarmed_at=now)
    transaction.on_commit(lambda: _tell(country, prefix, sent, used))


def _tell(country: str, prefix: str, sent: int, used: int) -> None:
    SMS_ALARMS.labels(country).inc()
    log.error(
        "codes go by text message and are not used: country %s, numbers %s, sent %d, used %d within two hours",
        country, f"{prefix}…" if prefix else "of all kinds", sent, used,
    )  # fmt: skip


def forget(*, now: datetime) -> None:
    """Deletes old counts."""
    SmsCount.objects.filter(hour__lt=now - KEPT).delete()
