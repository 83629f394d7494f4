"""What rests in the database is sealed, and addresses are derived: everything that needs SECRET_KEY stands here.

Imports Django's settings and crypto helpers only. Keys: SECRET_KEY first, then SECRET_KEY_FALLBACKS, so that flows
begun under an earlier key go on after a rotation.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from functools import cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core import signing


class SealBroken(Exception):
    """The text was not sealed with any key we hold."""


@cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derived(key, "sealing", 32))) for key in keys])


def _derived(key: str, purpose: str, length: int) -> bytes:
    """A key of its own for each purpose, so that what one signs or seals is worth nothing elsewhere."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=f"onboarding.{purpose}".encode()).derive(
        key.encode()
    )


def _keys() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


def derived_keys(purpose: str) -> list[tuple[bytes, bytes]]:
    """Two keys for this purpose from each of our keys, the current one first."""
    pairs = (_derived(key, purpose, 64) for key in _keys())
    return [(pair[:32], pair[32:]) for pair in pairs]


def seal(value: Any) -> str:
    """The JSON of `value`, encrypted and authenticated."""
    return _fernet(_keys()).encrypt(json.dumps(value, separators=(",", ":")).encode()).decode()


def unseal(text: str) -> Any:
    """The inverse of `seal`; raises SealBroken when no key fits."""
    try:
        return json.loads(_fernet(_keys()).decrypt(text.encode()))
    except InvalidToken as exc:
        raise SealBroken("sealed under a key that is not configured any more") from exc


def resealed(text: str) -> str | None:
    """The same under SECRET_KEY itself; None when it is already. Raises SealBroken when no key fits."""
    with contextlib.suppress(InvalidToken):
        _fernet(_keys()[:1]).decrypt(text.encode())
        return None
    try:
        return _fernet(_keys()).rotate(text.encode()).decode()
    except InvalidToken as exc:
        raise SealBroken("sealed under a key that is not configured any more") from exc


# -- Handles: the addresses of flows -----------------------------------------------------------------------------------


def _signer() -> signing.Signer:
    return signing.Signer(salt="onboarding.handle", sep=".")


def derive_handle(*parts: str) -> str:
    """The signed handle that belongs to these parts.

    The same parts give the same handle under one SECRET_KEY: that is how a repeated POST finds the flow it began
    although the database holds only digests. Without the key it cannot be guessed from the parts.
    """
    text = "\x1f".join(parts)
    raw = hmac.new(settings.SECRET_KEY.encode(), b"onboarding.handle\x1f" + text.encode(), hashlib.sha256).digest()
    return _signer().sign(base64.urlsafe_b64encode(raw[:16]).decode().rstrip("="))


def handle_digest(handle: str) -> str | None:
    """What the database knows of a handle; None when its signature is not ours (no query is needed then)."""
    try:
        raw = _signer().unsign(handle)
    except signing.BadSignature:
        return None
    return hashlib.sha256(raw.encode()).hexdigest()


def fingerprint(*parts: str) -> str:
    """A keyed digest of parts that must not be readable in the database."""
    text = "\x1f".join(parts)
    return hmac.new(
        settings.SECRET_KEY.encode(), b"onboarding.fingerprint\x1f" + text.encode(), hashlib.sha256
    ).hexdigest()
