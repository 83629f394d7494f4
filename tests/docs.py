"""The code that docs/embedding.md prints, for tests that run it exactly as it stands there."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support import ROOT

FRONT, PARTNER = "https://onboarding.example", "https://acme.example"


def blocks() -> Iterator[tuple[str, str]]:
    """(language, code) of every fenced block."""
    language, code = None, ""
    for line in (ROOT / "docs" / "embedding.md").read_text().splitlines(keepends=True):
        if not line.startswith("```"):
            code += line
        elif language is None:
            language, code = line.strip("`\n"), ""
        else:
            yield language, code
            language = None


def block(language: str, text: str, **hosts: str) -> str:
    """The one block of code in this language that holds this text; `front="http://…"` puts another host in."""
    found = [code for own, code in blocks() if own == language and text in code]
    assert len(found) == 1, f"{len(found)} blocks of {language} with {text!r}"
    return found[0].replace(FRONT, hosts.get("front", FRONT)).replace(PARTNER, hosts.get("partner", PARTNER))
