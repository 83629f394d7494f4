"""Firefox and WebKitGTK, driven by the few WebDriver commands that a walk needs, without a driver library.

Firefox speaks them itself (Marionette: a length, a colon and JSON on a socket; Debian has no geckodriver), WebKitGTK
through its WebKitWebDriver over HTTP, on a screen of its own that nobody sees.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from tests.browser.sites import Sites
from tests.provide import mini_browser
from tests.support import free_port

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's name for a reference to an element
ENTER = "\ue007"
PATIENCE = 20.0  # seconds for something to come true

# Command → (method, address below the session); Marionette takes the name and the same parameters.
COMMANDS = {
    "Navigate": ("POST", "url"),
    "SwitchToFrame": ("POST", "frame"),
    "FindElement": ("POST", "element"),
    "ElementClick": ("POST", "element/{id}/click"),
    "PerformActions": ("POST", "actions"),
    "ExecuteScript": ("POST", "execute/sync"),
    "TakeScreenshot": ("GET", "screenshot"),
}
Send = Callable[[str, Mapping[str, Any]], Any]


class Driven:
    """One window of another engine; commands work in the page, or in the frame that `inside` entered."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self._framed = False

    def open(self, url: str) -> Driven:
        self._framed = False
        self.send("SwitchToFrame", {"id": None})
        self.send("Navigate", {"url": url})
        return self

    def inside(self) -> Driven:
        """In the page's first frame; again for each command, because a whole new page in it is a new frame."""
        self._framed = True
        return self

    def outside(self) -> Driven:
        self._framed = False
        return self

    def _enter(self) -> None:
        self.send("SwitchToFrame", {"id": None})
        if self._framed:
            self.send("SwitchToFrame", {"id": 0})

    def run(self, script: str) -> Any:
        self._enter()
        return self.send("ExecuteScript", {"script": script, "args": []})

    def until(self, condition: str) -> Any:
        """What this expression gives, as soon as it is true."""
        found: Any = None
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(CommandError):  # between two pages
                found = self.run(f"return {condition}")
                if found:
                    return found
            time.sleep(0.1)
        shown = self.run("return document.body.innerText")
        raise AssertionError(f"never true: {condition} (last: {found!r}); shown:\n{shown}")

    def _found(self, selector: str) -> dict[str, str]:
        self.until(f"document.querySelector({json.dumps(selector)})?.getClientRects().length")
        found: dict[str, str] = self.send("FindElement", {"using": "css selector", "value": selector})
        return found

    def click(self, selector: str) -> Driven:
        self.send("ElementClick", {"id": self._found(selector)[ELEMENT]})
        return self

    def answer(self, selector: str, text: str) -> Driven:
        """Types this into the field and presses Enter.

        By pointer and keys: WebKit takes no keys by the element's own command in a frame of another site.
        """
        self._type(selector, text)
        self.until(f"document.querySelector({json.dumps(selector)}).value === {json.dumps(text)}")
        self._type(selector, ENTER)
        return self

    def _type(self, selector: str, text: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": self._found(selector)}
        press = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        wait = [{"type": "pause"}] * 3
        actions = [
            {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": [move, *press]},
            {"type": "key", "id": "keyboard", "actions": [*wait, *keys]},
        ]
        self.send("PerformActions", {"actions": actions})

    def photograph(self, path: Path) -> None:
        self.send("SwitchToFrame", {"id": None})
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = self.send("TakeScreenshot", {"full": False})
        path.write_bytes(base64.b64decode(shown))


class CommandError(Exception):
    """The browser could not do it, by the standard's word for why."""


# -- Firefox -----------------------------------------------------------------------------------------------------------

_QUIET: dict[str, Any] = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.safebrowsing.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
    "toolkit.telemetry.enabled": False,
    "marionette.port": 0,  # any free one
}


@contextmanager
def firefox(sites: Sites, preferences: Mapping[str, Any]) -> Iterator[Driven]:
    """Debian's Firefox; it trusts the run's authority by its own store, and nobody else's word."""
    with tempfile.TemporaryDirectory(prefix="onboarding-firefox-", ignore_cleanup_errors=True) as folder:
        profile = Path(folder)
        sites.certificates.trusted_in(profile)
        host, _, port = sites.proxy.partition(":")
        proxy = {"type": 1, "http": host, "http_port": int(port), "ssl": host, "ssl_port": int(port)}
        wanted = {**_QUIET, **{f"network.proxy.{name}": value for name, value in proxy.items()}, **preferences}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in wanted.items()]
        (profile / "user.js").write_text("".join(lines))
        command = ["firefox-esr", "--headless", "--no-remote", "--marionette", "--profile", folder]
        browser = subprocess.Popen(
            command, env={**os.environ, "HOME": folder}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            active = profile / "MarionetteActivePort"
            _wait(lambda: active.exists() and active.read_text().strip(), "Firefox did not start")
            with socket.create_connection(("127.0.0.1", int(active.read_text())), timeout=60) as line:
                send = _marionette(line)
                send("NewSession", {})
                yield Driven(send)
        finally:
            browser.terminate()
            browser.wait(timeout=20)


def _marionette(line: socket.socket) -> Send:
    stream = line.makefile("rb")

    def receive() -> Any:
        length = b""
        while not length.endswith(b":"):
            length += stream.read(1)
        return json.loads(stream.read(int(length[:-1])))

    receive()  # it says who it is
    count = 0

    def send(command: str, parameters: Mapping[str, Any]) -> Any:
        nonlocal count
        count += 1
        text = json.dumps([0, count, f"WebDriver:{command}", parameters])
        line.sendall(f"{len(text.encode())}:{text}".encode())
        _kind, _number, error, result = receive()
        if error:
            raise CommandError(f"{command}: {error['error']}: {error['message']}")
        return result["value"] if isinstance(result, dict) and set(result) == {"value"} else result

    return send


# -- WebKitGTK ---------------------------------------------------------------------------------------------------------


@contextmanager
def _screen() -> Iterator[str]:
    """An X server for this browser alone; gives its display."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1400x1100x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            display = told.readline().strip()
            if not display:
                raise RuntimeError("Xvfb did not start")
            yield f":{display}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@contextmanager
def webkit(sites: Sites, arguments: tuple[str, ...]) -> Iterator[Driven]:
    """Debian's WebKitGTK in its MiniBrowser; told to take the run's certificate, for want of a store of its own."""
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="onboarding-webkit-", ignore_cleanup_errors=True))
        environment = {
            **os.environ, "DISPLAY": stack.enter_context(_screen()), "HOME": home, "XDG_DATA_HOME": f"{home}/data",
            "XDG_CACHE_HOME": f"{home}/cache", "XDG_CONFIG_HOME": f"{home}/config", "NO_AT_BRIDGE": "1",
            "WEBKIT_DISABLE_COMPOSITING_MODE": "1", "LIBGL_ALWAYS_SOFTWARE": "1", "LC_ALL": "en_GB.UTF-8",
        }  # fmt: skip
        port = free_port()
        driver = subprocess.Popen(
            ["WebKitWebDriver", f"--port={port}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(driver.wait, timeout=20)
        stack.callback(driver.terminate)
        home_page = f"http://127.0.0.1:{port}"
        _wait(lambda: requests.get(f"{home_page}/status", timeout=5).ok, "WebKitWebDriver did not start")
        options = {"binary": str(mini_browser()), "args": ["--automation", f"--proxy=http://{sites.proxy}", *arguments]}
        wanted = {"alwaysMatch": {"acceptInsecureCerts": True, "webkitgtk:browserOptions": options}}
        session = _value(requests.post(f"{home_page}/session", json={"capabilities": wanted}, timeout=60))["sessionId"]
        base = f"{home_page}/session/{session}"
        stack.callback(requests.delete, base, timeout=20)

        def send(command: str, parameters: Mapping[str, Any]) -> Any:
            method, path = COMMANDS[command]
            address = f"{base}/{path.format(**parameters)}"
            return _value(requests.request(method, address, json=parameters if method == "POST" else None, timeout=60))

        yield Driven(send)


def _value(answer: requests.Response) -> Any:
    value = answer.json()["value"]
    if not answer.ok:
        raise CommandError(f"{value['error']}: {value['message']}")
    return value


def _wait(ready: Callable[[], Any], otherwise: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(requests.ConnectionError):
            if ready():
                return
        time.sleep(0.05)
    raise RuntimeError(otherwise)
