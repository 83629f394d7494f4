"""The operator in /admin/ over HTTP, with a session and Django's CSRF as a browser has them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.form_reader import fields
from tests.support import Server, Shown

NAME, PASSWORD = "operator", "a password for tests only"


@dataclass
class Operator:
    """A superuser, or someone of the staff with these permissions alone (`view_flow`, …)."""

    server: Server
    permissions: tuple[str, ...] | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        name = NAME if self.permissions is None else "staff-" + "-".join(self.permissions)
        self.server.manage(
            "shell", "-c",
            "from django.contrib.auth.models import Permission, User\n"
            f"user, _ = User.objects.get_or_create(username={name!r})\n"
            f"user.is_staff, user.is_superuser = True, {self.permissions is None}\n"
            f"user.set_password({PASSWORD!r})\nuser.save()\n"
            f"user.user_permissions.set(Permission.objects.filter(codename__in={self.permissions or ()!r}))",
        )  # fmt: skip
        self.get("login/")
        self.post("login/", {"username": name, "password": PASSWORD, "next": "/admin/"})

    def get(self, path: str, **query: str) -> requests.Response:
        return self.session.get(f"{self.server.url}/admin/{path}", params=query, timeout=60)

    def post(self, path: str, data: dict[str, Any]) -> requests.Response:
        url = f"{self.server.url}/admin/{path}"
        token = self.session.cookies.get("csrftoken") or ""
        return self.session.post(url, {**data, "csrfmiddlewaretoken": token}, headers={"Referer": url}, timeout=60)

    def save(self, path: str, form: str, **changed: str) -> requests.Response:
        """Opens the form with this id and sends it with these values changed; "" unticks a box."""
        shown = Shown(self.get(path))
        data: dict[str, str] = {}
        for found in fields(shown, form):
            ticked = found.type not in ("checkbox", "radio") or "checked" in found.attributes
            if found.name and ticked and found.type not in ("submit", "file"):
                data[found.name] = found.value or ("on" if found.type == "checkbox" else "")
        return self.post(path, {name: value for name, value in {**data, **changed}.items() if value or name in data})


def said(answer: requests.Response) -> list[str]:
    """The messages on top of a page of the console."""
    return re.findall(r'<li class="(?:success|warning|error|info)">(.*?)</li>', answer.text, re.DOTALL)


def wrong(answer: requests.Response) -> list[str]:
    """The errors beside its fields."""
    found = re.findall(r'<ul class="errorlist[^"]*"[^>]*>(.*?)</ul>', answer.text, re.DOTALL)
    return [text for one in found for text in re.findall(r"<li>(.*?)</li>", one, re.DOTALL)]
