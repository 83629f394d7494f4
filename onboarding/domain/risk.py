"""How much speaks for a program and not a person, and how much work is asked for then. Decides from signs, sees none.

No sign alone is proof: autofill is fast, some password managers fill every field, families and offices share an
address. So nothing is refused here. One weak sign costs nothing, more cost work, and the work has an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Sign(StrEnum):
    """A reason to ask for work: a closed set, for metrics too. The stronger one comes first."""

    TRAP = "trap"  # the field that nobody sees was filled in
    REUSED = "reused"  # the landing has begun a flow with other answers
    PRESSURE = "pressure"  # many codes went to flows of this network address lately
    FAST = "fast"  # answered sooner than a person does
    ALWAYS = "always"  # the operator asks everybody


@dataclass(frozen=True, slots=True)
class Signs:
    """What was seen of one attempt. `pressure`: the share of the address's allowance that is used, from 0 to 1."""

    fast: bool = False
    trap: bool = False
    reused: bool = False
    pressure: float = 0.0


@dataclass(frozen=True, slots=True)
class Effort:
    """What a challenge costs: derivations for a script, on average half as many; seconds of waiting without one."""

    most: int
    wait: int


# One derivation takes about 5 ms on a cheap phone: half a second, two and five seconds there on average, at most twice
# as long. Waiting is longer, because it costs a program nothing but time.
EFFORTS = (Effort(200, 10), Effort(800, 20), Effort(2000, 40))
FREE = 1  # points that cost nothing


def points(signs: Signs) -> Mapping[Sign, int]:
    """Points by sign. Being fast alone stays free, being fast under some pressure does not."""
    pressure = sum(signs.pressure >= mark for mark in (0.4, 0.7, 0.9))
    found = {
        Sign.TRAP: 2 if signs.trap else 0,
        Sign.REUSED: 2 if signs.reused else 0,
        Sign.PRESSURE: pressure,
        Sign.FAST: 1 if signs.fast else 0,
    }
    return {sign: count for sign, count in found.items() if count}


def weigh(signs: Signs, *, always: bool = False) -> tuple[Effort, Sign] | None:
    """The effort that is asked for and the strongest sign for it; None when nothing is asked."""
    found = points(signs)
    score = sum(found.values())
    if score <= FREE:
        return (EFFORTS[0], Sign.ALWAYS) if always else None
    effort = EFFORTS[min(score - FREE, len(EFFORTS)) - 1]
    return effort, max(found, key=lambda sign: found[sign])
