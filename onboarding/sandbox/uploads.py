"""The upload call: one multipart part named `object`, told by its first bytes, kept in memory, served back by
URL.

Imports nothing of this project.
"""

from __future__ import annotations

from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

from .protocol import Call, Failure, Fault
from .state import State, StoredFile

ALLOWED = "jpg,jpeg,png,webp,gif,pdf"
MAX_BYTES = 10 * 1024 * 1024  # documented nowhere; the platform's own app stops at 5 MB


def upload(call: Call, state: State) -> str:
    filename, content = _only_part(call.request.header("Content-Type"), call.request.raw)
    # What `GET /calls` shows of it; the bytes themselves are of no use there.
    call.body.update({"object": {"filename": filename, "size": len(content)}})
    if not content or len(content) > MAX_BYTES:
        raise Failure("GATEWAY_CODE_104")
    found = _kind(content)
    if found is None or _first_time("badfile", call, state):
        raise Failure("GATEWAY_CODE_103", params=ALLOWED)
    content_type, suffix = found
    name = state.add_file(StoredFile(content, content_type, call.owner().number), suffix)
    if _first_time("filedrop", call, state):
        call.fault = Fault.DROP
    return f"{call.request.base_url}/files/{name}"


def _first_time(tag: str, call: Call, state: State) -> bool:
    """Is this the scenario's first chance to act on this customer?"""
    customer = call.owner()
    return tag in customer.tags and state.count(tag, customer.number) == 1


def _kind(content: bytes) -> tuple[str, str] | None:
    """Content type and suffix by the first bytes; the sender's name and type are not believed."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg", ".jpg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png", ".png"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp", ".webp"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif", ".gif"
    if content.startswith(b"%PDF-"):
        return "application/pdf", ".pdf"
    return None


def _only_part(content_type: str, raw: bytes) -> tuple[str, bytes]:
    """Name and bytes of the only part, which must be called `object`; GATEWAY_CODE_104 otherwise."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise Failure("GATEWAY_CODE_016")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    _, *parts = (b"\r\n" + raw).split(delimiter)
    if len(parts) != 2 or not parts[1].startswith(b"--"):
        raise Failure("GATEWAY_CODE_104")
    head, blank, content = parts[0].removeprefix(b"\r\n").partition(b"\r\n\r\n")
    described = BytesHeaderParser().parsebytes(head + b"\r\n\r\n")
    name: Any = described.get_param("name", header="Content-Disposition")
    filename = described.get_filename()
    if not blank or name != "object" or not filename:
        raise Failure("GATEWAY_CODE_104")
    return filename, content
