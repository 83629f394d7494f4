"""The console over many flows in PostgreSQL: each page beside the console's own first page, in the same run.

`python -m tests.load.million [flows]`; a million by default, filled in by SQL in bounded pieces.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import django

from tests.support import TEST_KEY, postgres_cluster

ROUNDS = 9
PIECE = 100_000
DAYS = 90

FLOWS = """
INSERT INTO onboarding_flow (
    reference, handle_digest, landing_digest, replay_misses, partner, language, channel, account_type, country,
    attribution, campaign, device, agent, personal, password_open, consent_at, consent_language, consent_terms_url,
    consent_privacy_url, sends, code_attempts, notice, notice_code, outcome, customer_no, created_at, touched_at,
    expires_at, registered_at, purge_at, delete_asked)
SELECT substr(h, 1, 3) || '-' || substr(h, 4, 3) || '-' || substr(h, 7, 3), 'h' || n, 'l' || n, 0,
    'partner-' || n %% 20, (array['en', 'es', 'zh-hans'])[1 + n %% 3], (array['email', 'phone'])[1 + n %% 2],
    'individual', (array['GB', 'ES', 'CN', 'BR', 'IN', 'MX', 'NG', 'PH'])[1 + n / 7 %% 8],
    jsonb_build_object('first', jsonb_build_object('at', at, 'path', '/', 'values', jsonb_build_object(
        'utm_source', 'source-' || n %% 9, 'utm_medium', 'm' || n %% 4, 'utm_campaign', 'campaign-' || n / 3 %% 60,
        'utm_term', 'term-' || n))),
    'campaign-' || n / 3 %% 60, (array['phone', 'tablet', 'desktop'])[1 + n / 2 %% 3], '', repeat('x', 600), false, at,
    'en', '', '', 1, 0, '', '', (array['', 'passed', '', 'in_review'])[1 + n %% 4],
    CASE WHEN n %% 100 < 60 THEN 'C' || n ELSE '' END, at, at, at + interval '1 hour', NULL,
    at + interval '1 day', false
FROM (SELECT n, upper(lpad(to_hex(n), 9, '0')) AS h,
             timestamptz '2026-01-01 00:00Z' + n * (interval '90 days' / %(total)s) AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS numbers
"""
MILESTONES = """
INSERT INTO onboarding_milestone (flow_id, kind, detail, at)
SELECT id, kind, detail, created_at + seconds * interval '1 second'
FROM onboarding_flow
JOIN (VALUES ('identified', '', 100, 0), ('code_sent', '', 85, 5), ('refused', 'CUSTOMER_API_0000109', 70, 50),
             ('verified', '', 60, 90), ('registered', '', 60, 90), ('submitted', 'basic', 45, 400),
             ('submitted', 'advanced', 40, 900), ('done', 'in_review', 40, 900), ('done', 'passed', 30, 90000))
     AS reached (kind, detail, percent, seconds) ON id %% 100 < percent
WHERE id BETWEEN %(first)s AND %(last)s
"""


def main() -> int:
    total = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with postgres_cluster() as address:
        os.environ.update(
            SECRET_KEY=TEST_KEY, DEBUG="true", UPSTREAM_COMPANY_ID="1", ALLOWED_HOSTS="testserver", LOG_FORMAT="json",
            UPSTREAM_BASE_URL="http://127.0.0.1:9/api", DJANGO_SETTINGS_MODULE="onboarding.settings",
            DATABASE_URL=address,
        )  # fmt: skip
        django.setup()
        from django.test import override_settings

        with override_settings(DEBUG=False):
            measure(total)
    return 0


def fill(total: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in (FLOWS, MILESTONES):
            for first in range(1, total + 1, PIECE):
                values = {"first": first, "last": min(first + PIECE - 1, total), "total": total}
                cursor.execute(statement, values)
        cursor.execute("VACUUM ANALYZE onboarding_flow")
        cursor.execute("VACUUM ANALYZE onboarding_milestone")


def timed(what: str, action: Callable[[], object]) -> None:
    started = time.monotonic()
    found = action()
    print(f"{what:44} {time.monotonic() - started:8.1f} s   {found or ''}", flush=True)


def measure(total: int) -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.utils.dateparse import parse_datetime

    from onboarding import rollup

    call_command("migrate", verbosity=0)
    now = parse_datetime("2026-06-01T00:00:00Z")
    assert now is not None
    timed(f"filling in {total:,} flows", lambda: fill(total))
    timed("first rollup, all days", lambda: rollup.run(now=now))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE onboarding_milestone SET at = %s WHERE flow_id = %s AND kind = 'done'", [now, total // 2]
        )
    timed("rollup of the one day that changed", lambda: rollup.run(now=now + timedelta(minutes=10)))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE onboarding_funnel")

    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    days = "first=2026-01-01&last=2026-03-31"
    middle = f"{total // 2:09x}".upper()
    pages = {
        "funnel, 30 days": "funnel/?first=2026-01-01&last=2026-01-30",
        "funnel, 90 days": f"funnel/?{days}",
        "funnel, 90 days, by search term": f"funnel/?{days}&group=utm_term",
        "funnel, 90 days, one partner": f"funnel/?{days}&partner=partner-3",
        "funnel, 90 days, sheet": f"funnel/?{days}&format=csv",
        "flows, the newest": "flow/",
        "flows, last page": "flow/?p=200",
        "flows by reference": f"flow/?q={middle}",
        "flows by customer number": f"flow/?q=C{total // 200 * 100 + 1}",
        "flows by campaign": "flow/?q=CAMPAIGN-7",
        "flows by partner and outcome, searched": "flow/?q=partner-3+passed",
        "flows by partner and outcome, filtered": "flow/?partner=partner-3&outcome=passed",
        "flows by nothing that exists": "flow/?q=nonsense",
    }
    print(f"\n{'page':44} {'ratio':>8} {'median ms':>10}   (ratio: to the console's first page)")
    for name, path in {"the console's first page": "", **pages}.items():
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for address, list_ in (
                ("/admin/" + ("onboarding/" + path if path else ""), taken[0]),
                ("/admin/", taken[1]),
            ):
                started = time.perf_counter()
                answer = client.get(address)
                list_.append((time.perf_counter() - started) * 1000)
                assert answer.status_code == 200, (address, answer.status_code)
        mine, floor = statistics.median(taken[0]), statistics.median(taken[1])
        print(f"{name:44} {mine / floor:8.2f} {mine:10.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
