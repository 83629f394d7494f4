"""Finds, or as root installs, what the tests need beyond Python: a browser, and PostgreSQL's programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import postgres_programs


def chromium() -> str | None:
    """The system's Chromium or Chrome; else "" when Playwright has a browser of its own; None when there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return found
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    return "" if any(cache.glob("chromium*/*/chrome*")) else None


def everything() -> None:
    """Says what it does; what cannot be had is skipped by the tests with a word, and fails them in CI."""
    missing = [
        package
        for package, there in (("chromium", chromium() is not None), ("postgresql", postgres_programs()))
        if not there
    ]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {', '.join(missing)} by apt-get", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=environment)
    if chromium() is None:
        print("trying Playwright's own browser", flush=True)
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"])
