"""What is counted, for /metrics. Labels are closed sets: no reference, no identifier, nothing personal.

One process counts for itself; with several workers a scrape sees one of them, and rates stay right over time.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

UPSTREAM_CALLS = Histogram(
    "onboarding_upstream_seconds", "Calls to the upstream by endpoint and outcome", ["endpoint", "outcome"]
)
CIRCUITS = Gauge(
    "onboarding_upstream_circuit", "0: calls go out, 1: one call probes, 2: calls are refused", ["circuit"]
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
    "onboarding_submissions_open", "Registrations and levels in the database without a known outcome", ["state"]
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
