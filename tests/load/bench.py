"""The benchmarks: each number stands beside its floor or peer, measured interleaved in the same run.

`python -m tests.load.bench [part …]` prints a table that says of each bound whether it holds here, and writes it to
`var/bench.md` and, with the facts of the machine, to `var/bench.json`. Needs `.venv-bench` (`make bench`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from onboarding.sandbox.server import Sandbox
from tests.load import calls, hanging, pages, phone, registration
from tests.load.lines import Line, as_data, as_table, machine, say
from tests.support import ROOT

NEVER = 10_000_000  # so many calls in a minute nobody makes
PARTS: dict[str, Callable[[Sandbox], list[Line]]] = {
    "calls": lambda _sandbox: calls.lines(),
    "pages": pages.lines,
    "phone": phone.lines,
    "registration": registration.lines,
    "hanging": hanging.lines,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help=", ".join(PARTS))
    wanted = parser.parse_args().part or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    facts = machine()
    lines: list[Line] = []
    for name in wanted:
        began = time.monotonic()
        with Sandbox(port=0, rate_limit=NEVER, review_seconds=0) as sandbox:
            lines += PARTS[name](sandbox)
        say(f"{name}: {time.monotonic() - began:.0f} s")
    table = as_table(lines)
    broken = [line for line in lines if line.holds is False]
    kept = sum(line.holds is True for line in lines)
    said = f"{kept} bounds hold, {len(broken)} do not."
    print(f"{table}\n\n{said}")
    target = ROOT / "var" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(as_data(lines, facts), indent=1, ensure_ascii=False) + "\n")
    shown = "; ".join(f"{key}: {value}" for key, value in facts.items() if key != "packages")
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    target.with_suffix(".md").write_text(f"{table}\n\n{said}\n\nMeasured on {shown}; {packages}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
