"""Runs the groups of tests, fast ones first, and tells each group's time. `python -m tests.run [group …]`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests import provide

GROUPS = ("unit", "contract", "web", "faults", "browser")
# Files at a time: these tests wait more than they work. A file stays in one process, in its own order.
AT_A_TIME = {"unit": 2, "contract": 2, "web": 3, "browser": 3}
ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    wanted = [group for group in GROUPS if not sys.argv[1:] or group in sys.argv[1:]]
    if {"web", "faults", "browser"} & set(wanted):
        provide.everything()
    failed = []
    lines = []
    for group in wanted:
        started = time.monotonic()
        spread = ["-n", str(AT_A_TIME[group]), "--dist", "loadfile"] if group in AT_A_TIME else []
        command = ["tests.faults"] if group == "faults" else ["pytest", "-rs", *spread, f"tests/{group}"]
        result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT)
        lines.append(
            f"  {group:10} {time.monotonic() - started:6.1f} s  {'ok' if result.returncode == 0 else 'FAILED'}"
        )
        if result.returncode:
            failed.append(group)
    print("\n".join(["", *lines]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
