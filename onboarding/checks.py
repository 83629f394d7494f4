"""Contradictory settings stop the start with one sentence each; so does what is meant for trying things out only.

`settings.py` refuses what is wrong by itself; here is what needs a second look: at two settings, or at a value that is
well-formed and still cannot be meant. No sentence quotes a secret. Must not import models: it runs before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core import checks
from django.http.request import validate_host
from pydantic import TypeAdapter, ValidationError

from onboarding.domain.hosts import is_loopback, is_public
from onboarding.domain.partner import wrong_origins
from onboarding.upstream.signing import load_public_key
from onboarding.upstream.wire import CustomerGroup

_HOST = re.compile(r"[\w.-]+|[0-9a-f:]*:[0-9a-f:.]*")  # a name or an IP address, without port and brackets
# Words of templates that wait to be replaced, and of documents, examples and fingers: no random key has them.
_PLACEHOLDER_KEY = re.compile(r"change.?me|insecure|placeholder|replace.?me|your.?(?:key|secret)", re.IGNORECASE)
_EXAMPLE_KEY = re.compile(
    r"example|replace|default|secret.?key|password|for.?tests|only.?for|0123456789|1234567890|abcdefgh|qwerty",
    re.IGNORECASE,
)
SHORTEST_TOKEN = 16  # characters of METRICS_TOKEN: a scraper has all the time in the world to guess

Found = Iterator[tuple[int, str]]


def check_settings(**_kwargs: Any) -> list[checks.CheckMessage]:
    """Every contradiction between settings, as Django system check errors E001 and on."""
    groups = (_upstream(), _own_address(), _keys(), _offered(), _links(), _others())
    return [checks.Error(text, id=f"onboarding.E{number:03}") for group in groups for number, text in group]


def _parts(address: str) -> SplitResult | None:
    """The address in its parts; None for what no client could call, or where we look for `https://` and miss it."""
    if any(ch.isspace() or not ch.isprintable() for ch in address) or not address.startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(address)
        _port = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None


# -- The upstream ------------------------------------------------------------------------------------------------------


def _upstream() -> Found:
    base = _parts(settings.UPSTREAM_BASE_URL)
    if base is None:
        yield 1, "UPSTREAM_BASE_URL must be set to the upstream's address, such as https://host/api."
    elif base.query or base.fragment or "@" in base.netloc:
        yield 21, "UPSTREAM_BASE_URL must hold host and path only: no name, no password, nothing behind a ? or #."
    elif base.scheme == "http" and not is_loopback(base.hostname or ""):
        yield 2, "UPSTREAM_BASE_URL must use https outside loopback: it carries identities."
    elif is_loopback(base.hostname or "") and _is_open_to_strangers() and not settings.UPSTREAM_IS_PROXIED:
        # The sandbox speaks plain http, and E002 keeps that on loopback: so it can be nowhere else.
        yield (
            22,
            (
                "UPSTREAM_BASE_URL leads to this machine, where the sandbox is, but PUBLIC_URL is public: name the "
                "platform, or set UPSTREAM_IS_PROXIED=true when a proxy of yours to the platform listens there."
            ),
        )
    yield from _upstream_details()


def _upstream_details() -> Found:
    if settings.REQUEST_BUDGET_SECONDS * 2 < settings.UPSTREAM_READ_TIMEOUT:
        # A call that was given so little time says nothing of the upstream: no time-out would open a circuit.
        yield 29, "REQUEST_BUDGET_SECONDS must be at least half of UPSTREAM_READ_TIMEOUT."
    for name in ("UPSTREAM_COMPANY_ID", "UPSTREAM_VERSION"):
        if not re.fullmatch(r"[!-~]+", getattr(settings, name)):
            yield 3, f"{name} must be set, without spaces: it is a header of every call to the upstream."
    if settings.UPSTREAM_PUBLIC_KEY:
        try:
            load_public_key(settings.UPSTREAM_PUBLIC_KEY)
        except ValueError as exc:
            yield 9, f"UPSTREAM_PUBLIC_KEY cannot be read: {exc}"
    if bool(settings.CAPTCHA_PROVIDER) != bool(settings.CAPTCHA_SITE_KEY):
        yield 4, "CAPTCHA_PROVIDER and CAPTCHA_SITE_KEY must be set both or neither: CAPTCHA_SITE_KEY names the site."
    if settings.FLOW_IDLE_MINUTES * 60 <= settings.UPSTREAM_CONNECT_TIMEOUT + settings.UPSTREAM_READ_TIMEOUT:
        yield 23, "FLOW_IDLE_MINUTES must last longer than UPSTREAM_READ_TIMEOUT: a flow would expire while it waits."


# -- Our own address ---------------------------------------------------------------------------------------------------


def _is_open_to_strangers() -> bool:
    public = _parts(settings.PUBLIC_URL)
    return public is not None and is_public(public.hostname or "")


def _own_address() -> Found:
    if not settings.DEBUG and not settings.ALLOWED_HOSTS:
        yield 5, "ALLOWED_HOSTS must name the hosts that this front end answers for."
    public = _parts(settings.PUBLIC_URL)
    if public is None or public.path or public.query or public.fragment or "@" in public.netloc:
        yield 6, "PUBLIC_URL must be an origin such as https://onboarding.example, without a path."
        return
    strangers = sorted({host for host in (*settings.ALLOWED_HOSTS, public.hostname or "") if is_public(host)})
    if settings.DEBUG and strangers:
        yield 24, f"DEBUG must be off where strangers come, it shows tracebacks: {strangers[0]!r} is a public host."
    elif "*" in settings.ALLOWED_HOSTS:
        yield 25, "ALLOWED_HOSTS must name hosts: with * any name that leads here counts as our own."
    elif settings.ALLOWED_HOSTS and not validate_host(public.hostname or "", settings.ALLOWED_HOSTS):
        yield 26, "ALLOWED_HOSTS must have the host of PUBLIC_URL among them, or our own links are refused."
    elif strangers and not is_public(public.hostname or ""):
        yield (
            27,
            f"PUBLIC_URL must be the public address: ALLOWED_HOSTS names {strangers[0]!r}.",
        )
    elif public.scheme == "http" and is_public(public.hostname or ""):
        yield 28, "PUBLIC_URL must use https outside loopback: identities are entered there."


# -- Keys --------------------------------------------------------------------------------------------------------------


def _is_known(key: str) -> bool:
    """Whether others may know it. Where no stranger comes, one that reads like a key for trials is just that."""
    if settings.DEBUG:
        return False
    return bool(_PLACEHOLDER_KEY.search(key) or (_is_open_to_strangers() and _EXAMPLE_KEY.search(key)))


def _keys() -> Found:
    if _is_known(settings.SECRET_KEY):
        yield 31, "SECRET_KEY must be random: this one comes from a document or an example, and others know it."
    if "," in settings.SECRET_KEY or settings.SECRET_KEY != settings.SECRET_KEY.strip():
        yield 32, "SECRET_KEY must hold no comma and no space at its ends: SECRET_KEY_FALLBACKS could never name it."
    if any(_is_known(key) for key in settings.SECRET_KEY_FALLBACKS):
        yield 33, "SECRET_KEY_FALLBACKS must hold random keys only: whoever knows one of them can sign with it."
    token = settings.METRICS_TOKEN
    shortest = SHORTEST_TOKEN if _is_open_to_strangers() else 1
    if token and (len(token) < shortest or not re.fullmatch(r"[!-~]+", token)):
        yield 34, f"METRICS_TOKEN must have at least {shortest} printable characters, without spaces."
    if token and token in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        yield 35, "METRICS_TOKEN must not be SECRET_KEY: whoever reads metrics could open the database."


# -- What is offered ---------------------------------------------------------------------------------------------------


def _offered() -> Found:
    offered = {code.upper() for code in settings.COUNTRIES}
    if settings.DEFAULT_COUNTRY and offered and settings.DEFAULT_COUNTRY.upper() not in offered:
        yield 7, "DEFAULT_COUNTRY must be one of COUNTRIES."
    try:
        groups = TypeAdapter(dict[str, CustomerGroup]).validate_python(settings.CUSTOMER_GROUPS)
    except ValidationError as exc:
        where = ".".join(str(part) for part in exc.errors()[0]["loc"])
        yield 10, f"CUSTOMER_GROUPS is wrong at {where or 'its top'}: {exc.errors()[0]['msg']}."
        groups = {}
    strange = sorted(code for code in groups if code != "*" and offered and code.upper() not in offered)
    if strange:
        yield (
            41,
            f"CUSTOMER_GROUPS names {strange[0]!r}, which is none of COUNTRIES: nobody would be in that group.",
        )
    for name in ("CHANNELS", "ACCOUNT_TYPES"):
        if len(set(getattr(settings, name))) < len(getattr(settings, name)):
            yield 42, f"{name} must name each only once."
    if settings.SMS_COUNTRIES and "phone" not in settings.CHANNELS:
        yield 45, "SMS_COUNTRIES is set, but no code goes by text message: CHANNELS does not name phone."


# -- Links -------------------------------------------------------------------------------------------------------------


def _links() -> Found:
    for name in ("TERMS_URL", "PRIVACY_URL", "SUPPORT_URL", "SIGN_IN_URL", "CONTINUE_URL"):
        address = getattr(settings, name)
        known = {"lang", "token"} if name == "CONTINUE_URL" else {"lang"}
        unknown = sorted(set(re.findall(r"\{(\w*)\}", address)) - known)
        if address and _parts(address) is None:
            yield 11, f"{name} must be an address that begins with https://."
        elif unknown:
            yield 43, f"{name} holds {{{unknown[0]}}}, which nothing replaces there."
    way_on = _parts(settings.CONTINUE_URL)
    if way_on and "{token}" in settings.CONTINUE_URL and way_on.scheme == "http" and is_public(way_on.hostname or ""):
        yield 44, "CONTINUE_URL must use https: its {token} is the customer's session."


# -- The rest ----------------------------------------------------------------------------------------------------------


def _others() -> Found:
    wrong = wrong_origins(settings.EMBED_ORIGINS)
    if wrong:
        yield 8, f"EMBED_ORIGINS must list exact origins such as https://partner.example, not {wrong[0]!r}."
    wrong_hosts = [host for host in settings.WEBHOOK_PRIVATE_HOSTS if not _HOST.fullmatch(host)]
    if wrong_hosts:
        yield 12, f"WEBHOOK_PRIVATE_HOSTS must list hosts such as crm.internal, not {wrong_hosts[0]!r}."
    yield from _database(settings.DATABASES["default"])


def _database(database: dict[str, Any]) -> Found:
    name = str(database.get("NAME") or "")
    if not name or ("sqlite" in database["ENGINE"] and (":memory:" in name or "mode=memory" in name)):
        yield 51, "DATABASE_URL must name a file or a database that lasts: every thread would have one of its own."


def sentences(found: Iterable[checks.CheckMessage]) -> str:
    """What stops a start, on one line."""
    return " ".join(str(message.msg) for message in found if message.level >= checks.ERROR)
