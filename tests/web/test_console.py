"""The operator finds a flow by what he is told, sees how it went, and learns nothing about the person."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from onboarding import rollup
from onboarding.domain.flow import Outcome
from onboarding.models import Flow, Milestone, Submission
from tests import simulated
from tests.simulated import AFTER

FLOWS, SUBMISSIONS, FUNNEL = (f"/admin/onboarding/{name}/" for name in ("flow", "submission", "funnel"))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def console(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An operator who may see flows and submissions, and a hundred of them."""
    address = simulated.sqlite(tmp_path_factory.mktemp("console"))
    if request.param == "postgres":
        address = request.getfixturevalue("postgres")
    with simulated.database(address), override_settings(ALLOWED_HOSTS=["testserver"]):
        Flow.objects.all().delete()
        simulated.flows(120, seed=3)
        rollup.run(now=AFTER)
        yield operator("view_flow", "view_submission")


def operator(*permissions: str) -> Client:
    user, _made = User.objects.get_or_create(username="-".join(permissions), is_staff=True, is_active=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def found(client: Client, address: str, **query: str) -> set[int]:
    """The rows that a list links to, on one page."""
    answer = client.get(address, {"all": "", **query})
    assert answer.status_code == 200, answer.content[:300]
    return {
        int(pk) for pk in re.findall(rf'<th class="[^"]*"><a href="{address}(\d+)/change/', answer.content.decode())
    }


def ids(**columns: Any) -> set[int]:
    return set(Flow.objects.filter(**columns).values_list("pk", flat=True))


def test_a_flow_is_found_by_its_reference_however_it_is_typed(console: Client) -> None:
    flow = Flow.objects.order_by("pk")[7]
    for typed in (flow.reference, flow.reference.lower(), flow.reference.replace("-", ""), f"  {flow.reference} "):
        assert found(console, FLOWS, q=typed) == {flow.pk}


def test_flows_are_found_by_customer_number_partner_campaign_and_outcome(console: Client) -> None:
    flow = Flow.objects.exclude(customer_no="").order_by("pk")[3]
    assert found(console, FLOWS, q=flow.customer_no) == {flow.pk}
    assert found(console, FLOWS, q="acme") == ids(partner="acme") != set()
    assert found(console, FLOWS, q="SPRING") == ids(campaign="spring") != set()
    assert found(console, FLOWS, q="passed") == ids(outcome=Outcome.PASSED) != set()
    assert found(console, FLOWS, q="open") == ids(outcome="") != set()
    assert found(console, FLOWS, q="acme spring open") == ids(partner="acme", campaign="spring", outcome="")
    assert found(console, FLOWS, q='"<script>alert(1)</script>"') == ids(campaign="<script>alert(1)</script>") != set()
    assert found(console, FLOWS, outcome="passed", partner="default") == ids(outcome="passed", partner="default")
    assert found(console, FLOWS, outcome="open") == ids(outcome="")


def test_a_partner_may_be_called_what_we_call_a_flow_without_outcome(console: Client) -> None:
    flow = Flow.objects.filter(partner="acme").order_by("pk")[0]
    Flow.objects.filter(pk=flow.pk).update(partner="open")
    assert found(console, FLOWS, partner="open") == {flow.pk}
    Flow.objects.filter(pk=flow.pk).update(partner="acme")


@pytest.mark.parametrize("search", ["%", "_", "'", '"', "\\", "spri", "' OR 1=1 --", "%00%00", "“", "x" * 5000])
def test_nothing_is_found_by_a_part_or_a_pattern(console: Client, search: str) -> None:
    assert found(console, FLOWS, q=search) == set()
    assert found(console, SUBMISSIONS, q=search) == set()


@pytest.mark.parametrize("lookup", ["campaign__regex", "handle_digest__startswith", "personal__contains", "id__gt"])
def test_a_list_is_narrowed_down_by_its_own_filters_alone(console: Client, lookup: str) -> None:
    """On SQLite `(a+)+$` against a campaign that a link may name stops the whole process."""
    assert console.get(FLOWS, {lookup: "1"}).status_code == 400
    assert console.get(SUBMISSIONS, {lookup.replace("personal", "payload"): "1"}).status_code == 400
    assert console.get(FLOWS, {"channel__exact": "email", "outcome": "open"}).status_code == 200


def test_submissions_are_found_by_reference_and_by_trace(console: Client) -> None:
    row = Submission.objects.exclude(trace="").select_related("flow").order_by("pk")[5]
    assert found(console, SUBMISSIONS, q=row.trace) == {row.pk}
    assert found(console, SUBMISSIONS, q=row.flow.reference.lower()) == {
        found.pk for found in row.flow.submissions.all()
    }


def test_no_page_of_the_console_shows_anything_personal(console: Client) -> None:
    """Not what the customer is called or typed, nor what would let somebody act in his place."""
    pages = [console.get(address, {"all": ""}).content.decode() for address in (FLOWS, SUBMISSIONS)]
    span = {"first": "2026-03-01", "last": "2026-03-31"}
    pages += [
        console.get(FUNNEL, {**span, "group": "utm_source", **extra}).content.decode()
        for extra in ({}, {"format": "csv"})
    ]
    secrets = {simulated.TOKEN, simulated.CODE, "ticket-of-a-simulated-customer"}
    flows = list(Flow.objects.exclude(outcome="")[:10]) + list(Flow.objects.filter(outcome="")[:10])
    for flow in flows:
        pages.append(console.get(f"{FLOWS}{flow.pk}/change/").content.decode())
        secrets |= {
            flow.handle_digest,
            flow.landing_digest,
            flow.previous_handle_digest or "",
            flow.identity.identifier,
        }
        for row in flow.submissions.all():
            secrets.add(row.key)
            pages.append(console.get(f"{SUBMISSIONS}{row.pk}/change/").content.decode())
    secrets |= {flow.identity.phone for flow in flows} | {flow.identity.email for flow in flows}
    text = "\n".join(pages)
    assert len(pages) > 40 and flows[0].reference in text
    assert [secret for secret in secrets - {""} if secret in text] == []
    assert "@example.org" not in text


def test_a_flow_is_shown_with_its_milestones_submissions_and_their_history(console: Client) -> None:
    row = next(row for row in Submission.objects.filter(kind="register", state="accepted") if row.history)
    text = console.get(f"{FLOWS}{row.flow_id}/change/").content.decode()
    for entry in row.history:
        assert entry["code"] in text and entry["trace"] in text
        assert entry["at"][:19].replace("T", " ") in text
    for milestone in Milestone.objects.filter(flow=row.flow_id):
        assert milestone.at.strftime("%Y-%m-%d %H:%M:%S") in text
    assert "utm_source" in text
    of_it = console.get(f"{SUBMISSIONS}{row.pk}/change/").content.decode()
    assert row.history[0]["trace"] in of_it


def test_who_may_see_flows_only_sees_their_parts_and_changes_nothing(console: Client) -> None:
    client = operator("view_flow")
    flow = Flow.objects.exclude(registered_at=None).order_by("pk")[0]
    text = client.get(f"{FLOWS}{flow.pk}/change/").content.decode()
    assert "Milestones" in text and "Submissions" in text
    assert not re.search(r'name="_save"|deletelink|name="(?:outcome|customer_no)"', text)
    before = Flow.objects.values().get(pk=flow.pk)
    for address in (f"{FLOWS}{flow.pk}/change/", f"{FLOWS}{flow.pk}/delete/", f"{FLOWS}add/"):
        assert client.post(address, {"outcome": "passed", "post": "yes"}).status_code == 403
    assert Flow.objects.values().get(pk=flow.pk) == before
    assert client.get(SUBMISSIONS).status_code == 403


def test_lists_ask_as_often_for_many_flows_as_for_few_and_count_no_further_than_they_list(console: Client) -> None:
    with CaptureQueriesContext(connection) as seen:
        console.get(FLOWS, {"q": "acme"})
    asked = [query["sql"] for query in seen if "onboarding_flow" in query["sql"]]
    assert len(asked) == 2
    assert "LIMIT 10000" in asked[0] and "COUNT" in asked[0]
    assert all('"personal"' not in sql for sql in asked)


@pytest.mark.postgres
@pytest.mark.parametrize("console", ["postgres"], indirect=True)
def test_searches_go_by_an_index(console: Client) -> None:
    """PostgreSQL told to avoid reading a whole table reads it only where no index will do."""
    with CaptureQueriesContext(connection) as seen:
        for query in (
            {"q": "spring"},
            {"q": "C123456"},
            {"q": "BCD-FGH-JKM"},
            {"q": "acme passed"},
            {"partner": "acme"},
        ):
            console.get(FLOWS, query)
        console.get(SUBMISSIONS, {"q": "a1b2c3d4e5f6"})
    asked = [q["sql"] for q in seen if re.search(r'FROM \(?.*"onboarding_(flow|submission)"', q["sql"])]
    assert len(asked) >= 12
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        for sql in asked:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan" not in plan, (sql, plan)
        cursor.execute("RESET enable_seqscan")


def test_campaigns_of_flows_begun_before_the_column_are_filled_in(console: Client) -> None:
    expected = dict(Flow.objects.values_list("pk", "campaign"))
    old = Flow.objects.order_by("pk")[0]
    kept = old.attribution
    Flow.objects.update(campaign="")
    Flow.objects.filter(pk=old.pk).update(attribution={"utm_campaign": "from an earlier release"})
    importlib.import_module("onboarding.migrations.0005_campaign").fill(apps, None)
    try:
        expected[old.pk] = "from an earlier release"
        assert dict(Flow.objects.values_list("pk", "campaign")) == expected
        rollup.count_day(old.created_at.date(), now=AFTER + timedelta(days=1))
        page = console.get(FUNNEL, {"first": old.created_at.date(), "last": old.created_at.date()}).content.decode()
        assert "from an earlier release" in page
    finally:
        Flow.objects.filter(pk=old.pk).update(attribution=kept)
