"""The funnel's words: its stages, what flows are told apart by, and how a median comes from counts.

A stage is a milestone's kind, with its detail behind a colon where it has one (`submitted:basic`, `done:passed`).
Times are counted in buckets, each `FACTOR` times as long as the one before, so that a median costs no row per flow and
days can be added up; it is exact to 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

from onboarding.domain.attribution import UTM_KEYS

FACTOR = 1.1
OTHER = "\x7f"  # stands for all values beyond those kept; a control character, which no value of a link can hold

IDENTIFIED, REGISTERED = "identified", "registered"
LEVEL = "submitted:"  # then the level's code
FIXED = (IDENTIFIED, "code_sent", "verified", REGISTERED)
ENDS = ("done:registered", "done:in_review", "done:passed")
MET, LOST = "met", "lost"  # what a refusal is counted by


class Dimension(StrEnum):
    """What a count is of: all flows, those that share one property, or what is no property of theirs."""

    ALL = "all"
    PARTNER = "partner"
    CHANNEL = "channel"
    COUNTRY = "country"
    DEVICE = "device"
    LANGUAGE = "language"
    ACCOUNT_TYPE = "account_type"
    UTM_SOURCE = "utm_source"
    UTM_MEDIUM = "utm_medium"
    UTM_CAMPAIGN = "utm_campaign"
    UTM_CONTENT = "utm_content"
    UTM_TERM = "utm_term"
    UTM_ID = "utm_id"
    SECONDS = "seconds"  # value: a stage; counted by the bucket of the time since the stage before
    REFUSED = "refused"  # value: the upstream's code; counted by MET and LOST


PROPERTIES = tuple(d for d in Dimension if d not in (Dimension.ALL, Dimension.SECONDS, Dimension.REFUSED))
COLUMNS = tuple(d for d in PROPERTIES if d not in UTM_KEYS)  # of a flow, in this order


def stage_of(kind: str, detail: str) -> str:
    return f"{kind}:{detail}" if detail else kind


def before(stage: str) -> str:
    """The stage that everybody comes from who reaches this one; "" for the first. Levels are asked of whom they may."""
    if stage in FIXED:
        place = FIXED.index(stage)
        return FIXED[place - 1] if place else ""
    return "done:in_review" if stage == "done:passed" else REGISTERED


def in_order(flows: Mapping[str, int]) -> tuple[str, ...]:
    """The stages in the order of the way: levels by how many flows handed them in, as nothing else orders them here."""
    levels = sorted((s for s in flows if s.startswith(LEVEL)), key=lambda stage: (-flows[stage], stage))
    return (*FIXED, *levels, *(stage for stage in ENDS if flows.get(stage) or stage == ENDS[-1]))


def bucket(seconds: float) -> int:
    """0 for less than a second, else n with FACTOR^(n-1) <= seconds < FACTOR^n."""
    return 0 if seconds < 1 else int(math.log(seconds, FACTOR)) + 1


def median(flows: Mapping[int, int]) -> float | None:
    """Seconds: the middle of the bucket in which the middle flow lies; 0 means less than a second."""
    left = (sum(flows.values()) + 1) // 2
    for number in sorted(flows):
        left -= flows[number]
        if left <= 0 and flows[number]:
            return 0.0 if number == 0 else FACTOR ** (number - 0.5)
    return None
