"""The body of an upload: one part named `object` (docs/upstream.md 2.11), read from the file while sent.

Never the whole file in memory: sixty uploads at a time are normal. Must not import Django.
"""

from __future__ import annotations

import io
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PART = "object"
_BLOCK = 64 * 1024
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """`blocks` can be read once. Its reader raises TimeoutError when sending takes longer than allowed."""

    content_type: str
    length: int
    blocks: Iterator[bytes]


def encode(content: BinaryIO, filename: str, content_type: str, longest: float) -> Upload:
    """`longest`: seconds for sending all of it. Odd characters of the name become "_"."""
    boundary = uuid.uuid4().hex
    name = _ODD.sub("_", filename)[-100:] or "file"
    sort = content_type if _TYPE.fullmatch(content_type) else "application/octet-stream"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{PART}"; filename="{name}"\r\n'
        f"Content-Type: {sort}\r\n\r\n"
    ).encode("ascii")
    tail = f"\r\n--{boundary}--\r\n".encode("ascii")
    length = content.seek(0, io.SEEK_END)
    content.seek(0)
    return Upload(
        content_type=f"multipart/form-data; boundary={boundary}",
        length=len(head) + length + len(tail),
        blocks=_blocks(head, content, tail, longest),
    )


def _blocks(head: bytes, content: BinaryIO, tail: bytes, longest: float) -> Iterator[bytes]:
    end = time.monotonic() + longest
    yield head
    while block := content.read(_BLOCK):
        if time.monotonic() > end:
            raise TimeoutError("sending took too long")
        yield block
    yield tail
