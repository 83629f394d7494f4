"""/metrics with several workers, and what of it dashboards and alarms read."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import requests

from onboarding.sandbox.server import Sandbox
from tests.support import Customer, Server


def value(text: str, name: str) -> float:
    """The sum over all labels."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))


def test_workers_count_together_and_what_a_dead_one_was_doing_is_not_told(sandbox: Sandbox, tmp_path: Path) -> None:
    server = Server(
        database=f"sqlite:///{tmp_path / 'onboarding.sqlite3'}", upstream=sandbox.url + "/api",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"), GRANIAN_WORKERS="2",
    )  # fmt: skip
    with server.migrate():
        for _ in range(30):  # a new connection each, so that both get some
            assert requests.get(server.url + "/", timeout=20).ok
        texts = [requests.get(server.url + "/metrics", timeout=20).text for _ in range(10)]
        assert {value(text, "onboarding_page_seconds_count") for text in texts} == {30.0}
        assert all(value(text, "onboarding_in_flight") == 0 for text in texts)
        left = tmp_path / "metrics" / "gauge_livesum_999999999.db"
        left.write_bytes((next((tmp_path / "metrics").glob("gauge_livesum_*.db"))).read_bytes())
        assert requests.get(server.url + "/metrics", timeout=20).ok
        assert not left.exists()
        server.stop(signal.SIGKILL)  # SIGTERM to the workers as well would let them wait for each other


def test_pages_are_timed_by_address_and_status_and_foreign_frames_counted(server: Server, customer: Customer) -> None:
    def read() -> str:
        return requests.get(server.url + "/metrics", timeout=20).text

    before = read()
    customer.identify()
    framed = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"}
    assert "'none'" in requests.get(server.url + "/", headers=framed, timeout=20).headers["Content-Security-Policy"]
    requests.get(server.url + "/", headers={**framed, "Sec-Fetch-Dest": "document"}, timeout=20)
    after = read()
    assert value(after, "onboarding_frames_refused_total") - value(before, "onboarding_frames_refused_total") == 1
    assert 'onboarding_page_seconds_count{page="start",status="303"}' in after
    assert 'onboarding_page_seconds_count{page="flow",status="200"}' in after
    labels = set(re.findall(r'page="([^"]*)"', after))
    assert all(re.fullmatch(r"[a-z-]+", label) for label in labels)
