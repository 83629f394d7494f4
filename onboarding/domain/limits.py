"""How often something may happen: so many times in so long, over any stretch of time, not per calendar hour.

Pure arithmetic over the moments (seconds since 1970) of what happened; `onboarding.limits` keeps them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST = 1000  # moments that one row may hold
LONGEST = 7 * 86_400  # seconds

_HOUSEHOLD = 64  # bits of an IPv6 address by which a network is known; one customer has all of the rest

_UNITS = {"s": 1, "m": 60, "h": 3600}
_PART = re.compile(r"(\d{1,6})/(\d{1,6})([smh])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most `count` times in any `seconds`."""

    count: int
    seconds: int


def read_allowances(text: str) -> tuple[Allowance, ...]:
    """ "3/10m,5/30m" as allowances that all hold; "off" is none. Raises ValueError for anything else."""
    if text.strip().lower() == "off":
        return ()
    found = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError("must look like 3/10m,5/30m (so many in so many s, m or h), or be off")
        count, seconds = int(match[1]), int(match[2]) * _UNITS[match[3]]
        if not 1 <= count <= MOST or not 1 <= seconds <= LONGEST:
            raise ValueError(f"must name counts from 1 to {MOST} and times up to {LONGEST // 3600}h")
        found.append(Allowance(count, seconds))
    return tuple(found)


def longest(allowances: Sequence[Allowance]) -> int:
    """Seconds after which a moment counts nowhere any more."""
    return max((allowance.seconds for allowance in allowances), default=0)


def still_counting(moments: Sequence[float], allowances: Sequence[Allowance], now: float) -> list[float]:
    """The moments that some allowance still counts, oldest first."""
    since = now - longest(allowances)
    return sorted(moment for moment in moments if moment > since)


def wait(moments: Sequence[float], allowances: Sequence[Allowance], now: float) -> float:
    """Seconds until one more is allowed; 0 when it is now."""
    ends = [0.0]
    for allowance in allowances:
        counted = sorted(moment for moment in moments if moment > now - allowance.seconds)
        if len(counted) >= allowance.count:
            ends.append(counted[-allowance.count] + allowance.seconds - now)
    return max(ends)


def used(moments: Sequence[float], allowances: Sequence[Allowance], now: float) -> float:
    """The used share of the allowance that is used up most: 0 for nothing, 1 when no more is allowed."""
    return max(
        (sum(moment > now - allowance.seconds for moment in moments) / allowance.count for allowance in allowances),
        default=0.0,
    )


def network(address: str) -> str:
    """Whose limit counts for an IP address, as one address: of IPv6 the first of its /64; "" for all unknown ones."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    rest = 128 - _HOUSEHOLD
    return str(ipaddress.IPv6Address(int(found) >> rest << rest))
