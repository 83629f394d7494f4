"""The signature and the encryption of bodies (docs/upstream.md 5). Keys are made afresh on every run."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from onboarding.upstream.signing import (
    canonical,
    encrypt,
    load_public_key,
    protect,
    segments,
    sign,
    signed_text,
)

T = 1760000000123
BODY: dict[str, Any] = {
    "type": 2,
    "loginName": "13800138000",
    "registerSource": 1,
    "verifyCode": "482913",
    "sendToken": "38caf08b-fafd-4cb5-b36c-ebdd1878b974",
    "utmSource": "spring promo",
    "utmMedium": "",
    "protocol": True,
    "tradeTypeCurrencyList": [{"tradeType": "1", "allCurrency": "USD,USDT"}],
    "customerGroupId": 1,
    "country": "CN",
    "openAccountType": 0,
    "phoneArea": "+86",
    "utmTerm": None,
}


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def der(key: Any) -> str:
    found = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(found).decode()


def decrypt(data: str, key: rsa.RSAPrivateKey) -> str:
    pieces = [key.decrypt(base64.b64decode(piece), PKCS1v15()) for piece in data.split(",")]
    return b"".join(pieces).decode("ascii")


def test_the_time_stamp_stands_in_front_and_again_in_its_place() -> None:
    assert canonical(BODY, T) == (
        "timestamp=1760000000123&country=CN&customerGroupId=1&loginName=13800138000&openAccountType=0"
        "&phoneArea=+86&registerSource=1&sendToken=38caf08b-fafd-4cb5-b36c-ebdd1878b974"
        "&timestamp=1760000000123&type=2&utmSource=spring promo&verifyCode=482913"
    )


@pytest.mark.parametrize(
    ("body", "timestamp", "signature"),
    [
        (BODY, T, "5424DB37F7D1CB752C48708999933243"),
        ({}, T, "664E4ADD1E3C45D3EBE7408831E1FE44"),
        ({"parentCode": "-1"}, T, "030828B631D4FADBC898F409B924720F"),
        (
            {"bizType": "SMS_REGISTER_VERIFICATION_CODE", "toUser": "+86 13800138000", "country": "CN"},
            T,
            "D51F0D26AC0AB9903D1E42D4BCB12640",
        ),
        ({"parentCode": "USDT"}, 1722093946335, "5EF9837436D52991C79B7C0C4B007DAE"),
        ({"a": 1, "b": 2, "c": 3}, 11111131331, "43FFFF236AC1FE30AF4ED37A1CFF7C9D"),
    ],
)
def test_known_bodies_have_known_signatures(body: dict[str, Any], timestamp: int, signature: str) -> None:
    assert sign(body, timestamp) == signature


@pytest.mark.parametrize("value", [True, False, None, "", [], [1], {}, {"a": 1}])
def test_only_numbers_and_filled_texts_are_signed(value: Any) -> None:
    assert sign({"a": "b", "extra": value}, T) == sign({"a": "b"}, T)


def test_zero_and_a_blank_are_signed() -> None:
    assert "&a=0&b= &" in canonical({"a": 0, "b": " "}, T)


def test_a_signature_in_the_body_signs_nothing_and_is_replaced() -> None:
    assert signed_text({"signature": "x", "a": "b"}, T) == signed_text({"a": "b"}, T)


def test_fractions_are_refused_because_languages_print_them_differently() -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        sign({"a": 1.0}, T)


def test_everything_in_the_body_is_sent_signed_or_not() -> None:
    text = signed_text(BODY, T)
    assert len(text) == 614
    assert hashlib.sha256(text.encode()).hexdigest().startswith("eb686b73f3ea475a")
    sent = json.loads(unquote(text))
    assert list(sent) == ["signature", *BODY, "timestamp"]
    assert sent == {"signature": "5424DB37F7D1CB752C48708999933243", **BODY, "timestamp": T}


def test_the_text_is_cut_every_hundred_characters_even_inside_an_escape() -> None:
    pieces = segments(signed_text(BODY, T))
    assert [len(piece) for piece in pieces] == [100] * 6 + [14]
    assert pieces[0] == (
        "%7B%22signature%22%3A%225424DB37F7D1CB752C48708999933243%22%2C%22type%22%3A2%2C%22loginName%22%3A%22"
    )
    assert pieces[5].startswith("openAccountType%22%3A0%2C%22phoneArea%22%3A%22%2B86%22%2C%22utmTerm%22%3Anull")
    assert pieces[6] == "60000000123%7D"


def test_what_javascript_leaves_unescaped_stays_and_the_rest_is_escaped() -> None:
    text = signed_text({"a": "!'()*-._~ +/\"é中😀"}, T)
    assert "!'()*-._~%20%2B%2F%5C%22%C3%A9%E4%B8%AD%F0%9F%98%80" in text


def test_the_holder_of_the_private_key_reads_what_was_signed(private_key: rsa.RSAPrivateKey) -> None:
    key = load_public_key(der(private_key))
    wire = protect(BODY, T, key)
    assert list(wire) == ["data"]
    assert len(wire["data"]) == 7 * 172 + 6
    assert decrypt(wire["data"], private_key) == signed_text(BODY, T)


@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=80) | st.integers() | st.booleans() | st.none(), max_size=6)
)
def test_any_body_survives_the_way(body: dict[str, Any]) -> None:
    text = signed_text(body, T)
    assert text.isascii() and "".join(segments(text)) == text
    sent = json.loads(unquote(text))
    rest = {key: value for key, value in body.items() if key not in ("signature", "timestamp")}
    assert sent == {"signature": sign(rest, T), **rest, "timestamp": T}


def test_a_longer_key_works_too() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert decrypt(encrypt("a" * 250, load_public_key(der(private))), private) == "a" * 250


def test_a_key_may_be_der_or_pem_also_on_one_line(private_key: rsa.RSAPrivateKey) -> None:
    expected = private_key.public_key().public_numbers()
    pem = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    wrapped = "\n".join(segments(der(private_key)))
    for text in (der(private_key), wrapped, f"  {der(private_key)}\n", pem, pem.replace("\n", "\\n")):
        assert load_public_key(text).public_numbers() == expected


@pytest.mark.parametrize(
    "text", ["", "x", "garbage!", "AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA\n", "schlüssel", "\x00"]
)
def test_an_unreadable_key_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="public key"):
        load_public_key(text)


def test_a_key_that_is_not_rsa_is_refused() -> None:
    with pytest.raises(ValueError, match="not an RSA key"):
        load_public_key(der(ec.generate_private_key(ec.SECP256R1())))
