"""Files made to do harm, through the page of a level: each gets its sentence, soon and in little memory."""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onboarding.sandbox.server import Sandbox
from tests.form_reader import faults
from tests.support import Customer, Server, Shown, picture, running
from tests.web.test_level_properties import NAME, PHOTO, ask, final_applications, post


def png_of(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def memory(server: Server) -> int:
    """The most that any process of the server has used so far, in bytes."""
    assert server.process is not None
    group = [path for path in Path("/proc").glob("[0-9]*/stat") if stat_of(path)[2:3] == [str(server.process.pid)]]
    peaks = [re.search(r"VmHWM:\s+(\d+) kB", path.with_name("status").read_text()) for path in group]
    return max(int(peak.group(1)) * 1024 for peak in peaks if peak)


def stat_of(path: Path) -> list[str]:
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return []


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
TOO_MANY = "This picture has too many pixels. Take it again with a lower resolution."
HARMFUL: dict[str, tuple[Callable[[], bytes], str]] = {
    "25 MB": (
        lambda: b"\xff\xd8\xff" + b"\0" * (25 * 1048576 - 3),
        "This file is too large: 25.0 MB. The limit is 10 MB.",
    ),
    "1 GB decoded": (lambda: png_of(16_000, 21_000, b"\0" * 50_000_000), TOO_MANY),
    "8 GB decoded, header only": (lambda: png_of(50_000, 55_000, b""), TOO_MANY),
    "SVG": (lambda: SVG, "This kind of file is not taken here. Use a photo as JPEG, PNG, WebP or HEIC, or a PDF."),
    "GIF and script": (lambda: b"GIF89a/*\1\0\1\0*/=1;alert(1)", "This kind of file is not taken here."),
    "PDF and SVG": (lambda: b"%PDF-1.7\n" + SVG, "This PDF is damaged, or too complicated for us."),
    "HTML": (lambda: b"<!doctype html><html>" + SVG, "We cannot read this file."),
    "cut off": (lambda: picture(800, 600, "JPEG")[:900], "This picture is damaged, or was cut off on the way."),
}


@pytest.fixture(scope="module")
def calm_server(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of its own, so that its memory is that of these tests."""
    with running(sandbox, f"sqlite:///{tmp_path_factory.mktemp('db') / 'calm.sqlite3'}") as started:
        yield started


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_file_gives_its_sentence_soon_and_in_little_memory(
    calm_server: Server, sandbox: Sandbox, name: str
) -> None:
    customer = ask(calm_server, sandbox, NAME, PHOTO)
    made, sentence = HARMFUL[name]
    content = made()
    before, started = memory(calm_server), time.monotonic()
    shown = post(customer, {"el-name": "Ann"}, {"el-proof_of_passpord": ("photo.png", content, "image/png")})
    assert time.monotonic() - started < 10  # well below a second on a machine with nothing else to do
    assert shown.status == 422
    assert [text.startswith(f"Passport: {sentence}") for text in shown.summary] == [True], shown.summary
    assert shown.value("el-name") == "Ann" and faults(shown) == []
    assert memory(calm_server) - before < 4 * len(content) + 50_000_000
    assert final_applications(sandbox, customer) == []


def swelling_pdf(streams: int, each: int) -> bytes:
    """A document whose objects lie in that many streams, each so large when it is taken apart."""
    out, places = bytearray(b"%PDF-1.5\n"), {}

    def add(number: int, body: bytes) -> None:
        places[number] = (1, len(out), 0)
        out.extend(b"%d 0 obj" % number + body + b"endobj\n")

    def packed(entries: bytes, data: bytes) -> bytes:
        data = zlib.compress(data, 9)
        return b"<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream " % (entries, len(data), data)

    inside = range(10, 10 + streams)
    add(1, b"<</Type/Catalog/Pages 2 0 R/X[" + b" ".join(b"%d 0 R" % number for number in inside) + b"]>>")
    add(2, b"<</Type/Pages/Kids[3 0 R]/Count 1>>")
    add(3, b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>")
    for number in inside:
        head = b"%d 0 " % number
        add(10_000 + number, packed(b"/Type/ObjStm/N 1/First %d" % len(head), head + b"(A)" + b" " * each))
        places[number] = (2, 10_000 + number, 0)
    table = b"".join(struct.pack(">BIB", *places[number]) for number in sorted(places))
    index = b" ".join(b"%d 1" % number for number in sorted(places))
    start = len(out)
    add(90_000, packed(b"/Type/XRef/W[1 4 1]/Index[%s]/Size 90001/Root 1 0 R" % index, table))
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


@pytest.mark.parametrize(("streams", "each"), [(400, 4_900_000), (1000, 990_000), (4000, 90_000)])
def test_ten_documents_that_swell_are_refused_in_bounded_memory(
    calm_server: Server, sandbox: Sandbox, streams: int, each: int
) -> None:
    proofs = [{"elementCode": f"proof_{n}", "elementName": f"Proof {n}", "showType": "file"} for n in range(10)]
    customer = ask(calm_server, sandbox, *proofs)
    content, url = swelling_pdf(streams, each), customer.flow_url + "upload/"
    assert len(content) < 3_000_000

    def send(n: int) -> Shown:
        data, file = {"level": "level_1", "field": f"el-proof_{n}"}, ("proof.pdf", content, "application/pdf")
        return Customer(calm_server, sandbox).post(url, data, files={f"el-proof_{n}": file})

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(send, range(10)))
    assert [one.status for one in found] == [422] * 10
    assert all("This PDF is damaged, or too complicated for us." in one.text for one in found)
    assert memory(calm_server) < 500_000_000  # all of it: the peak of an earlier test would hide this one's


def test_nothing_hidden_behind_a_picture_is_passed_on(server: Server, sandbox: Sandbox) -> None:
    customer = ask(server, sandbox, PHOTO)
    both = picture(60, 40, "JPEG") + b"<script>alert(1)</script>%PDF-1.7" + SVG
    assert post(customer, {}, {"el-proof_of_passpord": ("photo.html", both, "text/html")}).step == "done"
    (element,) = final_applications(sandbox, customer)[0]["body"]["elementList"]
    stored = sandbox.state.files[element["elementValue"].rpartition("/")[2]]
    assert b"script" not in stored.content and stored.content_type == "image/jpeg"
