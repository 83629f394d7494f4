"""Bad configuration stops the start, with one sentence and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import ROOT, TEST_KEY

GOOD = {
    "SECRET_KEY": TEST_KEY, "ALLOWED_HOSTS": "onboarding.example", "UPSTREAM_BASE_URL": "https://upstream.example/api",
    "UPSTREAM_COMPANY_ID": "439", "PUBLIC_URL": "https://onboarding.example", "DATABASE_URL": "sqlite:////tmp/onboarding-none.sqlite3",
}  # fmt: skip


def run(code: list[str], **changed: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], **GOOD, **changed}
    return subprocess.run([sys.executable, *code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY"),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY"),
        ({"PASSWORD_STEP": "sometimes"}, "PASSWORD_STEP"),
        ({"CHANNELS": "pigeon"}, "CHANNELS"),
        ({"CHANNELS": ","}, "CHANNELS"),
        ({"UPSTREAM_READ_TIMEOUT": "soon"}, "UPSTREAM_READ_TIMEOUT"),
        ({"UPSTREAM_BREAKER_FAILURES": "-1"}, "UPSTREAM_BREAKER_FAILURES"),
        ({"REQUEST_BUDGET_SECONDS": "1"}, "REQUEST_BUDGET_SECONDS"),
        ({"TRUSTED_PROXY_COUNT": "-1"}, "TRUSTED_PROXY_COUNT"),
        ({"CUSTOMER_GROUPS": "{"}, "CUSTOMER_GROUPS"),
        ({"CUSTOMER_GROUPS": "[]"}, "CUSTOMER_GROUPS"),
        ({"CUSTOMER_GROUPS": '{"*": {"customer_group_id": "7"}}'}, "CUSTOMER_GROUPS"),
        ({"CUSTOMER_GROUPS": '{"*": {"customerGroupId": 7}}'}, "CUSTOMER_GROUPS"),
        ({"UPSTREAM_SEND_PROTOCOL": "maybe"}, "UPSTREAM_SEND_PROTOCOL"),
        ({"CONTINUE_URL": "nonsense"}, "CONTINUE_URL"),
        ({"UPSTREAM_BASE_URL": ""}, "UPSTREAM_BASE_URL"),
        ({"UPSTREAM_BASE_URL": "http://upstream.example/api"}, "UPSTREAM_BASE_URL"),
        ({"UPSTREAM_COMPANY_ID": ""}, "UPSTREAM_COMPANY_ID"),
        ({"UPSTREAM_PUBLIC_KEY": "nonsense"}, "UPSTREAM_PUBLIC_KEY"),
        ({"CAPTCHA_PROVIDER": "recaptcha"}, "CAPTCHA_SITE_KEY"),
        ({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS"),
        ({"PUBLIC_URL": "onboarding.example"}, "PUBLIC_URL"),
        ({"EMBED_ORIGINS": "https://*.example"}, "EMBED_ORIGINS"),
        ({"EMBED_ORIGINS": "http://partner.example"}, "EMBED_ORIGINS"),
        ({"COUNTRIES": "GB", "DEFAULT_COUNTRY": "DE"}, "DEFAULT_COUNTRY"),
        ({"WEBHOOK_PRIVATE_HOSTS": "crm.internal,https://crm.internal"}, "WEBHOOK_PRIVATE_HOSTS"),
        ({"WEBHOOK_PRIVATE_HOSTS": "127.0.0.1:8080"}, "WEBHOOK_PRIVATE_HOSTS"),
        ({"LANGUAGE_CODE": "xx"}, "LANGUAGE_CODE"),
        ({"LIMIT_RECIPIENT": "3 in 10 minutes"}, "LIMIT_RECIPIENT"),
        ({"LIMIT_ADDRESS": ""}, "LIMIT_ADDRESS"),
        ({"LIMIT_FLOW_SENDS": "0"}, "LIMIT_FLOW_SENDS"),
        ({"RESEND_COOLDOWN": "30,soon"}, "RESEND_COOLDOWN"),
    ],
)
def test_a_wrong_value_stops_the_server_with_one_sentence(changed: dict[str, str], name: str) -> None:
    result = run(["-c", "import onboarding.wsgi"], **changed)
    assert result.returncode != 0
    assert result.stderr.startswith("Configuration: ")
    assert name in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_good_settings_start() -> None:
    result = run(["-c", "import onboarding.wsgi"])
    assert result.returncode == 0, result.stderr


def test_the_command_line_says_the_same() -> None:
    result = run(["manage.py", "check"], SECRET_KEY="")
    assert result.stderr.startswith("Configuration: SECRET_KEY")


def test_the_sandbox_never_starts_in_production_by_accident() -> None:
    result = run(["manage.py", "sandbox", "--port", "0"])
    assert result.returncode != 0
    assert "--yes-really" in result.stderr
