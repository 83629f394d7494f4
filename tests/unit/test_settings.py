"""Bad configuration stops the start, with one sentence and no traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from django.test import override_settings

from onboarding.checks import check_settings
from tests.support import ROOT, TEST_KEY, free_port

GOOD = {
    "SECRET_KEY": TEST_KEY, "ALLOWED_HOSTS": "onboarding.example", "UPSTREAM_BASE_URL": "https://upstream.example/api",
    "UPSTREAM_COMPANY_ID": "439", "PUBLIC_URL": "https://onboarding.example",
    "DATABASE_URL": "sqlite:////tmp/onboarding-none.sqlite3",
}  # fmt: skip
EXAMPLE = "django-insecure-8v3k2m9x7q4w6e1r5t0y8u2i4o6p9a1s3d5f7"


def run(code: list[str], **changed: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], **GOOD, **changed}
    return subprocess.run([sys.executable, *code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY"),
        ({"SECRET_KEY": EXAMPLE}, "SECRET_KEY"),
        ({"SECRET_KEY_FALLBACKS": "short"}, "SECRET_KEY_FALLBACKS"),
        ({"PASSWORD_STEP": "sometimes"}, "PASSWORD_STEP"),
        ({"CHANNELS": "pigeon"}, "CHANNELS"),
        ({"CHANNELS": ","}, "CHANNELS"),
        ({"UPSTREAM_READ_TIMEOUT": "soon"}, "UPSTREAM_READ_TIMEOUT"),
        ({"UPSTREAM_BREAKER_FAILURES": "-1"}, "UPSTREAM_BREAKER_FAILURES"),
        ({"REQUEST_BUDGET_SECONDS": "1"}, "REQUEST_BUDGET_SECONDS"),
        ({"TRUSTED_PROXY_COUNT": "-1"}, "TRUSTED_PROXY_COUNT"),
        ({"CUSTOMER_GROUPS": "{"}, "CUSTOMER_GROUPS"),
        ({"UPSTREAM_SEND_PROTOCOL": "maybe"}, "UPSTREAM_SEND_PROTOCOL"),
        ({"LANGUAGE_CODE": "xx"}, "LANGUAGE_CODE"),
        ({"LIMIT_RECIPIENT": "3 in 10 minutes"}, "LIMIT_RECIPIENT"),
        ({"LIMIT_ADDRESS": ""}, "LIMIT_ADDRESS"),
        ({"LIMIT_FLOW_SENDS": "0"}, "LIMIT_FLOW_SENDS"),
        ({"RESEND_COOLDOWN": "30,soon"}, "RESEND_COOLDOWN"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://u:marked-secret@host/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgres://u:marked-secret@host:port/x"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite:////proc/nowhere/x.sqlite3"}, "DATABASE_URL"),
        ({"DEBUG": "true"}, "DEBUG"),
        ({"UPSTREAM_BASE_URL": "http://127.0.0.1:8100/api"}, "UPSTREAM_BASE_URL"),
        ({"UPSTREAM_BASE_URL": "http://upstream.example/api"}, "UPSTREAM_BASE_URL"),
    ],
)
def test_a_wrong_value_stops_the_server_with_one_sentence(changed: dict[str, str], name: str) -> None:
    result = run(["-m", "onboarding.wsgi"], **changed)
    assert result.returncode != 0
    assert result.stderr.startswith("Configuration: ")
    assert name in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not any(value in result.stderr for value in changed.values() if len(value) > 40)
    assert "marked-secret" not in result.stderr


# What `settings.py` makes of GOOD, as far as the checks look at it.
SOUND: dict[str, Any] = {
    "DEBUG": False, "SECRET_KEY": TEST_KEY, "SECRET_KEY_FALLBACKS": [], "ALLOWED_HOSTS": ["onboarding.example"],
    "PUBLIC_URL": "https://onboarding.example", "UPSTREAM_BASE_URL": "https://upstream.example/api",
    "UPSTREAM_COMPANY_ID": "439", "UPSTREAM_PUBLIC_KEY": "", "UPSTREAM_IS_PROXIED": False, "CUSTOMER_GROUPS": {},
    "COUNTRIES": (), "DEFAULT_COUNTRY": "", "CAPTCHA_PROVIDER": "", "CAPTCHA_SITE_KEY": "", "METRICS_TOKEN": "",
}  # fmt: skip
LOCAL = {"ALLOWED_HOSTS": ["127.0.0.1"], "PUBLIC_URL": "http://127.0.0.1:8000"}


@pytest.mark.parametrize(
    ("number", "changed", "name"),
    [
        (1, {"UPSTREAM_BASE_URL": ""}, "UPSTREAM_BASE_URL"),
        (1, {"UPSTREAM_BASE_URL": "upstream.example"}, "UPSTREAM_BASE_URL"),
        (1, {"UPSTREAM_BASE_URL": "https://upstream.example:x"}, "UPSTREAM_BASE_URL"),
        (1, {"UPSTREAM_BASE_URL": "https://upstream.example/a b"}, "UPSTREAM_BASE_URL"),
        (2, {"UPSTREAM_BASE_URL": "http://upstream.example/api"}, "UPSTREAM_BASE_URL"),
        (2, {"UPSTREAM_BASE_URL": "http://10.0.0.7/api"}, "UPSTREAM_BASE_URL"),
        (3, {"UPSTREAM_COMPANY_ID": ""}, "UPSTREAM_COMPANY_ID"),
        (3, {"UPSTREAM_VERSION": "0.0.1 # old"}, "UPSTREAM_VERSION"),
        (4, {"CAPTCHA_PROVIDER": "recaptcha"}, "CAPTCHA_SITE_KEY"),
        (4, {"CAPTCHA_SITE_KEY": "key"}, "CAPTCHA_PROVIDER"),
        (5, {"ALLOWED_HOSTS": []}, "ALLOWED_HOSTS"),
        (6, {"PUBLIC_URL": "onboarding.example"}, "PUBLIC_URL"),
        (6, {"PUBLIC_URL": "https://onboarding.example/form"}, "PUBLIC_URL"),
        (6, {"PUBLIC_URL": "https://onboarding.example?x"}, "PUBLIC_URL"),
        (6, {"PUBLIC_URL": "HTTPS://onboarding.example"}, "PUBLIC_URL"),  # it would switch HSTS and Secure cookies off
        (1, {"UPSTREAM_BASE_URL": "HTTPS://upstream.example/api"}, "UPSTREAM_BASE_URL"),
        (7, {"COUNTRIES": ("GB",), "DEFAULT_COUNTRY": "DE"}, "DEFAULT_COUNTRY"),
        (8, {"EMBED_ORIGINS": ("https://*.example",)}, "EMBED_ORIGINS"),
        (8, {"EMBED_ORIGINS": ("http://partner.example",)}, "EMBED_ORIGINS"),
        (9, {"UPSTREAM_PUBLIC_KEY": "nonsense"}, "UPSTREAM_PUBLIC_KEY"),
        (10, {"CUSTOMER_GROUPS": []}, "CUSTOMER_GROUPS"),
        (10, {"CUSTOMER_GROUPS": {"*": {"customer_group_id": "7"}}}, "CUSTOMER_GROUPS"),
        (10, {"CUSTOMER_GROUPS": {"*": {"customerGroupId": 7}}}, "CUSTOMER_GROUPS"),
        (11, {"CONTINUE_URL": "nonsense"}, "CONTINUE_URL"),
        (11, {"TERMS_URL": "https://"}, "TERMS_URL"),
        (12, {"WEBHOOK_PRIVATE_HOSTS": ("crm.internal", "https://crm.internal")}, "WEBHOOK_PRIVATE_HOSTS"),
        (12, {"WEBHOOK_PRIVATE_HOSTS": ("127.0.0.1:8080",)}, "WEBHOOK_PRIVATE_HOSTS"),
        (21, {"UPSTREAM_BASE_URL": "https://name:word@upstream.example/api"}, "UPSTREAM_BASE_URL"),
        (21, {"UPSTREAM_BASE_URL": "https://upstream.example/api?x=1"}, "UPSTREAM_BASE_URL"),
        (22, {"UPSTREAM_BASE_URL": "http://127.0.0.1:8100/api"}, "UPSTREAM_BASE_URL"),
        (22, {"UPSTREAM_BASE_URL": "http://sandbox.localhost:8100/api"}, "UPSTREAM_IS_PROXIED"),
        (
            23,
            {"FLOW_IDLE_MINUTES": 1.0, "UPSTREAM_READ_TIMEOUT": 60.0, "REQUEST_BUDGET_SECONDS": 60.0},
            "FLOW_IDLE_MINUTES",
        ),
        (29, {"REQUEST_BUDGET_SECONDS": 5.0}, "REQUEST_BUDGET_SECONDS"),
        (24, {"DEBUG": True}, "DEBUG"),
        (24, {**LOCAL, "DEBUG": True, "ALLOWED_HOSTS": ["127.0.0.1", "*"]}, "DEBUG"),
        (24, {**LOCAL, "DEBUG": True, "ALLOWED_HOSTS": [".onboarding.example"]}, "DEBUG"),
        (24, {**LOCAL, "DEBUG": True, "PUBLIC_URL": "http://8.8.8.8"}, "DEBUG"),
        (25, {"ALLOWED_HOSTS": ["*"]}, "ALLOWED_HOSTS"),
        (26, {"ALLOWED_HOSTS": ["other.example"]}, "ALLOWED_HOSTS"),
        (27, {**LOCAL, "ALLOWED_HOSTS": ["onboarding.example", "127.0.0.1"]}, "PUBLIC_URL"),
        (28, {"PUBLIC_URL": "http://onboarding.example"}, "PUBLIC_URL"),
        (31, {"SECRET_KEY": EXAMPLE}, "SECRET_KEY"),
        (31, {"SECRET_KEY": "changeme" + TEST_KEY}, "SECRET_KEY"),
        (31, {**LOCAL, "SECRET_KEY": "please-change-me-" + TEST_KEY}, "SECRET_KEY"),
        (32, {"SECRET_KEY": TEST_KEY + ",x"}, "SECRET_KEY"),
        (32, {"SECRET_KEY": TEST_KEY + " "}, "SECRET_KEY"),
        (33, {"SECRET_KEY_FALLBACKS": [TEST_KEY, EXAMPLE]}, "SECRET_KEY_FALLBACKS"),
        (34, {"METRICS_TOKEN": "letmein"}, "METRICS_TOKEN"),
        (34, {"METRICS_TOKEN": "long enough, but with spaces"}, "METRICS_TOKEN"),
        (35, {"METRICS_TOKEN": TEST_KEY}, "METRICS_TOKEN"),
        (41, {"COUNTRIES": ("GB",), "CUSTOMER_GROUPS": {"*": {}, "DE": {}}}, "CUSTOMER_GROUPS"),
        (42, {"CHANNELS": ("email", "email")}, "CHANNELS"),
        (45, {"CHANNELS": ("email",), "SMS_COUNTRIES": ("GB",)}, "SMS_COUNTRIES"),
        (43, {"CONTINUE_URL": "https://trading.example/{language}"}, "CONTINUE_URL"),
        (43, {"SIGN_IN_URL": "https://trading.example/?t={token}"}, "SIGN_IN_URL"),
        (44, {"CONTINUE_URL": "http://trading.example/?t={token}"}, "CONTINUE_URL"),
        (51, {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}, "DATABASE_URL"),
        (51, {"DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": ""}}}, "DATABASE_URL"),
    ],
)
@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_every_contradiction_is_one_sentence_that_names_the_setting(
    number: int, changed: dict[str, Any], name: str
) -> None:
    with override_settings(**SOUND | changed):
        found = check_settings()
    assert [message.id for message in found] == [f"onboarding.E{number:03}"]
    assert name in found[0].msg
    assert found[0].msg.count("\n") == 0
    assert TEST_KEY not in found[0].msg


def test_every_contradiction_has_a_row_above() -> None:
    written = set(re.findall(r"yield \(?\s*(\d+),", (ROOT / "onboarding" / "checks.py").read_text()))
    marks = test_every_contradiction_is_one_sentence_that_names_the_setting.pytestmark
    (rows,) = [mark.args[1] for mark in marks if mark.name == "parametrize"]
    assert {str(row[0]) for row in rows} == written


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {**LOCAL, "UPSTREAM_BASE_URL": "http://127.0.0.1:8100/api"},
        {
            **LOCAL,
            "UPSTREAM_BASE_URL": "http://[::1]:8100/api",
            "ALLOWED_HOSTS": ["127.0.0.1", "onboarding.test", "web"],
        },
        {**LOCAL, "DEBUG": True, "SECRET_KEY": EXAMPLE, "ALLOWED_HOSTS": ["127.0.0.1", "localhost", "192.168.1.5"]},
        {"UPSTREAM_BASE_URL": "http://127.0.0.1:9000/api", "UPSTREAM_IS_PROXIED": True},
        {"CONTINUE_URL": "https://trading.example/{lang}?t={token}", "METRICS_TOKEN": "a-token-that-is-long"},
        {"COUNTRIES": ("gb",), "CUSTOMER_GROUPS": {"*": {}, "GB": {}}, "DEFAULT_COUNTRY": "GB"},
    ],
)
def test_what_does_not_contradict_itself_starts(changed: dict[str, Any]) -> None:
    with override_settings(**SOUND | changed):
        assert check_settings() == []


def test_no_key_that_stands_in_a_file_of_the_project_starts_a_server() -> None:
    """Whatever follows SECRET_KEY= in documents, examples and recipes."""
    found = []
    for name in subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split():
        if name.endswith((".md", ".example", "Dockerfile", ".yaml", ".yml", ".sh", "Makefile", ".toml")):
            text = (ROOT / name).read_text()
            found += re.findall(r"SECRET_KEY(?:_FALLBACKS)?[=:] *['\"]?([\w!-~]{40,})", text)
    assert found, "the image's build has one"
    for key in found:
        with override_settings(**SOUND | {"SECRET_KEY": key}):
            assert "onboarding.E031" in {message.id for message in check_settings()}, key


def test_a_server_with_several_workers_ends_by_itself_when_the_settings_are_wrong() -> None:
    server = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(free_port()),
        "--workers", "2", "--respawn-failed-workers", "--log-level", "error", "onboarding.wsgi:application",
    ]  # fmt: skip
    env = {"PATH": os.environ["PATH"], **GOOD, "UPSTREAM_COMPANY_ID": ""}
    ended = subprocess.run(server, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    assert "Configuration: UPSTREAM_COMPANY_ID" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_good_settings_start() -> None:
    result = run(["-m", "onboarding.wsgi"])
    assert result.returncode == 0, result.stderr


def test_the_command_line_says_the_same() -> None:
    result = run(["manage.py", "check"], SECRET_KEY="")
    assert result.stderr.startswith("Configuration: SECRET_KEY")


def test_the_sandbox_never_starts_in_production_by_accident() -> None:
    result = run(["manage.py", "sandbox", "--port", "0"])
    assert result.returncode != 0
    assert "--yes-really" in result.stderr
