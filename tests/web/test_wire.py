"""Requests that no browser writes, byte for byte: each is answered, soon, and never as an error of ours."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from collections.abc import Callable

import pytest
import requests

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server

BOUNDARY = b"x"
FORM = b"application/x-www-form-urlencoded"


def send(server: Server, request: bytes, *, breaks_off: bool = False) -> bytes:
    """The whole answer; b"" when the server closed the line. Fails when nothing happens for ten seconds.

    `breaks_off`: nothing more is coming, as when somebody hangs up; the server then hangs up, too.
    """
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        with contextlib.suppress(ConnectionError):  # refused before all of it was sent
            line.sendall(request)
            if breaks_off:
                line.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(ConnectionError):
            while part := line.recv(65536):
                parts.append(part)
        return b"".join(parts)


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found or not answer, answer[:200]
    return int(found.group(1)) if found else 0


def post(path: bytes, body: bytes, content_type: bytes = FORM, *more: bytes, length: int | None = None) -> bytes:
    lines = [
        b"POST " + path + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", b"Content-Type: " + content_type,
        *more,
        b"Content-Length: %d" % (len(body) if length is None else length),
    ]  # fmt: skip
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target: bytes, *headers: bytes, host: bytes = b"127.0.0.1") -> bytes:
    return (
        b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *headers]) + b"\r\n\r\n"
    )


def part(disposition: bytes, content: bytes = b"1", *headers: bytes) -> bytes:
    return b"\r\n".join([b"--" + BOUNDARY, b"Content-Disposition: " + disposition, *headers, b"", content]) + b"\r\n"


END = b"--" + BOUNDARY + b"--\r\n"
MULTIPART = b"multipart/form-data; boundary=" + BOUNDARY
NESTED = b"multipart/mixed; boundary=y"
PARTS = {
    "no part": b"", "only the end": END, "no end": part(b'form-data; name="a"'),
    "no headers": b"--x\r\n\r\n1\r\n" + END,
    "no disposition": b"--x\r\nContent-Type: text/plain\r\n\r\n1\r\n" + END, "no name": part(b"form-data") + END,
    "unclosed quote": part(b'form-data; name="a') + END, "other disposition": part(b'attachment; name="a"') + END,
    "RFC 2231": part(b"form-data; name*=utf-8''%e2%82%ac; filename*0*=utf-8''a; filename*1=b") + END,
    "RFC 2231, bad": part(b"form-data; name*=nonsense''%zz%ff; filename*=utf-7''+AGE-") + END,
    "RFC 2231, unknown charset": part(b"form-data; name*=x-none''a") + END,
    "NUL": part(b'form-data; name="a\x00b"') + END,
    "path as name": part(b'form-data; name="a"; filename="../../../etc/passwd"') + END,
    "name of invisible": part(b'form-data; name="landing"; filename="\xe2\x80\xae\x00"') + END,
    "nested": part(b'form-data; name="a"', b"--y\r\n" + b"--y--", b"Content-Type: " + NESTED) + END,
    "deep": b"".join(part(b'form-data; name="a"', b"--y", b"Content-Type: " + NESTED) for _ in range(200)),
    "base64": part(b'form-data; name="a"', b"%%%", b"Content-Transfer-Encoding: base64") + END,
    "5000 parts": part(b'form-data; name="a"') * 1500 + END,
    "5000 files": part(b'form-data; name="a"; filename="a"', b"") * 900 + END,
    "long header of a part": part(b'form-data; name="' + b"a" * 40_000 + b'"') + END,
    "many headers of a part": part(b'form-data; name="a"', b"1", *[b"A: b"] * 3000) + END,
    "bad charset": part(b'form-data; name="a"', b"\xff\xfe", b"Content-Type: text/plain; charset=utf-16") + END,
    "not UTF-8": part(b'form-data; name="\xff\xfe"', b"\xff\xfe") + END,
}  # fmt: skip
BODIES = {
    "10,000 fields": b"&".join(b"f%d=1" % number for number in range(6000)),
    "the same field": b"a&" * 30_000, "percent": b"a=%&b=%z&%=%%", "overlong": b"email=%C0%AF%E0%80%AF",
    "NUL": b"email=%00&landing=%00",
    "surrogate": b"email=%ED%A0%80", "UTF-16": "landing=é".encode("utf-16"), "nothing": b"",
    "brackets": b"a[b][c]=1&a[]=2",
    "prototype": b"__proto__=1&constructor=2", "semicolons": b";" * 5000,
}  # fmt: skip
TYPES = (
    b"application/x-www-form-urlencoded; charset=utf-7", b"application/x-www-form-urlencoded; charset=utf-16",
    b"application/x-www-form-urlencoded; charset=nonsense", b"application/x-www-form-urlencoded; charset=\xff", b"",
    b"multipart/form-data", b"multipart/form-data; boundary=", b"multipart/form-data; boundary=" + b"b" * 300,
    b'multipart/form-data; boundary="\x00"', b"multipart/mixed; boundary=x", b"text/html", b"application/json", b"*/*",
    b"multipart/form-data; boundary=x; boundary=y", b"a" * 5000, b"multipart/form-data; boundary=x; charset=hex",
)  # fmt: skip
HEADERS = (
    b"X-Forwarded-For", b"X-Forwarded-Proto", b"Accept-Language", b"User-Agent", b"Referer", b"Origin",
    b"Sec-Fetch-Site",
    b"Sec-Fetch-Dest", b"Sec-GPC", b"Sec-CH-UA-Mobile", b"HX-Request", b"HX-Current-URL", b"HX-Target",
    b"Authorization",
    b"Cookie", b"Accept-Encoding", b"If-None-Match", b"If-Modified-Since", b"Range", b"Expect",
    b"X-HTTP-Method-Override",
    b"Content-Encoding", b"Upgrade", b"Trailer", b"Forwarded", b"X-Forwarded-Host",
)  # fmt: skip
VALUES = (
    b"\x7f", b"\xff\xfe", b"a" * 8000, b"\xe2\x80\xae", b"=?utf-8?b?PHN2Zz4=?=", b"<svg onload=alert(1)>",
    b"%0d%0aSet-Cookie: a=b",
    b"http://[::1", b"," * 3000, b";q=" * 500, b"9" * 300, b"../../", b"null", b"-1", b"bytes=0-,-1,5-2", b"\t", b"",
    b"a:b:c",
)  # fmt: skip


@pytest.fixture(scope="module")
def level(server: Server, sandbox: Sandbox) -> bytes:
    """The path of a flow in its level step."""
    customer = Customer(server, sandbox)
    customer.register()
    return customer.flow_url.removeprefix(server.url).encode()


def refused(answer: bytes, what: object) -> None:
    """Answered, and not as an error of ours."""
    assert status(answer) < 500, (what, answer[:300])


@pytest.mark.parametrize("what", PARTS)
def test_a_strange_multipart_body_is_answered_with_a_page(server: Server, level: bytes, what: str) -> None:
    for path in (b"/", level + b"level/", level + b"upload/", level + b"verify/"):
        answer = send(server, post(path, PARTS[what], MULTIPART))
        assert 400 <= status(answer) < 500, (what, path, answer[:300])
        assert b'id="step"' in answer or path.endswith(b"upload/")


@pytest.mark.parametrize("what", BODIES)
def test_a_strange_form_body_is_answered_with_a_page(server: Server, level: bytes, what: str) -> None:
    for path in (b"/", level + b"level/", level + b"password/"):
        answer = send(server, post(path, BODIES[what]))
        assert 400 <= status(answer) < 500, (what, path, answer[:300])
        assert b'id="step"' in answer


def test_no_type_of_a_body_is_an_error_of_ours(server: Server, level: bytes) -> None:
    for content_type in TYPES:
        for path in (b"/", level + b"level/", b"/admin/login/", b"/metrics"):
            for body in (b"", b"a=1", PARTS["nested"]):
                refused(send(server, post(path, body, content_type)), (content_type, path))


@pytest.mark.parametrize("path", ["healthz", "metrics", "embed.js", "admin/", "admin/login/", "admin/second-factor/"])
def test_no_large_body_is_read_for_a_page_that_is_no_customers(server: Server, path: str) -> None:
    made_up = {"Cookie": "csrftoken=" + "a" * 32, "Origin": server.url}
    answer = requests.post(f"{server.url}/{path}", files={"a": b"a" * 100_000}, headers=made_up, timeout=30)
    assert (answer.status_code, "frame-ancestors" in answer.headers["Content-Security-Policy"]) == (413, True)


def test_a_wrong_length_is_answered_and_nobody_waits_for_the_rest(server: Server, level: bytes) -> None:
    for path in (b"/", level + b"level/"):
        for length in (0, 1, 5, 3_000_000_000):
            refused(send(server, post(path, b"email=abcdef", length=length), breaks_off=length > 12), (path, length))
    chunked = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    for rest in (
        b"\r\n5\r\nemail\r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b"\r\nzz\r\n",
        b"\r\n5\r\nem",
        b"Content-Length: 5\r\n\r\n5\r\nemail\r\n0\r\n\r\n",
    ):
        refused(send(server, chunked + b"Content-Type: " + FORM + b"\r\n" + rest, breaks_off=True), rest)


def test_no_value_of_a_header_we_read_is_an_error_of_ours_or_comes_back_as_markup(server: Server, level: bytes) -> None:
    paths = itertools.cycle((b"/", level, b"/p/default/check/", level, b"/admin/login/"))
    for name, value in itertools.product(HEADERS, VALUES):
        path = next(paths)
        answer = send(server, get(path, name + b": " + value))
        refused(answer, (name, value, path))
        assert b"<svg onload" not in answer and b"\r\nSet-Cookie: a=b" not in answer


def test_a_header_cannot_be_broken_into_two(server: Server, level: bytes) -> None:
    for value in (b"a\r\nSet-Cookie: a=b", b"a\rSet-Cookie: a=b", b"a\nSet-Cookie: a=b", b"a\x00b", b"a\r\n folded"):
        for name in (b"X-Forwarded-For", b"HX-Current-URL", b"Origin", b"Host"):
            answer = send(server, get(level, name + b": " + value))
            refused(answer, (name, value))
            assert b"set-cookie" not in answer.lower()
    for target in (
        b"/p/%0d%0aSet-Cookie:a=b",
        b"/%0d%0a%0d%0a<svg onload=1>",
        b"/p/default%0a",
        b"//evil.example/%0d%0a",
    ):
        answer = send(server, get(target))
        refused(answer, target)
        assert b"\r\nset-cookie" not in answer.lower() and b"<svg onload" not in answer


@pytest.mark.parametrize(
    "host",
    [b"", b"evil.example", b"127.0.0.1:80:80", b"127.0.0.1@evil.example", b"evil.example#127.0.0.1", b"127.0.0.1\\evil",
     b"[::1", b"\xff", b"127.0.0.1, evil.example", b"a" * 3000, b"127.0.0.1%00", b"localhost.evil.example",
     b".localhost",
     b"127.0.0.1:99999999"],
)  # fmt: skip
def test_no_host_but_ours_gets_an_answer_that_means_it(server: Server, host: bytes) -> None:
    answer = send(server, get(b"/", b"X-Forwarded-Host: evil.example", host=host))
    refused(answer, host)
    assert b"evil" not in answer
    if host not in (b".localhost", b"127.0.0.1:99999999"):
        assert status(answer) in (0, 400)


def test_a_request_line_with_a_whole_address_is_answered_as_that_hosts(server: Server) -> None:
    for target in (
        b"http://evil.example/", b"https://evil.example:8443/p/default/", b"http://127.0.0.1/\xff", b"*", b"/\x00",
        b"?a=b", b"http://", b"/" + b"a" * 60_000, b"/?" + b"a" * 60_000, b"/..%2f..%2fetc/passwd",
        b"/static/../../etc/passwd",
    ):  # fmt: skip
        answer = send(server, get(target))
        refused(answer, target)
        assert b"evil.example" not in answer and b"root:" not in answer
    refused(send(server, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), "no host")
    assert status(
        send(server, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    ) in (0, 400)


def test_too_many_headers_are_refused(server: Server) -> None:
    many = [b"X-%d: %s" % (number, b"a" * 100) for number in range(2000)]
    assert status(send(server, get(b"/", *many))) in (0, 400, 431)


def test_the_address_comes_from_the_last_proxy_however_the_header_is_spelt(
    start_server: Callable[..., Server], sandbox: Sandbox
) -> None:
    server = start_server(TRUSTED_PROXY_COUNT="1")
    proxy = b"X-Forwarded-For: 203.0.113.9"
    for lines in (
        [proxy], [b"X-Forwarded-For: 192.0.2.1", proxy], [b"x-forwarded-for: 192.0.2.1,",
        b"x-FORWARDED-for:  203.0.113.9 "],
        [b"X-Forwarded-For: 192.0.2.1, 203.0.113.9"], [b"X-Forwarded-For: 192.0.2.1,,,203.0.113.9"],
        [b"Forwarded: for=192.0.2.1", proxy],
        [b"X-Real-IP: 192.0.2.1", b"CF-Connecting-IP: 192.0.2.1", b"True-Client-IP: 192.0.2.1",
        b"X-Client-IP: 192.0.2.1", proxy],
    ):  # fmt: skip
        customer = Customer(server, sandbox)
        customer.identify()
        path = customer.flow_url.removeprefix(server.url).encode()
        assert status(send(server, post(path + b"password/", b"skip=1", FORM, *lines))) == 303
        assert sandbox.calls()[-1]["headers"]["X-Forwarded-For"] == "203.0.113.9", lines
