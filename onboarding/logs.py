"""What every log line goes through: handles, and links to another device, never reach a log."""

from __future__ import annotations

import logging
import re

_HANDLE_PATH = re.compile(r"/([fh])/[^/\s\"'?]+")


class MaskHandles(logging.Filter):
    """Replaces the handle below /f/ and the secret below /h/, in the message, its arguments and a traceback alike."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = mask(record.getMessage())
        record.args = None
        record.__dict__.pop("request", None)  # Django's handlers attach the request: its repr shows the path
        if record.exc_info and not record.exc_text:
            record.exc_text = mask(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None  # or a formatter would write it again, unmasked
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        return True


def mask(text: str) -> str:
    """The text with every flow's handle and every link's secret replaced."""
    return _HANDLE_PATH.sub(r"/\1/…", text)
