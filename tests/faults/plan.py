"""What happens to each customer of a run: chosen by a seed alone, the whole cross product first, the rest at random.

Pure: no process, no socket, no clock.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The write that is disturbed."""

    REGISTER = "register"
    LEVEL = "level"


class Fault(StrEnum):
    """What the upstream or the line does to one call; "before" and "after" mean the upstream's work."""

    NONE = "none"
    SLOW = "slow"
    HANG_BEFORE = "hang before"
    HANG_AFTER = "hang after"
    CUT_BEFORE = "cut before"
    CUT_AFTER = "cut after"
    CUT_WITHIN = "cut within the answer"
    ERROR_BEFORE = "5xx before"
    ERROR_AFTER = "5xx after"
    LATE_BEFORE = "902 before"
    LATE_AFTER = "902 after"
    GARBAGE_BEFORE = "garbage before"
    GARBAGE_AFTER = "garbage after"
    BUSY = "018"
    LIMITED = "429"
    REFUSED = "connection refused"


class Disturbance(StrEnum):
    """What the customer, or a dying process, does in the meantime."""

    NONE = "none"
    RELOAD = "reload"
    DOUBLE = "double submit"
    DEVICES = "two devices"
    BACK = "back and again"
    KILL_BEFORE = "killed before the send"
    KILL_AFTER = "killed after the send"
    KILL_STORE = "killed before the answer is stored"


KILLS = (Disturbance.KILL_BEFORE, Disturbance.KILL_AFTER, Disturbance.KILL_STORE)


class Ending(StrEnum):
    """What the upstream makes of it."""

    DONE = "done"
    REVIEW = "review"  # registered, to be reviewed by hand
    EXISTS = "exists"
    REFUSED = "refused"
    CORRECTED = "corrected"  # a wrong code, or a refused answer, comes first


ENDINGS = {Kind.REGISTER: tuple(Ending), Kind.LEVEL: (Ending.DONE, Ending.CORRECTED)}
TAGS = {Ending.DONE: "+nokyc", Ending.REVIEW: "+review", Ending.EXISTS: "+exists", Ending.REFUSED: "+refused"}


@dataclass(frozen=True)
class Plan:
    """One customer. `faults` meet one call after the other; after the last one all goes well."""

    number: int
    kind: Kind
    faults: tuple[Fault, ...]
    disturbance: Disturbance
    ending: Ending = Ending.DONE
    leaves: bool = False  # as soon as the page says that there is no answer yet

    @property
    def mark(self) -> str:
        """Stands in the address and in the answers, so that everybody on the line knows whose call it is."""
        return f"zq{self.number:06}"

    @property
    def email(self) -> str:
        tag = TAGS.get(self.ending, "+nokyc") if self.kind is Kind.REGISTER else ""
        return f"{self.mark}{tag}@example.org"

    @property
    def address(self) -> str:
        """Everybody comes from a network of their own."""
        return f"10.{self.number >> 16 & 255}.{self.number >> 8 & 255}.{self.number & 255}"

    def __str__(self) -> str:
        faults = ", ".join(self.faults)
        left = ", leaves" if self.leaves else ""
        return f"{self.mark}: {self.kind}, [{faults}], {self.disturbance}, ends {self.ending}{left}"


def make(seed: int, flows: int) -> list[Plan]:
    """So many plans. The first ones are the whole cross product of kind, fault and disturbance, once each."""
    dice = random.Random(seed)
    product = list(itertools.product(Kind, Fault, Disturbance))
    made = [_plan(dice, number, *chosen) for number, chosen in enumerate(product)]
    # A kill costs a restart, so that later on it is rarer than the rest.
    weights = [1 if one in KILLS else 8 for one in Disturbance]
    for number in range(len(product), flows):
        (disturbance,) = dice.choices(list(Disturbance), weights)
        (kind,) = dice.choices(list(Kind), (2, 1))  # a level costs twice as much
        made.append(_plan(dice, number, kind, dice.choice(list(Fault)), disturbance))
    return made[:flows]


def _plan(dice: random.Random, number: int, kind: Kind, fault: Fault, disturbance: Disturbance) -> Plan:
    more = dice.choices((0, 1, 2), (6, 3, 1))[0]
    further = [one for one in Fault if one not in (Fault.NONE, Fault.REFUSED)]
    ending = dice.choices(ENDINGS[kind], [6, *([1] * (len(ENDINGS[kind]) - 1))])[0]
    leaves = ending is not Ending.CORRECTED and dice.random() < 0.3
    return Plan(number, kind, (fault, *dice.choices(further, k=more)), disturbance, ending, leaves)
