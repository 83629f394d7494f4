"""Runs the groups of tests, fast ones first, and tells each group's time. `python -m tests.run [group …]`.

What a failed group said is said again at the end, where it is looked for and where a record that was cut still has it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tests import provide

GROUPS = ("unit", "contract", "web", "faults", "browser")
# Files at a time: these tests wait more than they work. A file stays in one process, in its own order.
AT_A_TIME = {"unit": 2, "contract": 2, "web": 3, "browser": 3}
ROOT = Path(__file__).resolve().parent.parent
SAID_AGAIN = 60  # lines


def main() -> int:
    wanted = [group for group in GROUPS if not sys.argv[1:] or group in sys.argv[1:]]
    if {"web", "faults", "browser"} & set(wanted):
        provide.everything()
    failed: dict[str, Sequence[str]] = {}
    times = []
    for group in wanted:
        started = time.monotonic()
        spread = ["-n", str(AT_A_TIME[group]), "--dist", "loadfile"] if group in AT_A_TIME else []
        command = ["tests.faults"] if group == "faults" else ["pytest", "-rs", *spread, f"tests/{group}"]
        status, end = _run([sys.executable, "-m", *command])
        times.append(f"  {group:10} {time.monotonic() - started:6.1f} s  {'FAILED' if status else 'ok'}")
        if status:
            failed[group] = end
    for group, end in failed.items():
        print(f"\n{group}, which failed, ended with:\n{''.join(end)}")
    print("\n".join(["", *times]))
    return 1 if failed else 0


def _run(command: Sequence[str]) -> tuple[int, Sequence[str]]:
    """Shows what it prints as it comes; gives its status and its last lines."""
    end: deque[str] = deque(maxlen=SAID_AGAIN)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            end.append(line)
    return process.returncode, end


if __name__ == "__main__":
    sys.exit(main())
