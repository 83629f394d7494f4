"""What is counted, for /metrics. Labels are closed sets: no reference, no identifier, nothing personal.

With PROMETHEUS_MULTIPROC_DIR, a folder that is empty when the server starts, its workers count together and every
scrape tells the sum. Without it a process counts for itself, and a scrape sees one of them.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
if FOLDER:  # the library wants it to be there, and looks at the variable when it is loaded
    Path(FOLDER).mkdir(parents=True, exist_ok=True)

from prometheus_client import (  # noqa: E402
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

PAGES = Histogram(
    "onboarding_page_seconds",
    "Answers to customers by address and HTTP status, with all that they waited for",
    ["page", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25),
)
IN_FLIGHT = Gauge("onboarding_in_flight", "Customers waiting for an answer now", multiprocess_mode="livesum")
FRAMES_REFUSED = Counter(
    "onboarding_frames_refused_total", "Pages for a frame of somebody else's page where nobody may frame them"
)
UPSTREAM_CALLS = Histogram(
    "onboarding_upstream_seconds", "Calls to the upstream by endpoint and outcome", ["endpoint", "outcome"]
)
CIRCUITS = Gauge(
    "onboarding_upstream_circuit",
    "0: calls go out, 1: one call probes, 2: calls are refused",
    ["circuit"],
    multiprocess_mode="livemax",
)
ANSWERS = Counter("onboarding_answers_total", "Answers to customers by step and HTTP status", ["step", "status"])
FLOWS_STARTED = Counter("onboarding_flows_started_total", "Flows begun")
CODES_SENT = Counter("onboarding_codes_sent_total", "Verification codes sent", ["channel"])
LIMITED = Counter("onboarding_limited_total", "Codes not sent because of a limit, by what it counts", ["kind"])
SMS_ALARMS = Counter(
    "onboarding_sms_alarms_total",
    "Codes sent by text message and not used: alarms, by country",
    ["country"],
)
SUBMISSIONS = Counter("onboarding_submissions_total", "Submissions that reached a state", ["kind", "state"])
SUBMISSIONS_OPEN = Gauge(
    "onboarding_submissions_open",
    "Registrations and levels in the database without a known outcome",
    ["state"],
    multiprocess_mode="mostrecent",
)
ATTRIBUTION_DROPPED = Counter(
    "onboarding_attribution_dropped_total", "Values of links not taken, because they look personal", ["reason"]
)
CHALLENGES_GIVEN = Counter("onboarding_challenges_given_total", "Proofs of work asked for, by reason", ["reason"])
CHALLENGES_PASSED = Counter(
    "onboarding_challenges_passed_total", "Challenges that counted, by reason and how (work or wait)", ["reason", "way"]
)
CHALLENGES_FAILED = Counter(
    "onboarding_challenges_failed_total",
    "Answers to challenges that did not count (wrong, early, expired, used)",
    ["why"],
)


def observe_upstream(endpoint: str, outcome: str, seconds: float, _trace: str, _code: str) -> None:
    """One call to the upstream that ended."""
    UPSTREAM_CALLS.labels(endpoint, outcome).observe(seconds)


def observe_circuit(circuit: str, state: str) -> None:
    """One circuit of the upstream that opened or closed; it appears with its first change."""
    CIRCUITS.labels(circuit).set({"closed": 0, "probing": 1, "open": 2}[state])


def exposition() -> bytes:
    """All of it in Prometheus' text format."""
    if not FOLDER:
        return generate_latest(REGISTRY)
    for number in _ended_workers():  # how many wait at a worker that is gone, or what it knew, is nothing of today
        multiprocess.mark_process_dead(number)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _ended_workers() -> list[int]:
    """Whose live numbers are still in the folder although they are not there any more."""
    found = {int(match[1]) for name in os.listdir(FOLDER) if (match := re.fullmatch(r"gauge_live\w+_(\d+)\.db", name))}
    return [number for number in found if not _is_alive(number)]


def _is_alive(number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(number, 0)
        return True
    return False
