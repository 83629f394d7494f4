"""How the upstream talks: requests, envelopes, failures, and the opening of signed and encrypted bodies.

Written from the description of the protocol alone. It must not import the project's client: the two are
compared with each other in the tests, so neither may lean on the other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .messages import language, producer, text

if TYPE_CHECKING:
    from .state import Customer

# Calls per minute and endpoint are told on every reply; the middle name is misspelt by the real gateway.
LIMIT_HEADER = "x-ratelimit-limit"
REMAINING_HEADER = "x-ratelimit-remairing"
RESET_HEADER = "x-ratelimit-reset"


class Headers(dict[str, str]):
    """Request headers in their original case that can be looked up in any case."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        super().__init__(pairs)
        self._original = {name.lower(): name for name in pairs}

    def __missing__(self, name: str) -> str:
        original = self._original.get(name.lower())
        if original is None or original == name:
            raise KeyError(name)
        return dict.__getitem__(self, original)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._original

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default


class Fault(StrEnum):
    """What goes wrong on the line after the work was done."""

    NONE = "none"
    DROP = "drop"
    HANG = "hang"
    ERROR500 = "error500"
    GARBAGE = "garbage"


class Failure(Exception):
    """An answer other than success. `bare` leaves out `ok` and `fail`, as replies made by the gateway itself
    do.
    """

    def __init__(
        self,
        code: str,
        *,
        data: Any = None,
        params: str | None = None,
        bare: bool = False,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.data = data
        self.params = params
        self.bare = bare


class RawAnswer(Exception):
    """An answer that is no envelope: a rate limit, a puzzle page."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.status))
        self.reply = reply


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived."""

    method: str
    path: str
    query: str
    headers: Headers
    raw: bytes
    base_url: str

    def header(self, name: str) -> str:
        return str(self.headers.get(name, "")).strip()


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json;charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = ()
    fault: Fault = Fault.NONE
    code: str = ""


@dataclass(frozen=True)
class Answer:
    """A success whose envelope says more than `data`."""

    data: Any
    params: str | None = None
    msg: str | None = None


@dataclass
class Call:
    """A request on its way through the gateway; `fault` may be set by the work done for it."""

    request: Request
    biz_type: str
    body: dict[str, Any] = field(default_factory=dict)
    encrypted: bool = False
    signature_ok: bool | None = None
    customer: Customer | None = None
    fault: Fault = Fault.NONE

    @property
    def lang(self) -> str:
        return language(self.request.header("lang"))

    def owner(self) -> Customer:
        if self.customer is None:
            raise Failure("GATEWAY_CODE_001")
        return self.customer


def success(call: Call, result: Any, elapsed_ms: int) -> Reply:
    answer = result if isinstance(result, Answer) else Answer(result)
    envelope = {
        "code": "0",
        "msg": answer.msg or text("0", call.lang),
        "bizCode": "",
        "tm": elapsed_ms,
        "trace": call.request.header("trace"),
        "msgParams": answer.params,
        "data": answer.data,
        "ok": True,
        "fail": False,
    }
    return _json(envelope, fault=call.fault)


def failure(call: Call, problem: Failure, elapsed_ms: int) -> Reply:
    envelope: dict[str, Any] = {
        "msg": text(problem.code, call.lang, problem.params),
        "code": problem.code,
        "bizCode": producer(problem.code),
    }
    if problem.code == "F999999":  # the captcha filter answers with these three fields and nothing else
        return _json(envelope)
    # On failure `data` names the service that was called; it never holds a payload, but for one good outcome.
    envelope["data"] = call.biz_type if problem.data is None else problem.data
    envelope["trace"] = call.request.header("trace")
    if not problem.bare:
        envelope |= {"tm": elapsed_ms, "msgParams": problem.params, "ok": False, "fail": True}
    return _json(envelope, fault=call.fault)


def _json(envelope: dict[str, Any], fault: Fault = Fault.NONE) -> Reply:
    # Half a character, as a test may ask for (asked.py), goes out as JSON writes it: \ud800.
    body = json.dumps(envelope, ensure_ascii=False).encode(errors="backslashreplace")
    return Reply(200, body, fault=fault, code=envelope["code"])


def parse_object(raw: bytes | str) -> dict[str, Any]:
    """A JSON object, or GATEWAY_CODE_015."""
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise Failure("GATEWAY_CODE_015") from exc
    if not isinstance(value, dict):
        raise Failure("GATEWAY_CODE_015")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def is_sealed(body: Mapping[str, Any]) -> bool:
    return set(body) == {"data"} and isinstance(body["data"], str)


class KeyPair:
    """The company's key. 1024 bit, because the platform's own tools make such keys and clients cut every 100
    characters, which just fits."""

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=1024)

    @property
    def public_key(self) -> str:
        der = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(der).decode()

    def unseal(self, sealed: str, timestamp: str) -> dict[str, Any]:
        """Decrypt, decode, verify. Any flaw is GATEWAY_CODE_015, without saying which.

        The segments may have been cut anywhere, within an escape too; the text is decoded as the Java server
        does it, so an unescaped plus becomes a blank and spoils the signature.
        """
        try:
            segments = [base64.b64decode(part, validate=True) for part in sealed.split(",")]
            encoded = b"".join(self._private.decrypt(part, padding.PKCS1v15()) for part in segments)
            plain = unquote_plus(encoded.decode("ascii"), errors="strict")
        except (ValueError, binascii.Error) as exc:
            raise Failure("GATEWAY_CODE_015") from exc
        body = parse_object(plain)
        signature = body.pop("signature", None)
        stamp = body.get("timestamp")
        if isinstance(stamp, bool) or not isinstance(stamp, int) or str(stamp) != timestamp:
            raise Failure("GATEWAY_CODE_015")
        if signature != sign(body, stamp):
            raise Failure("GATEWAY_CODE_015")
        return body


def sign(body: Mapping[str, Any], timestamp: int) -> str:
    """The signature that the server expects: numbers and non-empty strings of the top level, by code-unit
    order.
    """
    pairs = {
        key: str(value)
        for key, value in body.items()
        if (isinstance(value, str) and value) or (isinstance(value, (int, float)) and not isinstance(value, bool))
    }
    names = sorted(pairs, key=lambda name: name.encode("utf-16-be"))
    joined = "&".join([f"timestamp={timestamp}", *(f"{name}={pairs[name]}" for name in names)])
    return hashlib.md5(joined.encode(), usedforsecurity=False).hexdigest().upper()
