"""The upstream's signature and its way of encrypting bodies (docs/upstream.md 5). Pure but for the padding.

Neither MD5 nor PKCS#1 v1.5 is our choice: both are the upstream's protocol. TLS protects the transport.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

SEGMENT = 100  # characters before encryption, what the upstream's own clients use
SMALLEST_KEY = 1024  # bits: a segment of 100 bytes and 11 of padding have to fit
# What JavaScript's encodeURIComponent leaves alone besides letters, digits and "_.-~".
_UNESCAPED = "!'()*"


def canonical(body: Mapping[str, Any], timestamp: int) -> str:
    """The text that is signed: `timestamp=T&` and the sorted `key=value` pairs, `timestamp` among them again.

    Only top-level numbers and non-empty strings take part; booleans, nulls, lists, objects and "" do not.
    """
    entries = {key: value for key, value in body.items() if key != "signature"}
    entries["timestamp"] = timestamp
    pairs = [f"{key}={value}" for key, value in sorted(entries.items()) if _takes_part(value)]
    return "&".join([f"timestamp={timestamp}", *pairs])


def sign(body: Mapping[str, Any], timestamp: int) -> str:
    """Upper-case hexadecimal MD5 of the canonical text. `timestamp` is epoch milliseconds."""
    return hashlib.md5(canonical(body, timestamp).encode(), usedforsecurity=False).hexdigest().upper()


def signed_text(body: Mapping[str, Any], timestamp: int) -> str:
    """The signed body as compact JSON, percent-encoded as a whole: ASCII, ready to be cut into segments.

    Every entry of the body is in it, those that the signature leaves out included.
    """
    entries = {key: value for key, value in body.items() if key not in ("signature", "timestamp")}
    whole = {"signature": sign(body, timestamp), **entries, "timestamp": timestamp}
    return quote(json.dumps(whole, ensure_ascii=False, separators=(",", ":")), safe=_UNESCAPED)


def segments(text: str) -> list[str]:
    """Pieces of at most 100 characters. A cut inside a `%XX` is fine: the other side joins, then decodes."""
    return [text[start : start + SEGMENT] for start in range(0, len(text), SEGMENT)]


def encrypt(text: str, key: RSAPublicKey) -> str:
    """Each segment encrypted for the key, base64, joined by commas: the value of `data` on the wire."""
    return ",".join(
        base64.b64encode(key.encrypt(piece.encode("ascii"), PKCS1v15())).decode("ascii") for piece in segments(text)
    )


def protect(body: Mapping[str, Any], timestamp: int, key: RSAPublicKey) -> dict[str, str]:
    """What goes over the wire in place of `body` when the tenant has a key."""
    return {"data": encrypt(signed_text(body, timestamp), key)}


def load_public_key(text: str) -> RSAPublicKey:
    """The tenant's RSA key from PEM (line ends may be written as \\n) or base64 DER. Else ValueError."""
    text = text.strip()
    try:
        if text.startswith("-----BEGIN"):
            key = load_pem_public_key(text.replace("\\n", "\n").encode())
        else:
            key = load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm, UnicodeError) as exc:
        raise ValueError("The upstream's public key is neither PEM nor base64 DER (SubjectPublicKeyInfo).") from exc
    if not isinstance(key, RSAPublicKey):
        raise ValueError("The upstream's public key is not an RSA key.")
    if key.key_size < SMALLEST_KEY:
        raise ValueError(f"The upstream's public key has {key.key_size} bits; at least {SMALLEST_KEY} are needed.")
    return key


def _takes_part(value: Any) -> bool:
    if isinstance(value, float):
        # 1.0 and 1e21 print differently in JavaScript, Java and Python: two sides would sign two texts.
        raise TypeError("Signed bodies carry whole numbers only.")
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, str) and value != "")
