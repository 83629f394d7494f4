"""Who may frame our pages, who may post to them, and the headers that say so on every response.

Customer pages know no cookie, so nothing is authorised by one: the handle in the address is the right to act, and an
unsafe request must come from a page of ours (docs/architecture.md, "Cross-site requests").
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_CAPTCHA_HOSTS = {
    "recaptcha": ("https://www.google.com/recaptcha/", "https://www.gstatic.com/recaptcha/"),
    "recaptcha.net": ("https://www.recaptcha.net/recaptcha/", "https://www.gstatic.cn/recaptcha/"),
}
CAPTCHA_SCRIPTS = {
    "recaptcha": "https://www.google.com/recaptcha/api.js",
    "recaptcha.net": "https://www.recaptcha.net/recaptcha/api.js",
}


class SecurityHeaders:
    """Sets the policy headers on every response, errors included. Views name the frame's origins by `allow_framing`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response["Content-Security-Policy"] = content_security_policy(getattr(request, "frame_origins", ()))
        response["Permissions-Policy"] = "camera=(self), geolocation=(), microphone=(), payment=(), usb=()"
        if not request.path.startswith(settings.STATIC_URL):
            response.setdefault("Cache-Control", "no-store")
        return response


def allow_framing(request: HttpRequest, origins: Iterable[str]) -> None:
    """From now on the response to this request may be framed by exactly these origins."""
    request.frame_origins = tuple(origins)  # type: ignore[attr-defined]


def content_security_policy(frame_origins: Iterable[str]) -> str:
    """No inline script or style exists, so none is allowed; nothing comes from elsewhere unless a CAPTCHA is set up."""
    captcha = " ".join(_CAPTCHA_HOSTS.get(settings.CAPTCHA_PROVIDER, ()))
    parts = {
        "default-src": "'none'",
        "script-src": f"'self' {captcha}".strip(),
        "worker-src": "'self'",  # the solver of a proof of work
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "frame-src": captcha or "'none'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": frame_ancestors(frame_origins),
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def frame_ancestors(origins: Iterable[str]) -> str:
    """Who may frame, as the policy spells it."""
    return " ".join(origins) or "'none'"


def is_foreign(request: HttpRequest) -> bool:
    """Whether an unsafe request comes from somebody else's page.

    Browsers say where a request comes from in `Sec-Fetch-Site` (over https and on loopback) and in `Origin`. Where both
    are missing no browser of today has sent it, so nobody's page did: the signed landing or handle decides then.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site != "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and origin not in own_origins(request)


def own_origins(request: HttpRequest) -> tuple[str, str]:
    """The origin this request was sent to, and the configured public one."""
    public = urlsplit(settings.PUBLIC_URL)
    return f"{request.scheme}://{request.get_host()}", f"{public.scheme}://{public.netloc}"


# -- The partner's script ----------------------------------------------------------------------------------------------

# A partner may pin a version by its hash, so a released file never changes: the next one gets another number, and the
# file as it was stays beside it as `embed-<version>.js` (tests/unit/test_house.py holds the hashes).
EMBED_VERSION = "1.0.0"


def embed_script(version: str) -> bytes | None:
    """The script of this version; None when it never was released."""
    return embed_scripts().get(version)


@cache
def embed_scripts() -> dict[str, bytes]:
    """Every released version. What is asked for is anybody's text, so nothing is kept by it."""
    folder = Path(settings.BASE_DIR) / "static" / "js"
    earlier = {path.stem.removeprefix("embed-"): path.read_bytes() for path in folder.glob("embed-*.js")}
    return {**earlier, EMBED_VERSION: (folder / "embed.js").read_bytes()}


def integrity(script: bytes) -> str:
    """What the attribute `integrity` of a script tag wants to see."""
    return "sha384-" + base64.b64encode(hashlib.sha384(script).digest()).decode()
