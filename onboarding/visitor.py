"""What a request says about its sender: address, device, whether it is a phone. Reads headers, nothing else."""

from __future__ import annotations

import ipaddress
import re

from django.conf import settings
from django.http import HttpRequest
from ua_parser import parse

from onboarding.domain.flow import Device, Visitor

_PHONE = re.compile(r"Mobi|Android|iPhone|iPad|iPod", re.IGNORECASE)
_TABLET = re.compile(r"iPad|Tablet|PlayBook|Silk/|Android(?!.*Mobile)", re.IGNORECASE)
_MAX_USER_AGENT = 512  # characters looked at: the parser runs hundreds of patterns over them


def read(request: HttpRequest) -> Visitor:
    agent = request.headers.get("User-Agent", "")[:_MAX_USER_AGENT]
    mobile = is_mobile(request.headers.get("Sec-CH-UA-Mobile", ""), agent)
    return Visitor(
        address=client_address(request.META.get("REMOTE_ADDR", ""), request.headers.get("X-Forwarded-For", "")),
        device=device(agent),
        mobile=mobile,
        kind=kind(agent, mobile=mobile),
        captcha=request.POST.get("g-recaptcha-response", "")[:8192] if settings.CAPTCHA_PROVIDER else "",
    )


def client_address(peer: str, forwarded: str) -> str:
    """The customer's IP address, or "" when there is none to believe.

    Each of our TRUSTED_PROXY_COUNT proxies appends the address it was called from, so the customer's is that many
    from the right; whatever stands further left is the sender's own text.
    """
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    count = settings.TRUSTED_PROXY_COUNT
    text = hops[-count] if count and len(hops) >= count else peer
    bare = re.sub(r"^\[([0-9a-fA-F:.]+)\](:\d+)?$|^([0-9.]+):\d+$", r"\1\3", text)
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return ""
    if not isinstance(found, ipaddress.IPv6Address):
        return str(found)
    if found.scope_id is not None:  # any text may stand behind its %, and nobody comes from there
        return ""
    return str(found.ipv4_mapped or found)  # one address, one spelling: limits count by it


def device(user_agent: str) -> str:
    """Browser, system and model as one short line: "Chrome Mobile 140, Android 14, Pixel 7"."""
    found = parse(user_agent)
    parts = []
    if found.user_agent:
        parts.append(" ".join(filter(None, (found.user_agent.family, found.user_agent.major))))
    if found.os:
        parts.append(" ".join(filter(None, (found.os.family, found.os.major))))
    if found.device and found.device.model:
        parts.append(found.device.family)
    return re.sub(r"[^\x20-\x7e]", "", ", ".join(parts))[:100]


def is_mobile(hint: str, user_agent: str) -> bool:
    """By the client hint where there is one (`?1` or `?0`), else by the user agent."""
    return hint == "?1" if hint in ("?0", "?1") else bool(_PHONE.search(user_agent))


def kind(user_agent: str, *, mobile: bool) -> Device:
    """Phone, tablet or neither. Tablets of today often call themselves desktops; nothing can be done about those."""
    if _TABLET.search(user_agent):
        return Device.TABLET
    return Device.PHONE if mobile else Device.DESKTOP
