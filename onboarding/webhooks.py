"""Tells partners' webhooks what `milestones` wrote down: signed, each event until it is taken or nobody listens.

A row is claimed by moving `next_at` to the end of a lease, in one UPDATE that names its old value: of several processes
one gets it, on any database, and no transaction is open while the receiver works. A process that dies leaves the row to
the next one after the lease, so an event may arrive twice, under the same name, and none is lost.

The thread of `Courier` alone uses the database; the others only send.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import queue
import random
import secrets
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from onboarding import __version__
from onboarding.models import Delivery, Partner
from onboarding.sealing import SealBroken
from onboarding.webhook_transport import Answer, host_of, post

log = logging.getLogger("onboarding.webhooks")
Clock = Callable[[], datetime]

TEST = "test"  # type of the event that only the operator's button makes
OLD_KEY_HOURS = 24  # an earlier key signs too for so long, or a partner could not change keys without missing events
LEASE = timedelta(minutes=2)  # far longer than a try lasts, a slow name server included
# After the first try, the second …: eleven tries in about three days, a weekend with its Friday evening.
PAUSES = tuple(timedelta(minutes=m) for m in (0.5, 2, 10, 60, 360, 720, 720, 720, 720, 720))
JITTER = 0.2  # of a pause, either way: what failed together does not come again together
IN_FLIGHT = 32  # threads; they wait more than they work
PER_PARTNER = 2  # of them, so that a receiver that hangs keeps the others' events from nothing


def run(*, clock: Clock = timezone.now) -> Counter[str]:
    """Everything that is due now, once; gives how many were taken, are tried again and were given up."""
    courier, start = Courier(clock), clock()
    while courier.send(due=start) or courier.is_busy:
        courier.collect(1.0)
    return courier.ends


def forget(*, now: datetime) -> int:
    """Deletes what was taken or given up and is old enough; gives the number of events."""
    if not settings.KEEP_EVENTS_DAYS:
        return 0
    over = Delivery.objects.filter(next_at=None, made_at__lt=now - timedelta(days=settings.KEEP_EVENTS_DAYS))
    return over.delete()[0]


def tell_test(partner: Partner, *, now: datetime) -> Delivery:
    """An event of the type `test` for the outbox, so that a partner can see that everything works."""
    event = str(uuid.uuid4())
    body: dict[str, Any] = {
        "version": 1,
        "event": event,
        "type": TEST,
        "at": now.isoformat(timespec="milliseconds"),
        "partner": partner.slug,
        "reference": "",
        "payload": {},
        "attribution": {},
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Delivery.objects.create(partner=partner.slug, event=event, kind=TEST, body=text, made_at=now, next_at=now)


def give_up(slug: str) -> None:
    """Of a partner that is deleted: the next one with its short name is somebody else."""
    Delivery.objects.filter(partner=slug, next_at__isnull=False).update(next_at=None, answer="the partner was deleted")


def try_again(rows: QuerySet[Delivery], *, now: datetime) -> int:
    """Due at once, with all tries before it; also what was taken, for a partner who lost it."""
    return rows.update(next_at=now, tries=0, taken_at=None, answer="")


# -- Keys --------------------------------------------------------------------------------------------------------------


def first_key(partner: Partner) -> str:
    """The new key of a partner that had none, to be shown once; empty when there is one. SealBroken.

    One that is there is sealed anew: after a change of SECRET_KEY, saving the partner is enough.
    """
    with transaction.atomic():
        row = Partner.objects.select_for_update().get(pk=partner.pk)
        if not row.webhook_keys:
            return _keep_new_key(partner, {})
        row.save(update_fields=["webhook_keys"])
        return ""


def new_key(partner: Partner, *, now: datetime) -> str:
    """Another key, to be shown once; the one before signs too for OLD_KEY_HOURS. One that nobody can open is gone."""
    with transaction.atomic():
        Partner.objects.select_for_update().defer("webhook_keys").get(pk=partner.pk)
        try:
            before = keys_of(partner).get("now")
        except SealBroken:
            before = None
        until = (now + timedelta(hours=OLD_KEY_HOURS)).isoformat()
        return _keep_new_key(partner, {"before": before, "until": until} if before else {})


def keys_of(partner: Partner) -> dict[str, str]:
    """`now`, and after a change `before` and `until`. SealBroken."""
    found: dict[str, str] = Partner.objects.values_list("webhook_keys", flat=True).get(pk=partner.pk)
    return found


def _keep_new_key(partner: Partner, before: dict[str, str]) -> str:
    key = f"whsec_{secrets.token_urlsafe(32)}"
    Partner.objects.filter(pk=partner.pk).update(webhook_keys={"now": key, **before})
    return key


def valid_keys(keys: dict[str, str], now: datetime) -> list[str]:
    """The keys to sign with, the newest first."""
    found = [keys["now"]] if keys.get("now") else []
    if keys.get("before") and now < datetime.fromisoformat(keys["until"]):
        found.append(keys["before"])
    return found


def signature(body: bytes, keys: Sequence[str], at: int) -> str:
    """The header: the moment in seconds, and for each key an HMAC of the moment, a dot and the body."""
    signed = f"{at}.".encode() + body
    return ",".join([f"t={at}", *(f"v1={hmac.new(k.encode(), signed, hashlib.sha256).hexdigest()}" for k in keys)])


# -- Sending -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Letter:
    """What a thread needs to send; made before, so that it needs no database."""

    row: Delivery
    url: str
    keys: tuple[str, ...]
    private: bool
    at: int


def _letter(row: Delivery, now: datetime) -> Letter | str:
    """The row, addressed and ready; or in a few words why it cannot be sent now, which may yet change."""
    partner = Partner.objects.filter(slug=row.partner).defer("webhook_keys").first()
    if partner is None or not partner.active:
        return "no active partner of this name"
    if not partner.webhook_url:
        return "no address"
    try:
        keys = valid_keys(keys_of(partner), now)
    except SealBroken:
        log.error("the webhook key of partner %s cannot be opened: make a new one", partner.slug)
        return "key cannot be opened"
    if not keys:
        return "no key: make one in /admin/"
    host = host_of(partner.webhook_url)
    tried_out = settings.DEBUG and (host in ("127.0.0.1", "::1", "localhost") or host.endswith(".localhost"))
    private = tried_out or host in settings.WEBHOOK_PRIVATE_HOSTS
    return Letter(row, partner.webhook_url, tuple(keys), private, int(now.timestamp()))


def _send(letter: Letter) -> Answer:
    body = letter.row.body.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"onboarding-webhooks/{__version__}",
        "Onboarding-Event": letter.row.event,
        "Onboarding-Signature": signature(body, letter.keys, letter.at),
    }
    return post(letter.url, headers, body, private=letter.private)


def pause_after(tries: int) -> timedelta | None:
    """How long to wait after so many tries; None: that was the last."""
    if tries > len(PAUSES):
        return None
    return PAUSES[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (no secret)


class Courier:
    """Sends what is due, at most PER_PARTNER at a time for one partner, and records what came of it."""

    def __init__(self, clock: Clock = timezone.now) -> None:
        self.ends: Counter[str] = Counter()
        self._clock = clock
        self._on_the_way: Counter[str] = Counter()  # partner → letters
        self._back: queue.SimpleQueue[tuple[Delivery, Answer]] = queue.SimpleQueue()
        self._unrecorded: list[tuple[Delivery, Answer]] = []
        self._served: dict[str, float] = {}  # partner → when it last had its turn here

    @property
    def is_busy(self) -> bool:
        return self._on_the_way.total() > 0

    def send(self, *, due: datetime | None = None) -> int:
        """Sets out with what was due by then, as far as there are hands; gives how many rows it claimed."""
        claimed = 0
        waiting = Delivery.objects.filter(next_at__lte=due or self._clock())
        # The order of fairness: who waited longest for a turn comes first, however many events another has.
        for partner in sorted(waiting.values_list("partner", flat=True).distinct(), key=self._turn):
            free = min(PER_PARTNER - self._on_the_way[partner], IN_FLIGHT - self._on_the_way.total())
            if free <= 0:
                continue
            self._served[partner] = time.monotonic()
            for row in waiting.filter(partner=partner).order_by("next_at")[:free]:
                claimed += self._claim(row)
        return claimed

    def collect(self, seconds: float) -> None:
        """Records what came back; waits so long for the first, if nothing has."""
        with contextlib.suppress(queue.Empty):
            self._unrecorded.append(self._back.get(timeout=seconds))
            while True:
                self._unrecorded.append(self._back.get_nowait())
        while self._unrecorded:  # one that the database refuses to keep stays for the next time
            row, answer = self._unrecorded[0]
            self._record(row, answer)
            self._unrecorded.pop(0)
            self._on_the_way[row.partner] -= 1

    def _turn(self, partner: str) -> float:
        return self._served.get(partner, 0.0)

    def _claim(self, row: Delivery) -> bool:
        """Takes the row unless somebody else has, and sets out with it."""
        lease = self._clock() + LEASE
        mine = Delivery.objects.filter(pk=row.pk, next_at=row.next_at)
        if not mine.update(next_at=lease, tries=F("tries") + 1):
            return False
        row.next_at, row.tries = lease, row.tries + 1
        letter = _letter(row, self._clock())
        if isinstance(letter, str):
            self._record(row, Answer(0, letter))
            return True
        self._on_the_way[row.partner] += 1
        # A daemon, so that a receiver that hangs does not keep the process from ending.
        threading.Thread(target=self._carry, args=(letter,), daemon=True).start()
        return True

    def _carry(self, letter: Letter) -> None:
        answer = Answer(0, "error of ours")
        try:
            answer = _send(letter)
        except Exception:  # the outermost handler of this thread; Python's own would write the error's text
            log.exception("webhook %s of partner %s: error of ours", letter.row.event, letter.row.partner)
        finally:  # or the partner's place would be taken for ever
            self._back.put((letter.row, answer))

    def _record(self, row: Delivery, answer: Answer) -> None:
        """Taken is taken. Anything else counts only while the lease is ours: somebody else may know better by now."""
        now, pause = self._clock(), pause_after(row.tries)
        rows = Delivery.objects.filter(pk=row.pk)
        if answer.is_taken:
            end, level = "taken", logging.INFO
            rows.update(next_at=None, taken_at=now, answer=str(answer))
        elif answer.is_gone or pause is None:
            end, level = "given up", logging.WARNING
            text = "410: wants no more of this" if answer.is_gone else f"{answer}, the last try"
            rows.filter(next_at=row.next_at).update(next_at=None, answer=text[:60])
        else:
            end, level = "to be tried again", logging.INFO
            rows.filter(next_at=row.next_at).update(next_at=now + pause, answer=str(answer)[:60])
        self.ends[end] += 1
        log.log(
            level,
            "webhook %s of partner %s: %s (%s), try %d",
            row.event,
            row.partner,
            answer,
            end,
            row.tries,
            extra={"reference": json.loads(row.body)["reference"]},
        )
