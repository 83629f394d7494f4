"""Patterns that a third party sends: JavaScript regular expressions, run in linear time.

google-re2 cannot backtrack, so no pattern can hold a worker. What it cannot take (look-around, back-references,
nonsense) is logged once and skipped: the upstream has the last word anyway.
"""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Any

import re2

log = logging.getLogger("onboarding.patterns")

_MAX_LENGTH = 2000  # characters of a pattern's source
_UNICODE_ESCAPE = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?")
_options = re2.Options()
_options.log_errors = False
_options.max_mem = 1 << 20


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text, like JavaScript's `RegExp.test`; an unusable one always is."""
    compiled = _compile(pattern) if pattern else None
    return compiled is None or compiled.search(text) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> Any:
    """The compiled pattern; None for one that cannot be used."""
    source = pattern[1:-1] if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/") else pattern
    if len(source) > _MAX_LENGTH:
        log.warning("a pattern of %d characters is not used", len(source))
        return None
    try:
        return re2.compile(_UNICODE_ESCAPE.sub(r"\\x{\1}", source), _options)
    except re2.error:
        log.warning("a pattern is not used, it cannot be run in linear time: %r", source[:200])
        return None
