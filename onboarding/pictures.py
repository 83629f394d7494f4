"""What an uploaded file really is: decided by its content, never by its name or the type its sender gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from PIL import Image, UnidentifiedImageError

PICTURE_TYPES: Mapping[str, str] = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


def picture_type(file: UploadedFile[Any]) -> str | None:
    """The content type of a JPEG, PNG or WebP picture by its content, never by its name; None for anything else."""
    try:
        with Image.open(file, formats=list(PICTURE_TYPES)) as picture:
            picture.verify()
            return PICTURE_TYPES[picture.format or ""]
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, KeyError):
        return None
    finally:
        file.seek(0)
