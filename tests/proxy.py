"""Runs `deploy/nginx.conf` in front of two server processes and asks what it promises: `make proxy-test`.

Needs nginx (Debian: nginx-light), and openssl for a certificate. Only addresses, ports and paths of the file are
changed; `resolve` needs Docker's resolver and is replaced by the two processes' addresses.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from onboarding.sandbox.server import Sandbox
from tests.support import ROOT, Customer, Server, free_port, picture, postgres_cluster

HALVES = 300  # slow phones, each in the middle of its POST
THREADS = 48
MADE_UP = "203.0.113.9"


def main() -> int:
    missing = [name for name in ("nginx", "openssl") if not shutil.which(name)]
    if missing:
        raise SystemExit(f"missing on this machine: {' and '.join(missing)} (Debian: nginx-light, openssl)")
    with (
        tempfile.TemporaryDirectory(prefix="onboarding-proxy-") as folder,
        Sandbox(port=0, review_seconds=0.0) as sandbox,
        postgres_cluster() as database,
        contextlib.ExitStack() as stack,
    ):
        port = free_port()
        settings = {"PUBLIC_URL": f"https://localhost:{port}", "TRUSTED_PROXY_COUNT": "1"}
        fronts = [
            Server(database=database, upstream=sandbox.url + "/api", threads=THREADS, **settings) for _ in range(2)
        ]
        fronts[0].migrate()
        for front in fronts:
            stack.enter_context(front)
        log = stack.enter_context(nginx(Path(folder), port, fronts))
        url = settings["PUBLIC_URL"]
        _addresses_are_told_right(url, sandbox)
        _large_bodies_pass(url, sandbox)
        _machines_addresses_are_closed(url)
        _half_sent_requests_hold_nothing(url, fronts[0])
        _one_front_end_may_die(url, fronts)
        told = log.read_text()
        assert "/f/-" in told and not re.search(r"/f/[A-Za-z0-9_]", told), "the access log names flows"
        print("the access log names no flow")
    return 0


@contextlib.contextmanager
def nginx(folder: Path, port: int, fronts: list[Server]) -> Iterator[Path]:
    """The shipped configuration, running; gives its access log."""
    folder.chmod(0o755)
    key, certificate, log = folder / "privkey.pem", folder / "fullchain.pem", folder / "access.log"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    servers = " ".join(f"server 127.0.0.1:{front.port};" for front in fronts)
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("server front:8000 resolve;", servers),
        ("resolver 127.0.0.11 valid=5s;", ""),
        ("/tmp/", f"{folder}/"),
        ("/etc/nginx/tls/", f"{folder}/"),
        ("/dev/stdout", str(log)),
        ("listen 8443", f"listen 127.0.0.1:{port}"),
        ("listen 8080", f"listen 127.0.0.1:{free_port()}"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command = ["nginx", "-c", str(configuration), "-e", "stderr"]
    subprocess.run([*command, "-t"], check=True)
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    try:
        deadline = time.monotonic() + 15
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None and time.monotonic() < deadline, "nginx did not start"
            time.sleep(0.1)
        yield log
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=30)


def _customer(url: str, sandbox: Sandbox, **headers: str) -> Customer:
    """Through the proxy, whose certificate is the test's own."""
    server = Server(database="", upstream="")
    server.url = url
    customer = Customer(server, sandbox, headers=headers)
    customer.session.verify = customer.session.trust_env = False
    return customer


def _addresses_are_told_right(url: str, sandbox: Sandbox) -> None:
    customer = _customer(url, sandbox, **{"X-Forwarded-For": MADE_UP, "X_Forwarded_For": MADE_UP})
    assert customer.register().step == "level", customer.shown.step
    (entry,) = [one for one in sandbox.registrations() if one["body"]["loginName"] == customer.sent["email"]]
    assert entry["headers"]["X-Forwarded-For"] == "127.0.0.1", entry["headers"]
    print("a made-up address, with hyphens or underscores, is told to nobody")


def _large_bodies_pass(url: str, sandbox: Sandbox) -> None:
    customer = _customer(url, sandbox)
    customer.register()
    head = picture()
    for size, status, whose in ((31, 200, "ours"), (34, 413, "nginx")):
        body = {"padding": "x" * (size * 1024 * 1024 - len(head))}
        response = customer.session.post(
            customer.flow_url + "level/", data=body, files={"unknown": ("a.png", head, "image/png")}, timeout=60
        )
        ours = 'id="step"' in response.text
        assert ours == (whose == "ours"), (size, response.status_code)
        assert whose == "ours" or response.status_code == status
        print(f"{size} MiB: {response.status_code} by {whose}")


def _machines_addresses_are_closed(url: str) -> None:
    for path in ("/metrics", "/readyz"):
        assert requests.get(url + path, verify=False, timeout=10).status_code == 404
    assert requests.get(url + "/healthz", verify=False, timeout=10).json() == {"status": "ok"}
    print("/metrics and /readyz are not for visitors")


@contextlib.contextmanager
def _half_sent(port: int, *, tls: bool) -> Iterator[None]:
    """HALVES connections that have sent the head and half the body of a POST."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    path = f"/f/{'a' * 22}.{'b' * 43}/verify/"  # the first step is limited by address
    with contextlib.ExitStack() as stack:
        for _ in range(HALVES):
            sock: socket.socket = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            if tls:
                sock = stack.enter_context(context.wrap_socket(sock))
            sock.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: https://localhost:{port}\r\n"
                "X-Forwarded-Proto: https\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                "Content-Length: 2000\r\n\r\n".encode()
                + b"a" * 1000
            )
        yield


def _seconds_for_a_page(url: str, patience: float) -> float | None:
    began = time.monotonic()
    try:
        headers = {"Host": "localhost", "X-Forwarded-Proto": "https"} if url.startswith("http:") else {}
        response = requests.get(url + "/", headers=headers, verify=False, timeout=patience)
        assert response.status_code == 200, response.status_code
    except requests.Timeout:
        return None
    return time.monotonic() - began


def _half_sent_requests_hold_nothing(url: str, front: Server) -> None:
    with _half_sent(int(url.rpartition(":")[2]), tls=True):
        behind = [_seconds_for_a_page(url, 10) for _ in range(20)]
    assert None not in behind, "the proxy lets half-sent requests through"
    with _half_sent(front.port, tls=False):
        bare = _seconds_for_a_page(front.url, 5)
    slowest = max(one for one in behind if one is not None)
    shown = "no page within 5 s" if bare is None else f"a page after {bare * 1000:.0f} ms"
    print(
        f"{HALVES} half-sent POSTs: behind the proxy a page after {slowest * 1000:.0f} ms at most; without it {shown}"
    )


def _one_front_end_may_die(url: str, fronts: list[Server]) -> None:
    fronts[1].stop(signal.SIGKILL)
    seconds = [_seconds_for_a_page(url, 10) for _ in range(40)]
    assert None not in seconds
    print("one front end is killed: the other one answers, and no page is lost")


if __name__ == "__main__":
    requests.packages.urllib3.disable_warnings()  # type: ignore[attr-defined]
    sys.exit(main())
