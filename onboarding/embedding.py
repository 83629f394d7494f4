"""Who may frame our pages, who may post to them, and the headers that say so on every response.

Customer pages know no cookie, so nothing is authorised by one: the handle in the address is the right to act, and an
unsafe request must come from a page of ours (docs/architecture.md, "Cross-site requests").
"""

from __future__ import annotations

import base64
import codecs
import hashlib
import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core import signing
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from onboarding.domain.partner import origin_of
from onboarding.metrics import FRAMES_REFUSED

_BACK_SALT = "onboarding.way-back"

_CAPTCHA_HOSTS = {
    "recaptcha": ("https://www.google.com/recaptcha/", "https://www.gstatic.com/recaptcha/"),
    "recaptcha.net": ("https://www.recaptcha.net/recaptcha/", "https://www.gstatic.cn/recaptcha/"),
}
CAPTCHA_SCRIPTS = {
    "recaptcha": "https://www.google.com/recaptcha/api.js",
    "recaptcha.net": "https://www.recaptcha.net/recaptcha/api.js",
}

CONSOLE = "/admin/"  # its scripts are Django's files, whose tags know no nonce
POLICY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",  # but for embed.js and static files
    "Permissions-Policy": (
        "accelerometer=(), camera=(self), display-capture=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), "
        "microphone=(), midi=(), payment=(), serial=(), usb=()"
    ),
    "Cache-Control": "no-store",  # whatever is no file of ours for everybody holds, or may hold, a person's data
}


class Nonce:
    """Allows the scripts of one response: made when a template first writes it, so a page without scripts allows none.

    Always 22 characters, so that a page kept as bytes can have it put in.
    """

    value = ""

    def __str__(self) -> str:
        self.value = self.value or secrets.token_urlsafe(16)
        return self.value


class SecurityHeaders:
    """Sets the policy headers on every response, errors included. Views name the frame's origins by `allow_framing`.

    Outermost, and alone responsible: what answers instead of a view (a wrong host, a redirect to https, a static file)
    passes no other middleware for certain. Only HSTS and that redirect are left to Django's.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        nonce = request.csp_nonce = Nonce()  # type: ignore[attr-defined]
        response = self.get_response(request)
        framed = request.headers.get("Sec-Fetch-Dest") in ("iframe", "frame")
        if (
            framed
            and request.headers.get("Sec-Fetch-Site") != "same-origin"
            and not getattr(request, "frame_origins", ())
        ):
            FRAMES_REFUSED.inc()
        scripts = "'self'" if request.path.startswith(CONSOLE) else f"'nonce-{nonce}'" if nonce.value else ""
        response["Content-Security-Policy"] = content_security_policy(getattr(request, "frame_origins", ()), scripts)
        if request.path.startswith(settings.STATIC_URL):  # a sandboxed frame of ours is another origin to its own files
            response.setdefault("Cross-Origin-Resource-Policy", "cross-origin")
        for name, value in POLICY_HEADERS.items():
            response.setdefault(name, value)
        return response


def utf8_only(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuses a request that names another charset, before its query or body is read with it.

    Every page of ours is UTF-8, so no form comes back otherwise; and Python knows codecs, such as `hex`, that make no
    text of bytes and would end in an error.
    """

    def checked(request: HttpRequest) -> HttpResponse:
        if request.encoding and codecs.lookup(request.encoding).name != "utf-8":
            request.encoding = "utf-8"  # so that the page which says no can be drawn
            raise BadRequest("a charset other than UTF-8")
        return get_response(request)

    return checked


def allow_framing(request: HttpRequest, origins: Iterable[str]) -> None:
    """From now on the response to this request may be framed by exactly these origins."""
    request.frame_origins = tuple(origins)  # type: ignore[attr-defined]


def content_security_policy(frame_origins: Iterable[str], scripts: str = "") -> str:
    """No inline script or style exists, so none is allowed; nothing comes from elsewhere unless a CAPTCHA is set up.

    `scripts`: those of this response. No `'self'` on the customer's pages: markup that somebody smuggles in could name
    a file of ours, but not the nonce.
    """
    captcha = " ".join(_CAPTCHA_HOSTS.get(settings.CAPTCHA_PROVIDER, ()))
    parts = {
        "default-src": "'none'",
        "script-src": f"{scripts} {captcha}".strip() if scripts else "'none'",
        "worker-src": "'self'",  # the solver of a proof of work
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "frame-src": captcha or "'none'",
        "object-src": "'none'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": frame_ancestors(frame_origins),
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def frame_ancestors(origins: Iterable[str]) -> str:
    """Who may frame, as the policy spells it."""
    return " ".join(origins) or "'none'"


FRESH = timedelta(minutes=15)


def is_foreign(request: HttpRequest) -> bool:
    """Whether an unsafe request comes from somebody else's page.

    Browsers say where a request comes from in `Sec-Fetch-Site` (over https and on loopback) and in `Origin`.
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site != "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and origin not in own_origins(request)


def is_silent(request: HttpRequest) -> bool:
    """Whether a request does not say where it comes from: of a very old browser, or through a tool that strips it.

    Whoever sends it must have been here within FRESH: the landing signed, or the flow touched, so recently. Long enough
    to find one's passport; short against the time for which an address lies in a history or a chat.
    """
    return "Sec-Fetch-Site" not in request.headers and "Origin" not in request.headers


def way_back(reference: str) -> str:
    """What a page of this flow gives along, so that a silent browser can show that it has just been there."""
    return signing.dumps(reference, salt=_BACK_SALT)


def is_way_back(text: str, reference: str) -> bool:
    try:
        return bool(signing.loads(text, salt=_BACK_SALT, max_age=FRESH) == reference)
    except signing.BadSignature:
        return False


def own_origins(request: HttpRequest) -> tuple[str, str]:
    """The origin this request was sent to, and the configured public one, as browsers spell them."""
    return origin_of(f"{request.scheme}://{request.get_host().lower()}"), origin_of(settings.PUBLIC_URL)


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
