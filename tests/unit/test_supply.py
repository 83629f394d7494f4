"""What comes from others: locked by hash, looked at for known weaknesses, and never loaded from their servers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.audit import judge
from tests.support import ROOT


def report(*vulns: dict[str, Any], silent: int = 0) -> dict[str, Any]:
    found: list[dict[str, Any]] = [{"name": "django", "version": "5.2.0", "vulns": list(vulns)}]
    return {"dependencies": found + [{"name": "x", "skip_reason": "not found"}] * silent}


@pytest.mark.parametrize(
    ("vulns", "stops", "said"),
    [
        ([], False, "1 packages looked at, nothing known of 2 others"),
        ([{"id": "PYSEC-1", "fix_versions": ["5.2.1"]}], True, "django 5.2.0: PYSEC-1, mended in 5.2.1: make lock"),
        ([{"id": "PYSEC-2", "fix_versions": []}], False, "django 5.2.0: PYSEC-2, not mended anywhere yet"),
    ],
)
def test_only_a_weakness_that_can_be_mended_stops_the_check(
    vulns: list[dict[str, Any]], stops: bool, said: str
) -> None:
    verdict = judge(report(*vulns, silent=2))
    assert (verdict.stops, said in verdict.text) == (stops, True)


def test_where_nobody_answers_the_audit_is_skipped_with_a_word() -> None:
    verdict = judge({"dependencies": [{"name": "x", "skip_reason": "not found"}]})
    assert (verdict.stops, verdict.text.startswith("skipped: ")) == (False, True)


@pytest.mark.parametrize("name", ["run.txt", "dev.txt", "next.txt"])
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert len(blocks) > 20
    for block in blocks:
        assert re.match(r"[\w.-]+(?:\[[\w,]+\])?==[\w.+!-]+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


# Written in pages and scripts without being loaded from: the name of a dialect of XML, and a placeholder.
_NAMED = {"www.w3.org", "partner.example"}


def test_no_page_style_or_script_loads_anything_from_another_host() -> None:
    """No CDN. The captcha's own script is named in one place of the code, and only with a captcha."""
    looked = 0
    for folder in ("templates", "static"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".html", ".css", ".js"):
                found = set(re.findall(r"(?:https?:)?//([\w-]+(?:\.[\w-]+)+)", path.read_text()))
                assert found <= _NAMED, path
                looked += 1
    assert looked > 40
