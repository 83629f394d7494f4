"""Are weaknesses known of what is locked? `make check` asks pip-audit, and goes on with a word where nobody answers.

A weakness that a newer release mends stops the check: take that release. One that nothing mends yet is only said, or
every check would stop until somebody else has done his work; `ACCEPTED` says what was looked at and why it stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 60  # seconds, for all questions together
ACCEPTED: Mapping[str, str] = {}  # a weakness's name → why it does not concern us


@dataclass(frozen=True)
class Verdict:
    text: str
    stops: bool = False


def judge(report: Mapping[str, Any]) -> Verdict:
    """What to say of pip-audit's report, and whether it stops the check."""
    asked = [one for one in report["dependencies"] if "skip_reason" not in one]
    if not asked:
        return Verdict("skipped: nobody answers here what weaknesses are known")
    lines, stops = [], False
    for one in asked:
        for weakness in one["vulns"]:
            if {weakness["id"], *weakness.get("aliases", ())} & set(ACCEPTED):
                continue
            mended = ", ".join(weakness["fix_versions"])
            stops = stops or bool(mended)
            how = f"mended in {mended}: make lock" if mended else "not mended anywhere yet"
            lines.append(f"{one['name']} {one['version']}: {weakness['id']}, {how}")
    silent = len(report["dependencies"]) - len(asked)
    lines.append(f"{len(asked)} packages looked at" + (f", nothing known of {silent} others" if silent else ""))
    return Verdict("\n".join(lines), stops)


def main() -> int:
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", "requirements/run.txt", "--require-hashes", "--disable-pip",
        "--format", "json", "--progress-spinner", "off", "--timeout", "5",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
        verdict = judge(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        verdict = Verdict(f"skipped: no answer within {LONGEST} seconds")
    except ValueError:  # no report: no way out of this machine, or a service that is down
        verdict = Verdict(f"skipped: {(done.stderr.strip().splitlines() or ['no report'])[-1][:200]}")
    print(f"pip-audit: {verdict.text}")
    return 1 if verdict.stops else 0


if __name__ == "__main__":
    sys.exit(main())
