"""Builds the image, looks into it, starts it as a user without rights on a read-only file system, and walks through it.

`make image-test`. BASE names another base image than the Dockerfile's. Where the Dockerfile's cannot be had and this
runs as root on Debian, debootstrap makes one with the same Python from Debian's packages.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import requests
from playwright.sync_api import sync_playwright

from onboarding.sandbox.server import Sandbox
from tests.browser.checks import PASSWORD, told_done
from tests.browser.walker import ARGS, DESKTOP, PHONE, Walker, Watch, kept
from tests.containers import Container, Engine, engine
from tests.provide import chromium
from tests.support import ROOT, Server, free_port, fresh_email, fresh_phone, postgres_cluster

IMAGE = "onboarding:image-test"
STAND_IN = "onboarding-base:debian"
# Runs in a container of the image: what is in it, and what its user may write.
LOOK = r"""
import json, os, shutil, sys
from importlib.util import find_spec

def size(folder):
    return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names)

packages = next(path for path in sys.path if path.startswith("/venv"))
parts = {name: size(os.path.join(packages, name)) for name in os.listdir(packages)}
writable = []
for top in ("/app", "/venv", "/usr", "/etc", "/opt", "/srv", "/var", "/root", "/home"):
    for at, _, names in os.walk(top):
        for path in [at, *(os.path.join(at, name) for name in names)]:
            kept = os.lstat(path)
            if not os.path.islink(path) and (kept.st_uid == os.getuid() or kept.st_mode & 0o002):
                writable.append(path)
try:
    open("/app/var/anything", "w")
    read_only = False
except OSError:
    read_only = True
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
files = [os.path.join(at, name) for at, _, names in os.walk("/app") for name in names]
print(json.dumps({
    "uid": os.getuid(), "python": sys.version.split()[0], "read_only": read_only, "writable": writable,
    "capabilities": int(status["CapEff"], 16), "no_new_privileges": int(status["NoNewPrivs"]),
    "tools": [name for name in ("gcc", "cc", "make", "pip", "pip3", "git", "curl") if shutil.which(name)],
    "modules": [name for name in ("pip", "setuptools", "onboarding.sandbox", "tests", "pytest") if find_spec(name)],
    "files": files, "venv": size("/venv"), "app": size("/app"),
    "parts": dict(sorted(parts.items(), key=lambda item: -item[1])[:8]),
}))
"""


def main() -> int:
    runs = engine()
    base = os.environ.get("BASE") or _base(runs)
    with tempfile.TemporaryDirectory() as folder:
        secrets = _index(Path(folder))
        began = time.monotonic()
        runs.build(IMAGE, ROOT, arguments={"BASE": base} if base else {}, secrets=secrets)
        print(f"built with {type(runs).__name__} in {time.monotonic() - began:.0f} s", flush=True)
        _look(runs, base)
        with Sandbox(port=0, review_seconds=0.0) as sandbox, postgres_cluster() as database:
            _serve(runs, sandbox, database, Path(folder) / "log")
    print("the image does what it should")
    return 0


def _base(runs: Engine) -> str:
    """ "" where the Dockerfile's own base is here or can be pulled, else the stand-in."""
    named = re.search(r"^ARG BASE=(\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    assert named is not None
    if runs.has(named[1]) or runs.pull(named[1]):
        return ""
    if not runs.has(STAND_IN):
        print(f"{named[1]} cannot be had: a base from Debian's packages stands in for it", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            root, archive = Path(folder) / "root", Path(folder) / "base.tar"
            packages = "--include=python3,python3-venv,ca-certificates"
            for command in (
                ["debootstrap", "--variant=minbase", packages, "trixie", str(root)],
                ["sh", "-c", f"rm -rf {root}/var/cache/apt/archives/*.deb {root}/var/lib/apt/lists/*"],
                ["tar", "--directory", str(root), "--create", "--file", str(archive), "."],
            ):
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            runs.load(archive, STAND_IN)
    return STAND_IN


def _index(folder: Path) -> dict[str, Path]:
    """This machine's package index and authority, as secrets of the build: no file of the project names them."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = dict(re.findall(r"^\S+?\.([a-z-]+)='(.*)'$", told, re.M))
    lines = ["[global]"]
    lines += [f"{name} = {found[name]}" for name in ("index-url", "trusted-host") if name in found]
    secrets = {"pip": folder / "pip.conf"}
    if "cert" in found:
        secrets["ca"] = Path(found["cert"])
        lines.append("cert = /run/secrets/ca")
    secrets["pip"].write_text("\n".join(lines) + "\n")
    return secrets


def _look(runs: Engine, base: str) -> None:
    seen = json.loads(runs.output(IMAGE, ["python", "-c", LOOK], {}))
    files = set(seen["files"])
    assert seen["uid"] == 10001 and seen["read_only"]
    assert (seen["capabilities"], seen["no_new_privileges"]) == (0, 1)
    assert seen["tools"] == [] and seen["modules"] == [], (seen["tools"], seen["modules"])
    assert set(seen["writable"]) - {"/var/tmp", "/var/lock"} == {"/app/var"}, seen["writable"]
    assert {f"/app/onboarding/locale/{name}/LC_MESSAGES/django.mo" for name in ("es", "zh_Hans")} <= files
    own = [name for name in files if re.fullmatch(r"/app/staticfiles/(css|js)/\w[\w-]*\.[0-9a-f]{12}\.(css|js)", name)]
    assert len(own) >= 8
    assert all(f"{name}.gz" in files for name in own)
    assert not [name for name in files if re.search(r"\.env|/tests/|/\.git|sandbox|/demo\.", name)]
    print(f"Python {seen['python']}; sizes in MB:")
    sizes = {
        "image": runs.size(IMAGE),
        "base": runs.size(base) if base else 0,
        "/venv": seen["venv"],
        "/app": seen["app"],
    }
    for name, size in {**sizes, **{f"  {name}": size for name, size in seen["parts"].items()}}.items():
        print(f"  {name:<24}{size / 1e6:8.1f}")


def _serve(runs: Engine, sandbox: Sandbox, database: str, log: Path) -> None:
    port = free_port()
    server = Server(database=database, upstream=sandbox.url + "/api")  # for its settings only
    server.env |= {"GRANIAN_PORT": str(port), "PUBLIC_URL": f"http://127.0.0.1:{port}", "ALLOWED_HOSTS": "127.0.0.1"}
    env = {name: value for name, value in server.env.items() if name not in os.environ or name == "SECRET_KEY"}
    runs.output(IMAGE, ["python", "manage.py", "migrate", "--verbosity", "0"], env)
    container = runs.start(IMAGE, env, log)
    try:
        _wait("the image is healthy", container.is_healthy)
        url = env["PUBLIC_URL"]
        assert requests.get(url + "/readyz", timeout=10).json() == {"status": "ok"}
        _walk(url, sandbox)
        told = {line for _ in range(8) for line in requests.get(url + "/metrics", timeout=10).text.splitlines()}
        registered = {
            line for line in told if line.startswith('onboarding_submissions_total{kind="register",state="accepted"}')
        }
        assert {line.rsplit(" ", 1)[1] for line in registered} == {"3.0"}, "the workers do not count together"
        for command in ("settle", "purge", "rollup", "webhooks"):
            runs.output(IMAGE, ["python", "manage.py", command], env)
    except BaseException:
        _end(container, log)
        raise
    status, seconds = _end(container, log)
    assert status in (0, 143), f"it ended with {status}"
    assert "Traceback" not in log.read_text()
    print(f"ended by SIGTERM with {status} after {seconds:.1f} s")


def _end(container: Container, log: Path) -> tuple[int, float]:
    began = time.monotonic()
    status = container.stop(30)
    if "Traceback" in log.read_text():
        print(log.read_text()[-4000:], file=sys.stderr)
    return status, time.monotonic() - began


def _wait(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"not in a minute: {what}"
        time.sleep(0.5)


def _walk(url: str, sandbox: Sandbox) -> None:
    """From the first page to the last: on a phone, on a desktop, and without JavaScript."""
    executable = chromium()
    assert executable is not None, "no Chromium on this machine"
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable or None, args=ARGS) as browser,
    ):
        for options, to in (
            (PHONE, {"email": fresh_email()}),
            (DESKTOP, {"phone": fresh_phone()}),
            ({**DESKTOP, "java_script_enabled": False}, {"email": fresh_email()}),
        ):
            context = browser.new_context(**options)
            walker = Walker(context.new_page(), sandbox, url, Watch(context)).open("/")
            walker.register(password=PASSWORD, **to).level()
            told_done(walker)
            walker.watch.is_clean()
            if options.get("java_script_enabled", True):
                kept(walker.page)
            context.close()
            print(f"walked to the last step by {', '.join(to)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
