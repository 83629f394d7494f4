"""What people and tests look at: the inbox with the codes, what arrived, the scenarios. HTML, or JSON when
asked for.

Imports nothing of this project. Everything shown came from outside, so everything is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import parse_qsl

from .protocol import Reply, Request
from .scenarios import SCENARIOS
from .state import State

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --line: #8884; --soft: #8881; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
nav { display: flex; flex-wrap: wrap; gap: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
.message { border: 1px solid var(--line); background: var(--soft); border-radius: .6rem; }
.message { padding: .8rem 1.2rem; }
.message + .message { margin-top: .8rem; }
.code { font: 600 2.4rem/1.2 ui-monospace, monospace; letter-spacing: .15em; user-select: all; }
.soft { opacity: .75; }
details pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .6rem; }
"""
_LINKS = (
    ("/inbox", "Inbox", "the verification codes that were “sent”"),
    ("/registrations", "Registrations", "every registration with all that was received"),
    ("/applications", "Applications", "identity checks handed in"),
    ("/scenarios", "Scenarios", "how to make something go wrong"),
    ("/calls", "Calls", "the latest API calls (JSON)"),
    ("/public-key", "Public key", "for signed and encrypted bodies (text)"),
)
# The pages run no script; uploaded files are shown as what they are and nothing else.
_SAFE = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
)


def answer(request: Request, state: State) -> Reply:
    """Never raises for any path."""
    path = request.path.rstrip("/") or "/"
    if request.method == "POST":
        return _clear(state) if path == "/clear" else _text("Not found", 404)
    if path.startswith("/files/"):
        return _file(path.removeprefix("/files/"), state)
    as_json = "application/json" in request.header("Accept")
    only = dict(parse_qsl(request.query)).get("to", "")  # the inbox of one address alone
    with state.lock:
        match path:
            case "/":
                return _html("Sandbox", _index())
            case "/inbox":
                found: list[dict[str, Any]] = [dict(message) for message in state.inbox if only in ("", message["to"])]
                return _json(found) if as_json else _html("Inbox", _inbox(found), refresh=True)
            case "/registrations":
                found = list(state.registrations)
                return _json(found) if as_json else _html("Registrations", _records(found))
            case "/applications":
                found = list(state.applications)
                return _json(found) if as_json else _html("Applications", _records(found))
            case "/scenarios":
                found = [scenario.as_json() for scenario in SCENARIOS]
                return _json(found) if as_json else _html("Scenarios", _scenarios())
            case "/calls":
                return _json(list(state.calls))
            case "/public-key":
                return _text(state.keys().public_key)
    return _text("Not found", 404)


def _clear(state: State) -> Reply:
    state.clear()
    return Reply(303, b"", "text/plain", (("Location", "/"),))


def _file(name: str, state: State) -> Reply:
    stored = state.files.get(name)
    if stored is None:
        return _text("Not found", 404)
    return Reply(200, stored.content, stored.content_type, _SAFE)


def _index() -> str:
    items = "".join(f'<li><a href="{url}">{name}</a>: {about}</li>' for url, name, about in _LINKS)
    return (
        "<p>This is a stand-in for the trading platform. Nothing here is real: no message leaves this "
        "machine, and all is forgotten when it stops. The API lies under <code>/api</code>.</p>"
        f"<ul>{items}</ul>"
        '<form method="post" action="/clear"><button>Forget everything</button></form>'
    )


def _inbox(messages: Iterable[dict[str, Any]]) -> str:
    shown = "".join(
        f'<article class="message"><div>{escape(message["to"])} <span class="soft">'
        f"({escape(message['channel'])}, {escape(message['sent_at'])})</span></div>"
        f'<div class="code">{escape(message["code"])}</div></article>'
        for message in messages
    )
    return shown or "<p>No message yet. Codes appear here as soon as one is asked for.</p>"


def _records(records: Iterable[dict[str, Any]]) -> str:
    rows = "".join(
        f'<article class="message"><div><strong>{escape(str(record["customerNo"] or "nobody"))}</strong> '
        f"{escape(str(record.get('outcome') or record.get('levelCode')))} "
        f'<span class="soft">{escape(record["at"])}</span></div>'
        f"<details><summary>All that was received</summary><pre>{escape(_pretty(record))}</pre></details>"
        "</article>"
        for record in records
    )
    return rows or "<p>Nothing yet.</p>"


def _scenarios() -> str:
    rows = "".join(
        f"<tr><td><code>+{scenario.name}</code></td><td><code>…{scenario.suffix}</code></td>"
        f"<td>{escape(scenario.description)}</td></tr>"
        for scenario in SCENARIOS
    )
    return (
        "<p>Put the tag into the e-mail address (<code>you+drop@example.org</code>, several as "
        "<code>you+nokyc+slow@example.org</code>) or end the phone number with the three digits.</p>"
        f"<table><thead><tr><th>Tag<th>Phone<th>What happens</thead><tbody>{rows}</tbody></table>"
    )


def _html(title: str, content: str, *, refresh: bool = False) -> Reply:
    # `refresh` only where nothing can be unfolded: the page would fold it again
    again = '<meta http-equiv="refresh" content="5">' if refresh else ""
    links = "".join(f'<a href="{url}">{name}</a>' for url, name, _ in _LINKS)
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} - sandbox</title><style>{_STYLE}</style></head>"
        f'<body><nav><a href="/">Sandbox</a>{links}</nav><h1>{title}</h1>{content}</body></html>'
    )
    return Reply(200, page.encode(), "text/html; charset=utf-8", _SAFE)


def _json(value: Any) -> Reply:
    return Reply(200, _pretty(value).encode(), "application/json; charset=utf-8", _SAFE)


def _text(value: str, status: int = 200) -> Reply:
    return Reply(status, value.encode(), "text/plain; charset=utf-8", _SAFE)


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)
