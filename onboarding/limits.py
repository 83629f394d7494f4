"""Who may have codes sent how often: counted in the database, for all flows, partners and processes together.

Subjects are recipients and client addresses, kept as keyed digests. Rows are always taken in one order and after the
flow's own, so that two senders never wait for each other. Never sees a request and never calls the upstream.
"""

from __future__ import annotations

import ipaddress
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, transaction

from onboarding import numbers
from onboarding.domain import limits as rules
from onboarding.domain.flow import Channel, Identity
from onboarding.domain.limits import Allowance
from onboarding.metrics import LIMITED
from onboarding.models import Quota
from onboarding.sealing import fingerprint

log = logging.getLogger("onboarding.limits")

_BATCH = 500  # rows deleted at a time
_Allowances = Mapping[str, Sequence[Allowance]]  # by subject


class Spent(Exception):
    """No more codes for this recipient, or from this address, for so many seconds."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"again in {seconds} seconds")
        self.seconds = seconds


# -- Subjects ----------------------------------------------------------------------------------------------------------


def recipient(identity: Identity) -> str:
    """One spelling for all spellings of an identifier.

    An e-mail address in lower case, its host as the DNS has it; a phone number as E.164. What stands before the @ is
    otherwise left alone: at some hosts "a.nn@" and "ann+x@" are other people than "ann@", and one who has many
    mailboxes meets the limit of the address.
    """
    if identity.channel is Channel.PHONE:
        return numbers.e164(identity.area, identity.phone)
    name, _at, host = identity.email.strip().lower().rpartition("@")
    try:
        host = host.encode("idna").decode()
    except UnicodeError:
        pass  # no name that the DNS knows: left as it is typed
    return f"{name}@{host}"


def _of_recipient(identity: Identity) -> str:
    return fingerprint("recipient", recipient(identity))


def _of_address(address: str) -> str:
    return fingerprint("address", rules.network(address))


def _subjects(identity: Identity, address: str) -> _Allowances:
    counted = {
        _of_recipient(identity): settings.LIMIT_RECIPIENT,
        _of_address(address): settings.LIMIT_ADDRESS,
    }
    return {subject: counted[subject] for subject in sorted(counted) if counted[subject]}


# -- Counting ----------------------------------------------------------------------------------------------------------


def spend(*, identity: Identity, address: str, now: datetime) -> None:
    """Counts one send, inside the caller's transaction; raises Spent, and the caller lets nothing of it stay.

    Whoever counts for the same recipient or address waits here until that transaction ends: of any number of parallel
    requests as many pass as are allowed.
    """
    subjects, moment = _subjects(identity, address), _moment(now)
    counted = _count(subjects, now)
    waits = {
        subject: rules.wait(counted[subject][:-1], allowed, now.timestamp()) for subject, allowed in subjects.items()
    }
    if any(waits.values()):
        kind = "recipient" if waits.get(_of_recipient(identity)) else "address"
        LIMITED.labels(kind).inc()
        if kind == "address" and _is_ours(address):
            log.warning("the limit of an address is used up by a private one: is TRUSTED_PROXY_COUNT right?")
        raise Spent(math.ceil(max(waits.values())))
    for subject, allowed in subjects.items():
        recent = [*rules.still_counting(counted[subject][:-1], allowed, now.timestamp()), moment]
        if len(recent) <= len(counted[subject]) // 2:  # now and then, or a busy address would be kept for ever
            Quota.objects.filter(subject=subject).update(recent=recent)


def _count(subjects: _Allowances, now: datetime) -> dict[str, list[float]]:
    """One moment more for each of these subjects; gives all of theirs, the new one last.

    One statement makes the rows that are missing and adds to those that are there, in the order of the subjects; they
    are held until the transaction ends.
    """
    rows = [
        Quota(subject=subject, recent=[_moment(now)], expires_at=now + timedelta(seconds=rules.longest(allowed)))
        for subject, allowed in subjects.items()
    ]
    return Quota.add(rows) if rows else {}


def give_back(*, identity: Identity, planned_at: datetime) -> None:
    """Takes a send off the recipient's count that the upstream refused, inside the caller's transaction.

    Not off the address's: it counts what was tried, or a sender of nonsense would never meet a limit.
    """
    row = Quota.objects.select_for_update().filter(subject=_of_recipient(identity)).first()
    if row is not None and _moment(planned_at) in row.recent:
        row.recent.remove(_moment(planned_at))
        row.save(update_fields=["recent"])


def wait(*, identity: Identity, address: str, now: datetime) -> int:
    """Seconds until a code may be sent to this recipient from this address; counts nothing."""
    subjects = _subjects(identity, address)
    moments = dict(Quota.objects.filter(subject__in=subjects).values_list("subject", "recent"))
    return math.ceil(
        max(
            (rules.wait(moments.get(subject, ()), allowed, now.timestamp()) for subject, allowed in subjects.items()),
            default=0.0,
        )
    )


def pressure(address: str, now: datetime) -> float:
    """The used share of what may be sent from this address: 0 for nothing, 1 when it is used up; counts nothing.

    0 when the database does not answer: it is asked while pages are drawn, and those stay open.
    """
    try:
        row = Quota.objects.filter(subject=_of_address(address)).first()
    except DatabaseError as exc:
        log.warning("the pressure of an address is not known: %s", type(exc).__name__)
        return 0.0
    return rules.used(row.recent, settings.LIMIT_ADDRESS, now.timestamp()) if row else 0.0


def forget(*, now: datetime) -> int:
    """Deletes the rows in which nothing counts any more, passing over those that somebody holds; gives their number."""
    done = 0
    while True:
        with transaction.atomic():
            due = Quota.objects.select_for_update(skip_locked=True).filter(expires_at__lte=now)
            subjects = list(due.values_list("subject", flat=True)[:_BATCH])
            Quota.objects.filter(subject__in=subjects).delete()
        done += len(subjects)
        if len(subjects) < _BATCH:
            return done


def _moment(now: datetime) -> float:
    return round(now.timestamp(), 3)


def _is_ours(address: str) -> bool:
    return rules.network(address) == "" or ipaddress.ip_address(rules.network(address)).is_private
