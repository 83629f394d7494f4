"""Which hosts are this machine, and which nobody else can reach: plain http and debug pages may go there only."""

from __future__ import annotations

import ipaddress

_OWN_NAMES = ("localhost", "test")  # reserved (RFC 6761): no public name ends in them


def is_loopback(host: str) -> bool:
    """Whether this host, without port, is the machine itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost" or host.rstrip(".").lower().endswith(".localhost")


def is_public(host: str) -> bool:
    """Whether strangers may reach it: names of several parts but reserved ones, no private address; `*` is all."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        *rest, last = host.rstrip(".").lower().split(".")
        return host == "*" or (bool(rest) and last not in _OWN_NAMES)
    return not (address.is_loopback or address.is_private)
