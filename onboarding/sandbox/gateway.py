"""The gateway in front of the services: routes, header checks, opening of bodies, idempotency, envelopes.

Imports nothing of this project. Every exception ends here as an envelope: a stand-in that crashes teaches
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import account, codes, dictionaries, kyc, protocol, registration, uploads
from .protocol import Call, Failure, RawAnswer, Reply, Request
from .state import RATE_WINDOW_SECONDS, InFlight, Key, State

MAX_AGE_SECONDS = 300
_VERSIONS = ("", "0.0.1")


@dataclass(frozen=True)
class Endpoint:
    """One call. `guard` runs before any work and is never cached under an idempotency key."""

    run: Callable[[Call, State], Any]
    needs_token: bool = False
    method: str = "POST"
    body: str = "json"  # or "none", "multipart"
    needed_headers: tuple[str, ...] = ()
    versions: tuple[str, ...] = _VERSIONS
    guard: Callable[[Call, State], None] | None = None


_CUSTOMER = "customer.app.CustomerWebApiService"
_KYC = "customer.app.KycWebApiService"
_DICT = "config.app.AppDictDubboService"
_MESSAGE = "message.app.VerificationApiService"

_GATEWAY_ROUTES: dict[str, Endpoint] = {
    f"/register/{_CUSTOMER}.register": Endpoint(
        registration.register, needed_headers=("version", "lang"), guard=registration.guard
    ),
    f"/login/{_CUSTOMER}.login": Endpoint(account.login),
    f"/global/{_MESSAGE}.verifyCodeSend": Endpoint(codes.send, versions=(*_VERSIONS, "0.0.2"), guard=codes.guard),
    f"/global/{_MESSAGE}.verifyCodeCheck": Endpoint(codes.check),
    f"/global/{_CUSTOMER}.checkStatus": Endpoint(account.check_status),
    f"/global/{_CUSTOMER}.checkCustomerExist": Endpoint(account.check_exists),
    f"/global/{_CUSTOMER}.bindLoginPwd": Endpoint(account.set_password, needs_token=True),
    f"/global/{_CUSTOMER}.findCustomerInfo": Endpoint(account.find_info, needs_token=True),
    f"/global/{_DICT}.getCountryListByParentCode": Endpoint(dictionaries.countries),
    f"/global/{_DICT}.getListByParentCode": Endpoint(dictionaries.options),
    f"/global/{_KYC}.findCompanyCountry": Endpoint(dictionaries.company_countries),
    f"/global/{_KYC}.findAllLevelKyc": Endpoint(kyc.find_level, needs_token=True),
    f"/global/{_KYC}.findAllBizKycList": Endpoint(kyc.list_levels, needs_token=True),
    f"/global/{_KYC}.kycLevelApply": Endpoint(kyc.apply_level, needs_token=True),
    f"/global/{_KYC}.kycApply": Endpoint(kyc.apply_business, needs_token=True),
    f"/global/{_KYC}.checkKycApply": Endpoint(kyc.check, needs_token=True),
    "/upload": Endpoint(uploads.upload, needs_token=True, body="multipart"),
    "/thirdExt/now": Endpoint(account.clock, body="none"),
}
# This one is reached without the gateway's segment, even by clients that put it everywhere else.
_DIRECT_ROUTES = {"/geoip/country": Endpoint(dictionaries.own_country, method="GET", body="none")}
_PREFIXES = ("/register/", "/login/", "/third/login/", "/global/")


def answer(request: Request, state: State) -> Reply:
    """The reply to a request under `/api`, with its rate-limit headers; never raises."""
    started = time.monotonic()
    target = request.path.removeprefix("/api")
    call = Call(request, biz_type=target.rpartition("/")[2])
    entry: dict[str, Any] = {
        "path": target.removeprefix("/cats-gateway"),
        "biz_type": call.biz_type,
        "headers": request.headers,
        "body": call.body,
        "encrypted": False,
        "signature_ok": None,
        "at": state.stamp(),
        "code": None,
    }
    with state.lock:
        state.calls.append(entry)
    left = state.spend(target)
    try:
        if left < 0:
            raise RawAnswer(Reply(429, b"Too Many Requests", "text/plain; charset=utf-8", code="429"))
        reply = _work(call, target, entry, state, started)
    except RawAnswer as raw:
        reply = raw.reply
    except Failure as problem:
        reply = protocol.failure(call, problem, _elapsed(started))
    except Exception:  # outermost: the upstream answers its own accidents with this code
        reply = protocol.failure(call, Failure("500"), _elapsed(started))
    entry["code"] = reply.code
    return _with_rate_headers(reply, state.rate_limit, max(left, 0))


def _work(call: Call, target: str, entry: dict[str, Any], state: State, started: float) -> Reply:
    endpoint = _find(target, call.request.method)
    _check_headers(call, endpoint, state)
    try:
        _open(call, endpoint, state)
    finally:
        entry |= {"body": call.body, "encrypted": call.encrypted, "signature_ok": call.signature_ok}
    if endpoint.needs_token:
        _check_token(call, state)
    key = _idempotency_key(call)
    if key is None:
        return _run(call, endpoint, state, started)
    match state.begin(key):
        case Reply() as cached:
            return cached
        case InFlight():
            raise Failure("GATEWAY_CODE_018", bare=True)
    reply: Reply | None = None
    try:
        reply = _run(call, endpoint, state, started)
    finally:
        # The reply is kept before any fault is played, so whoever asks again with the same key learns it.
        state.finish(key, None if reply is None else _clean(reply))
    return reply


def _run(call: Call, endpoint: Endpoint, state: State, started: float) -> Reply:
    if endpoint.guard is not None:
        endpoint.guard(call, state)
    try:
        return protocol.success(call, endpoint.run(call, state), _elapsed(started))
    except Failure as problem:
        # Cached like a success: the contract speaks of the first reply, not of the first good one.
        return protocol.failure(call, problem, _elapsed(started))


def _find(target: str, method: str) -> Endpoint:
    endpoint = _DIRECT_ROUTES.get(target) or _GATEWAY_ROUTES.get(target.removeprefix("/cats-gateway"))
    if endpoint is None:
        bare = target.removeprefix("/cats-gateway")
        known = any(route.rpartition("/")[2] == bare.rpartition("/")[2] for route in _GATEWAY_ROUTES)
        # A service that nobody knows, or a known one behind the wrong prefix.
        unknown_service = bare.startswith(_PREFIXES) and not known
        raise Failure("GATEWAY_CODE_002" if unknown_service else "GATEWAY_CODE_010")
    if method != endpoint.method:
        raise Failure("GATEWAY_CODE_016")
    return endpoint


def _check_headers(call: Call, endpoint: Endpoint, state: State) -> None:
    header = call.request.header
    company = header("companyId")
    if not company:
        raise Failure("GATEWAY_CODE_003")
    if state.company_id is not None and company != state.company_id:
        raise Failure("CUSTOMER_API_0000111")
    if not header("trace"):
        raise Failure("GATEWAY_CODE_004")
    if not all(header(name) for name in endpoint.needed_headers):
        raise Failure("GATEWAY_CODE_009")
    if header("version") not in endpoint.versions:
        raise Failure("GATEWAY_CODE_010")
    _check_timestamp(header("timestamp"), state)


def _check_timestamp(timestamp: str, state: State) -> None:
    """Prose asks for it, the interface files do not: it may be absent, but if sent it must be right."""
    if not timestamp:
        return
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise Failure("GATEWAY_CODE_015")
    if state.clock() - int(timestamp) / 1000 > MAX_AGE_SECONDS:
        raise Failure("GATEWAY_CODE_014")


def _open(call: Call, endpoint: Endpoint, state: State) -> None:
    """Fill `call.body`. A trace begins with `x-` exactly when the body is encrypted; uploads are free in
    that.
    """
    request = call.request
    if endpoint.body == "multipart" or (endpoint.body == "none" and not request.raw.strip()):
        return
    if not request.raw.strip():
        raise Failure("GATEWAY_CODE_006")
    if request.header("Content-Type").partition(";")[0].strip().lower() != "application/json":
        raise Failure("GATEWAY_CODE_016")
    call.body = protocol.parse_object(request.raw)
    call.encrypted = protocol.is_sealed(call.body)
    if call.encrypted:
        call.signature_ok = False
        call.body = state.keys().unseal(call.body["data"], request.header("timestamp"))
        call.signature_ok = True
    if request.header("trace").startswith("x-") != call.encrypted:
        raise Failure("GATEWAY_CODE_015")


def _check_token(call: Call, state: State) -> None:
    token = call.request.header("token")
    if not token:
        raise Failure("GATEWAY_CODE_001")
    call.customer = state.tokens.get(token)
    if call.customer is None:
        raise Failure("GATEWAY_CODE_005")


def _idempotency_key(call: Call) -> Key | None:
    """Body, trace and timestamp are no part of it: a changed body under an old key gets the old answer."""
    header = call.request.header
    key = header("idempotency-key")
    if not key or call.request.method != "POST":
        return None
    return (key, call.biz_type, header("version"), header("group"), header("companyId"))


def _clean(reply: Reply) -> Reply:
    return Reply(reply.status, reply.body, reply.content_type, reply.headers, code=reply.code)


def _with_rate_headers(reply: Reply, limit: int, left: int) -> Reply:
    rates = {
        protocol.LIMIT_HEADER: str(limit),
        protocol.REMAINING_HEADER: str(left),
        protocol.RESET_HEADER: str(RATE_WINDOW_SECONDS),
    } | dict(reply.headers)
    return Reply(reply.status, reply.body, reply.content_type, tuple(rates.items()), reply.fault, reply.code)


def _elapsed(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
