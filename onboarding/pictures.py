"""What an uploaded file really is, and a clean copy of it: decided by its content, never by its name or declared type.

A picture is decoded and drawn anew, so that nothing of the file reaches anybody but its pixels: no metadata, no
position, nothing hidden behind it. A document (PDF) is looked through and passed on as it is. Time and memory are
bounded by what the header says before anything is decoded. Nothing is written to disk.
"""

from __future__ import annotations

import gc
import logging
import re
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from threading import BoundedSemaphore
from typing import Any, BinaryIO

import pillow_heif
import pypdf
from PIL import Image, ImageCms, ImageOps
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, StreamObject

LONGEST_SIDE = 4096  # pixels of what is passed on
# Of what is decoded, by format: the largest that phones send, about 600 MB of memory at most.
MAX_PIXELS: Mapping[str, int] = {
    "JPEG": 50_000_000,
    "PNG": 50_000_000,
    "HEIF": 50_000_000,
    "WEBP": 25_000_000,  # its decoder keeps four copies, and no phone takes pictures in it
}
MAX_PAGES = 20  # of a document
_MAX_SCANNED = 1_500_000_000  # pixels times scans of a progressive JPEG: about a second
_MAX_ICC = 1_000_000  # bytes; larger colour profiles are ignored
_QUALITIES = (88, 70, 50)  # of JPEG; the first whose result is small enough
_PDF_OBJECTS = 50_000  # objects of a document; a scan has about four a page
_PDF_SECONDS = 0.5  # of this thread's CPU time, for looking through them
_PDF_UNPACKED = 50_000_000  # bytes of objects that rested packed, together; they stay in memory until the end

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
# It repeats pieces of a broken document, which is the customer's.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)
# What is decoded at once in this process, for the sake of memory; how long a file waits for its turn.
_decoding, _examining = BoundedSemaphore(2), BoundedSemaphore(1)
_PATIENCE = 8.0  # seconds

# What Pillow, its plugins and pypdf raise on files made to break them; kept complete by a test with random damage.
_BROKEN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error, pypdf.errors.PyPdfError,
)  # fmt: skip


class Refusal(StrEnum):
    """Why a file is not passed on."""

    EMPTY = "empty"  # no bytes at all: chosen, but not there any more
    TOO_LARGE = "too_large"  # more bytes than `most`
    NOT_AN_IMAGE = "not_an_image"  # text, HTML, an archive, a video …
    WRONG_TYPE = "wrong_type"  # a picture or document, but of a kind that is not taken here (SVG, GIF, AVIF, PDF …)
    DAMAGED = "damaged"  # of a right kind, but cut off or broken
    TOO_MANY_PIXELS = "too_many_pixels"  # more than `MAX_PIXELS`
    BAD_PDF = "bad_pdf"  # a document that is damaged, has no pages or is too intricate to be looked through
    ENCRYPTED_PDF = "encrypted_pdf"  # asks for a password, or restricts what may be done with it
    UNSAFE_PDF = "unsafe_pdf"  # holds scripts, forms that send or run something, media or attached files
    BUSY = "busy"  # too many others are looked at just now; the file may be fine
    TOO_MANY_PAGES = "too_many_pages"  # a document of more than `MAX_PAGES`


@dataclass(frozen=True, slots=True)
class Picture:
    """What is passed on; a document too."""

    content: bytes
    content_type: str
    extension: str  # without the dot


def prepare(file: BinaryIO, *, size: int, most: int, pdf: bool = False) -> Picture | Refusal:
    """A clean copy of the picture (or, with `pdf`, document) in the file, or why there is none. Never raises.

    `size` is how many bytes the file is said to have, `most` how many it and the copy may have. JPEG, HEIC and WebP
    become JPEG; PNG becomes the smaller of PNG and JPEG. The file is left at its start.
    """
    if size > most:
        return Refusal.TOO_LARGE
    file.seek(0)
    content = file.read(most + 1)
    file.seek(0)
    if not content:
        return Refusal.EMPTY
    if len(content) > most:
        return Refusal.TOO_LARGE
    match _kind(content):
        case "":
            return Refusal.NOT_AN_IMAGE
        case "PDF" if pdf:
            return _in_turn(_examining, lambda: _examine_pdf(content) or Picture(content, "application/pdf", "pdf"))
        case kind if kind in MAX_PIXELS:
            return _in_turn(_decoding, lambda: _redraw(content, kind, most))
        case _:
            return Refusal.WRONG_TYPE


def _in_turn(turns: BoundedSemaphore, work: Callable[[], Picture | Refusal]) -> Picture | Refusal:
    if not turns.acquire(timeout=_PATIENCE):
        return Refusal.BUSY
    try:
        return work()
    finally:
        turns.release()


# -- Kinds -------------------------------------------------------------------------------------------------------------

_STARTS = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"%PDF-": "PDF", b"GIF8": "GIF", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"8BPS": "PSD", b"%!PS": "EPS", b"\0\0\1\0": "ICO",
    b"\xff\x0a": "JXL", b"\0\0\0\x0cJXL ": "JXL", b"\0\0\0\x0cjP  ": "JPEG2000",
}  # fmt: skip
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


def _kind(content: bytes) -> str:
    """The format that the content begins like: Pillow's name, another one's that we know but do not take, or ""."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp":
        brands = content[8:12] + content[16 : max(16, min(int.from_bytes(content[:4]), 256))]
        named = {brands[i : i + 4] for i in range(0, len(brands), 4)}
        return "AVIF" if named & {b"avif", b"avis"} else "HEIF" if brands[:4] in _HEIF else ""
    text = content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"<svg", b"<?xml", b"<!")) and b"<svg" in text and b"<html" not in text.lower():
        return "SVG"
    return next((kind for start, kind in _STARTS.items() if content.startswith(start)), "")


# -- Pictures ----------------------------------------------------------------------------------------------------------

_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # of a segment, with its length behind


def _redraw(content: bytes, kind: str, most: int) -> Picture | Refusal:
    try:
        # Pillow warns of large pictures and refuses very large ones; what it only warns of, our own limit refuses.
        with Image.open(BytesIO(content), formats=[kind]) as opened:
            pixels = opened.width * opened.height
            if pixels > MAX_PIXELS[kind]:
                return Refusal.TOO_MANY_PIXELS
            if kind == "JPEG" and _scans(content) * pixels > _MAX_SCANNED:
                return Refusal.DAMAGED  # every scan goes over all pixels, and a scan can be 100 bytes
            return _encode(_pixels(opened), png=kind == "PNG", most=most)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Refusal.TOO_MANY_PIXELS
    except _BROKEN:
        return Refusal.DAMAGED


def _scans(content: bytes) -> int:
    """How many scans a JPEG has. Whatever follows its end is not looked at: many phones put a film there."""
    at, scans = 2, 0
    while (found := _MARKER.search(content, at)) and found[1] != b"\xd9":
        scans += found[1] == b"\xda"
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
    return scans


def _pixels(opened: Image.Image) -> Image.Image:
    """The first frame, upright, in sRGB, at most `LONGEST_SIDE`, as L, RGB or RGBA, with nothing attached."""
    ratio = max(opened.size) / LONGEST_SIDE
    if ratio > 1:
        opened.draft(None, (round(opened.width / ratio), round(opened.height / ratio)))  # JPEG: decodes 1/2, 1/4 …
    picture = opened
    if picture.mode in ("1", "P", "PA"):  # could only be scaled by leaving pixels out
        picture = picture.convert("RGBA" if picture.has_transparency_data else "L" if picture.mode == "1" else "RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
    picture = _in_srgb(_upright(picture))
    if picture.mode.startswith("I"):  # 16 bits: Pillow's own conversion would cut, not scale
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    clean = Image.new(picture.mode, picture.size)
    clean.paste(picture)
    return clean


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except _BROKEN:  # of the metadata only
        return picture


def _in_srgb(picture: Image.Image) -> Image.Image:
    """The colours as a screen without colour management shows them right; left alone where the profile is no use."""
    profile = picture.info.get("icc_profile")
    if not profile or len(profile) > _MAX_ICC or picture.mode not in ("L", "RGB", "RGBA", "CMYK"):
        return picture
    try:
        converted = ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if picture.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, *_BROKEN):
        return picture
    return converted or picture


class _Full(Exception):
    """More was written than there is room for."""


class _Room(BytesIO):
    """A file in memory that takes so many bytes."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._most:
            raise _Full
        return super().write(data)


def _encode(picture: Image.Image, *, png: bool, most: int) -> Picture | Refusal:
    opaque = picture
    if picture.mode == "RGBA":
        opaque = Image.new("RGB", picture.size, "white")
        opaque.paste(picture, mask=picture.getchannel("A"))
    for quality in _QUALITIES:
        out = BytesIO()
        opaque.save(out, "JPEG", quality=quality, progressive=True, optimize=True)
        room = out.tell()
        if png and quality == _QUALITIES[0]:  # a screenshot or drawing is smaller, and sharper, as PNG
            try:
                picture.save(smaller := _Room(min(room, most)), "PNG")
                return Picture(smaller.getvalue(), "image/png", "png")
            except _Full:
                pass
        if room <= most:
            return Picture(out.getvalue(), "image/jpeg", "jpg")
    return Refusal.TOO_LARGE


# -- Documents ---------------------------------------------------------------------------------------------------------

# Keys and kinds of action that run, send, fetch or carry something (ISO 32000-2, 12.6.4, 7.11.4, 12.7.8, 13).
_UNSAFE_KEYS = frozenset({"/JS", "/JavaScript", "/EmbeddedFiles", "/EF", "/RichMediaContent", "/XFA"})
_UNSAFE_ACTIONS = frozenset({
    "/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/Rendition", "/RichMediaExecute", "/GoToE", "/GoTo3DView",
    "/Movie", "/Sound",
})  # fmt: skip
_UNSAFE_ANNOTATIONS = frozenset({"/FileAttachment", "/RichMedia", "/Screen", "/Movie", "/Sound", "/3D"})


def _examine_pdf(content: bytes) -> Refusal | None:
    """Why the document is not passed on, if so. Looks at its structure, not at what its pages show."""
    if content.count(b"obj") > 2 * _PDF_OBJECTS or content.count(b"xref") > 1000:
        return Refusal.BAD_PDF  # reading the table of contents alone would take seconds
    reader: pypdf.PdfReader | None = None
    try:
        with pypdf.apply_configuration(
            zlib_maximum_output_length=1_000_000,
            lzw_maximum_output_length=1_000_000,
            run_length_maximum_output_length=1_000_000,
            array_maximum_element_count=_PDF_OBJECTS,
            dictionary_maximum_element_count=_PDF_OBJECTS,
            page_tree_maximum_entries=2000,
        ):
            reader = pypdf.PdfReader(
                BytesIO(content), root_object_recovery_limit=1000, xref_stream_maximum_entries=2 * _PDF_OBJECTS
            )
            if reader.is_encrypted:
                return Refusal.ENCRYPTED_PDF
            if problem := _walk(reader):
                return problem
            pages = reader.get_num_pages()
    except _BROKEN:
        return Refusal.BAD_PDF
    finally:
        reader = None
        gc.collect()  # a reader refers to itself in circles, and what it read can be a thousand times the file
    return Refusal.BAD_PDF if pages < 1 else Refusal.TOO_MANY_PAGES if pages > MAX_PAGES else None


def _walk(reader: pypdf.PdfReader) -> Refusal | None:
    """Looks at every object that can be reached from the root."""
    until = time.thread_time() + _PDF_SECONDS
    waiting: list[Any] = [reader.trailer.get("/Root")]
    seen: set[tuple[int, int]] = set()
    packs: set[int] = set()  # streams that hold other objects
    unpacked = 0  # bytes
    while waiting:
        found = waiting.pop()
        if len(seen) > _PDF_OBJECTS or time.thread_time() > until or unpacked > _PDF_UNPACKED:
            return Refusal.BAD_PDF
        if isinstance(found, IndirectObject):
            key = (found.idnum, found.generation)
            if key not in seen:
                seen.add(key)
                waiting.append(found.get_object())
                pack = reader.xref_objStm.get(found.idnum, (0, 0))[0]
                if pack and pack not in packs:
                    packs.add(pack)
                    stream = reader.get_object(IndirectObject(pack, 0, reader))
                    unpacked += len(stream.get_data()) if isinstance(stream, StreamObject) else 0
        elif isinstance(found, DictionaryObject):
            if (
                not _UNSAFE_KEYS.isdisjoint(found)
                or _name(found, "/S") in _UNSAFE_ACTIONS
                or _name(found, "/Subtype") in _UNSAFE_ANNOTATIONS
            ):
                return Refusal.UNSAFE_PDF
            # The structure for screen readers can be larger than all the rest, and holds no actions.
            waiting += [found.raw_get(name) for name in found if name != "/StructTreeRoot"]
        elif isinstance(found, ArrayObject):
            waiting += list(found)
    return None


def _name(found: DictionaryObject, key: str) -> str:
    value = found.get(key)
    if isinstance(value, IndirectObject):
        value = value.get_object()
    return value if isinstance(value, str) else ""
