"""An upstream that answers every request at once with the same envelope, as a process of its own.

So its CPU counts for nobody, and the calls that are compared get the same bytes. `python -m tests.load.stub [--tls]`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography.x509 import IPAddress

from tests.certificates import certificate
from tests.support import ROOT

# What a registration is answered with, and the headers that every reply of the upstream carries.
BODY = json.dumps(
    {
        "code": "0",
        "data": {
            "customerNo": "43900001234", "token": "0f8b7f0e6d5c4b3a29181716151413121110", "loginPassStatus": 0,
            "companyKycStatus": 1, "list": [{"levelCode": "level_1", "levelName": "Basic", "elementList": []}],
        },
        "msg": "Success", "msgParams": None, "trace": "2b1d9c1e-3c9c-4a8e-9a52-0d9a3f5a7c11-1760000000123",
    }
).encode()  # fmt: skip
REPLY = (
    b"HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 06:00:00 GMT\r\nContent-Type: application/json;charset=UTF-8\r\n"
    b"x-ratelimit-limit: 3000\r\nx-ratelimit-remairing: 2999\r\nx-ratelimit-reset: 60\r\n"
    b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)


@dataclass(frozen=True)
class Stub:
    url: str
    authority: Path | None  # the certificate that a client has to trust
    process: int


@contextlib.contextmanager
def running(*, tls: bool = False) -> Iterator[Stub]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.load.stub", *(["--tls", folder] if tls else [])]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            scheme = "https" if tls else "http"
            authority = Path(folder) / "test.pem" if tls else None
            yield Stub(f"{scheme}://127.0.0.1:{port}", authority, process.pid)
        finally:
            process.terminate()
            process.wait(10)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            rows = head.lower().split(b"\r\n")
            length = next((int(row[15:]) for row in rows if row.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            writer.write(REPLY)
            await writer.drain()
    writer.close()


async def serve(folder: str) -> None:
    context = None
    if folder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(IPAddress(ip_address("127.0.0.1")), Path(folder)))
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", default="", metavar="FOLDER")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().tls))
