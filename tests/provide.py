"""Finds, or as root installs, what the tests need beyond Python: browsers, and PostgreSQL's programs."""

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


def mini_browser() -> Path | None:
    """The browser that comes with WebKitGTK."""
    return next(iter(sorted(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"))), None)


def engine_packages(engine: str) -> dict[str, object]:
    """Debian's packages for another engine, each with what of it is here."""
    if engine == "firefox":
        return {"firefox-esr": shutil.which("firefox-esr")}
    return {
        "webkit2gtk-driver": shutil.which("WebKitWebDriver"),
        "libwebkit2gtk-4.1-0": mini_browser(),
        "xvfb": shutil.which("Xvfb"),
    }


def everything() -> None:
    """Says what it does; what cannot be had is skipped by the tests with a word, and fails them in CI."""
    wanted = {
        "chromium": chromium() is not None,
        "postgresql": postgres_programs(),
        "libnss3-tools": shutil.which("certutil"),  # makes browsers trust the tests' own certificates
        **engine_packages("firefox"),
        **engine_packages("webkit"),
    }
    missing = [package for package, there in wanted.items() if not there]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {', '.join(missing)} by apt-get", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        if subprocess.run([*install, *missing], env=environment).returncode:  # one of them is not had here
            for package in missing:
                subprocess.run([*install, package], env=environment)
    if chromium() is None:
        print("trying Playwright's own browser", flush=True)
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"])
