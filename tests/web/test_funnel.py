"""The funnel agrees with the flows and submissions that it counts, whatever they met and whoever counts when."""

from __future__ import annotations

import csv
import html
import io
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings

from onboarding import rollup, services
from onboarding.domain.attribution import Touches
from onboarding.domain.flow import Outcome, Progress
from onboarding.domain.funnel import COLUMNS, LOST, OTHER, PROPERTIES, Dimension, stage_of
from onboarding.funnel_admin import label
from onboarding.models import Flow, Funnel, FunnelRound, Milestone, MilestoneKind, Submission, SubmissionKind
from onboarding.reports import TOP, Filters, report
from onboarding.sheets import safe_cell
from onboarding.upstream.codes import EXISTS_CODES
from tests import simulated
from tests.simulated import AFTER, DAYS, PARTNERS, START, Way
from tests.support import ROOT, Server

FUNNEL = "/admin/onboarding/funnel/"
MANY = 10_002  # a multiple of simulated.TIMES_STORED
LAST = START + timedelta(days=DAYS + 1)
RANGE = {"first": str(START.date()), "last": str(LAST.date())}


def operator(*permissions: str, **extra: Any) -> Client:
    """Somebody of the staff who may do this, logged in."""
    user, _made = User.objects.get_or_create(username="-".join(permissions) or "nothing", is_staff=True, is_active=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(**extra)
    client.force_login(user)
    return client


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This process works on ten thousand counted flows."""
    address = simulated.many(tmp_path_factory.mktemp("funnel"), MANY)
    with simulated.database(address), override_settings(ALLOWED_HOSTS=["testserver"]):
        rollup.run(now=AFTER)
        yield


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[str]:
    """This process works on an empty database, whose address this is."""
    address = simulated.sqlite(tmp_path)
    with simulated.database(address), override_settings(ALLOWED_HOSTS=["testserver"]):
        yield address


# -- Counted once more, from the flows and submissions -----------------------------------------------------------------


def answers(submission: Submission) -> list[tuple[str, str]]:
    """(state, code) of every definite answer."""
    earlier = [(entry["state"], entry["code"]) for entry in submission.history]
    return [*earlier, (submission.state, submission.code)]


def stages_of(flow: Flow, submissions: Iterable[Submission]) -> set[str]:
    """The stages that the flow reached, by what its submissions say."""
    found = {"identified"}
    for submission in submissions:
        accepted = any(state == Progress.ACCEPTED for state, _code in answers(submission))
        match submission.kind:
            case SubmissionKind.CODE if accepted:
                found.add("code_sent")
            case SubmissionKind.REGISTER:
                found |= {"verified", "registered"} if accepted else set()
                found |= {"verified" for _state, code in answers(submission) if code in EXISTS_CODES}
            case SubmissionKind.LEVEL if accepted:
                found.add(f"submitted:{submission.level}")
    asked = {f"submitted:{level.code}" for level in flow.levels}
    if "registered" in found and asked <= found:
        found.add("done:in_review" if asked else "done:registered")
    if flow.outcome == Outcome.PASSED:
        found.add("done:passed")
    return found


def refusals_of(submissions: list[Submission]) -> tuple[set[str], str]:
    """The codes that the flow met, and the one that nothing came after."""
    met = {code for s in submissions for state, code in answers(s) if state == Progress.REJECTED}
    last = max(submissions, key=lambda s: s.ended_at or START, default=None)
    return met, last.code if last is not None and last.state == Progress.REJECTED else ""


def value_of(flow: Flow, dimension: Dimension) -> str:
    if dimension in COLUMNS:
        return str(getattr(flow, dimension))
    return Touches.of(flow.attribution).last.values.get(dimension, "")


class Counts:
    """Everything that the page may be asked for, counted flow by flow."""

    def __init__(self) -> None:
        self.flows = list(Flow.objects.prefetch_related("submissions"))
        self.stages = {flow.pk: stages_of(flow, flow.submissions.all()) for flow in self.flows}

    def of(self, partner: str) -> list[Flow]:
        return [flow for flow in self.flows if partner in ("", flow.partner)]

    def by(self, flows: Iterable[Flow], value: Any) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = {}
        for flow in flows:
            found.setdefault(value(flow), Counter()).update(self.stages[flow.pk])
        return found

    def refusals(self, flows: Iterable[Flow]) -> tuple[Counter[str], Counter[str]]:
        met: Counter[str] = Counter()
        lost: Counter[str] = Counter()
        for flow in flows:
            codes, last = refusals_of(list(flow.submissions.all()))
            met.update(codes)
            lost.update([last] if last else [])
        return met, lost


@pytest.fixture(scope="module")
def truth(counted: None) -> Counts:
    return Counts()


# -- Reading the page --------------------------------------------------------------------------------------------------


def tables(text: str) -> dict[str, list[list[str]]]:
    """The page's tables by caption, as rows of texts, heads and sums included; our own words with a star before."""
    text = text.replace("<em>", "*")
    found = {}
    for table in re.findall(r"<table>.*?</table>", text, re.DOTALL):
        caption = html.unescape(re.search(r"<caption>(.*?)</caption>", table, re.DOTALL)[1])  # type: ignore[index]
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
        found[caption] = [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]
    return found


def numbers(row: list[str]) -> list[int]:
    return [int(cell.replace(",", "")) for cell in row]


def page(**query: str) -> dict[str, list[list[str]]]:
    answer = operator("view_flow").get(FUNNEL, RANGE | query)
    assert answer.status_code == 200
    return tables(answer.content.decode())


def sheet(**query: str) -> list[list[str]]:
    answer = operator("view_flow").get(FUNNEL, RANGE | query | {"format": "csv"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def as_counts(rows: list[list[str]]) -> dict[str, Counter[str]]:
    """A table of groups: value → stage's label → flows, without the zeros."""
    head, *body = rows
    return {
        row[0]: Counter({name: n for name, n in zip(head[1:-1], numbers(row[1:-1]), strict=True) if n}) for row in body
    }


def labelled(counts: Mapping[str, int]) -> Counter[str]:
    return Counter({label(stage): flows for stage, flows in counts.items() if flows})


# -- The sums ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partner", ["", *PARTNERS])
def test_every_sum_of_the_page_agrees_with_the_flows_and_submissions(truth: Counts, partner: str) -> None:
    flows = truth.of(partner)
    total = sum(truth.by(flows, lambda _flow: "").values(), Counter())
    assert len(truth.flows) == MANY and len(total) == 10 and min(total.values()) > 20
    for group in PROPERTIES if not partner else (Dimension.PARTNER, Dimension.DEVICE, Dimension.UTM_TERM):
        shown = page(partner=partner, group=group)
        stages = {row[0]: int(row[1].replace(",", "")) for row in shown["Flows by stage"][1:]}
        assert Counter(stages) == labelled(total)
        groups = as_counts(shown["Flows by group and stage"])
        assert groups.pop("*sum") == labelled(total)
        assert sum(groups.values(), Counter()) == labelled(total), group
        expected = truth.by(flows, lambda flow, group=group: value_of(flow, group) or "*none")
        if len(expected) > TOP:
            assert group == Dimension.UTM_TERM
            assert set(groups) - set(expected) == {"*other"} and len(groups) == TOP + 1
        else:
            assert groups == {value: labelled(counts) for value, counts in expected.items()}, group
    days = as_counts(shown["Flows by day and stage"])
    assert days.pop("*sum") == labelled(total)
    by_day = truth.by(flows, lambda flow: str(flow.created_at.date()))
    assert {day: n for day, n in days.items() if n} == {day: labelled(n) for day, n in by_day.items()}


@pytest.mark.parametrize("partner", ["", "acme"])
def test_the_codes_that_cost_flows_agree_with_the_submissions(truth: Counts, partner: str) -> None:
    met, lost = truth.refusals(truth.of(partner))
    rows = page(partner=partner)["Refusals by code"][1:]
    assert {code: numbers(row) for code, *row in rows} == {code: [lost[code], met[code]] for code in met}
    assert [numbers(row)[0] for _code, *row in rows] == sorted((lost[code] for code in met), reverse=True)
    assert sum(lost.values()) > 100 and len(met) > 4


def test_medians_are_those_of_the_milestones_within_five_percent(counted: None) -> None:
    found: dict[str, list[float]] = {}
    before: tuple[int, datetime] | None = None
    milestones = Milestone.objects.exclude(kind=MilestoneKind.REFUSED).order_by("flow_id", "at", "id")
    for row in milestones:
        if before is not None and before[0] == row.flow_id:
            found.setdefault(stage_of(row.kind, row.detail), []).append((row.at - before[1]).total_seconds())
        before = (row.flow_id, row.at)
    shown = {stage.name: stage.seconds for stage in report(Filters(START.date(), LAST.date())).stages}
    assert shown.pop("identified") is None
    assert shown.pop("registered") == 0.0 and set(found.pop("registered")) == {0.0}
    assert shown.pop("done:in_review") == 0.0  # told in the moment of the last level
    for stage, seconds in shown.items():
        middle = sorted(found[stage])[(len(found[stage]) - 1) // 2]
        assert seconds == (pytest.approx(middle, rel=0.05) if middle >= 1 else 0.0), stage


@pytest.mark.parametrize("group", ["utm_source", "utm_term", "country"])
def test_the_sheet_holds_the_numbers_of_the_page(counted: None, group: str) -> None:
    shown, (head, *rows) = page(group=group), sheet(group=group)
    assert head == ["part", "value", "stage", "flows", "median seconds"]
    by_part: dict[str, dict[str, Counter[str]]] = {}
    for part, value, stage, flows, _seconds in rows:
        by_part.setdefault(part, {}).setdefault(value.lstrip("'"), Counter())[stage.lstrip("'")] += int(flows)
    for part, caption in (("day", "Flows by day and stage"), (group, "Flows by group and stage")):
        expected = as_counts(shown[caption])
        del expected["*sum"]
        ours = {"*none": "", "*other": "(other)"}
        expected = {ours.get(value, safe_cell(value).lstrip("'")): counts for value, counts in expected.items()}
        assert {value: +counts for value, counts in by_part[part].items()} == expected
    stages = {row[0]: int(row[1].replace(",", "")) for row in shown["Flows by stage"][1:]}
    assert +by_part["funnel"][""] == +Counter(stages)
    refusals = {code: numbers(row) for code, *row in shown["Refusals by code"][1:]}
    assert {code: [n["lost"], n["met"]] for code, n in by_part["refusal"].items()} == refusals


def test_a_day_keeps_a_bounded_number_of_values_and_loses_no_flow(counted: None) -> None:
    rows = Funnel.objects.filter(dimension=Dimension.UTM_TERM)
    for partner in ("", "acme"):
        per_day = Counter(rows.filter(partner=partner).values_list("day", flat=True))
        assert max(per_day.values()) <= rollup.KEPT + 2  # none and other
    assert rows.filter(partner="", value=OTHER).exists()


def test_the_page_reads_counts_only_and_asks_as_often_of_ten_thousand_flows_as_of_none(
    counted: None, tmp_path: Path
) -> None:
    def queries() -> list[str]:
        client = operator("view_flow")
        with CaptureQueriesContext(connection) as seen:
            assert client.get(FUNNEL, RANGE).status_code == 200
        return [query["sql"] for query in seen]

    of_many = queries()
    touched = {name for sql in of_many for name in re.findall(r'(?:FROM|JOIN) "(\w+)"', sql)}
    assert {name for name in touched if name.startswith("onboarding")} == {
        "onboarding_funnel", "onboarding_funnelround"
    }  # fmt: skip
    with simulated.database(simulated.sqlite(tmp_path)):
        assert len(queries()) == len(of_many)


def test_hostile_values_are_text_on_the_page_and_no_formula_in_the_sheet(counted: None) -> None:
    answer = operator("view_flow").get(FUNNEL, RANGE | {"group": "utm_campaign"}).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer and "<script>alert(1)" not in answer
    assert not re.search(r"\sstyle=|<script(?![^>]*\ssrc=)(?![^>]*application/json)", answer)
    for group in ("utm_source", "utm_campaign"):
        for row in sheet(group=group):
            assert not [cell for cell in row if re.match(r"[\s\"]*[=+\-@＝]", cell)], row


# -- Counting ----------------------------------------------------------------------------------------------------------


def counts() -> dict[tuple[Any, ...], int]:
    names = ("day", "partner", "dimension", "value")
    rows = Funnel.objects.values_list(*names, "flows")
    return {(*row[:-1], stage): flows for row in rows for stage, flows in row[-1].items()}


def from_scratch(now: datetime) -> dict[tuple[Any, ...], int]:
    kept = list(Funnel.objects.values()), list(FunnelRound.objects.values())
    Funnel.objects.all().delete()
    FunnelRound.objects.all().delete()
    rollup.run(now=now)
    found = counts()
    Funnel.objects.all().delete()
    Funnel.objects.bulk_create([Funnel(**row) for row in kept[0]])
    FunnelRound.objects.all().delete()
    FunnelRound.objects.bulk_create([FunnelRound(**row) for row in kept[1]])
    return found


def begin(count: int, now: datetime) -> list[Way]:
    dice = Random(count)
    return [simulated.begin(dice, number, now) for number in range(count)]


def test_counting_what_changed_gives_the_same_as_counting_all_anew(fresh: str) -> None:
    ways: list[Way] = []
    now = START
    for round_ in range(4):
        ways += begin(20 + round_, now + timedelta(hours=1))
        for way in ways[::3]:
            way.now = max(way.now, now + timedelta(hours=1))
            if not Milestone.objects.filter(flow=way.flow, kind=MilestoneKind.CODE_SENT).exists():
                way.go()
        for way in ways[1::5]:  # no milestone, but another language
            services.set_language(flow=way.flow, language="es", now=now + timedelta(hours=2))
        now += timedelta(days=2)
        rollup.run(now=now)
        assert counts() == from_scratch(now), round_
    rollup.run(now=AFTER)  # by now all have expired, and some were lost
    assert counts() == from_scratch(AFTER)
    assert any(key[2] == Dimension.REFUSED and key[4] == LOST for key in counts())


def test_only_days_with_news_are_counted(fresh: str) -> None:
    first, second = begin(3, START), begin(3, START + timedelta(days=1))
    now = START + timedelta(days=10)
    assert rollup.run(now=now) == rollup.Round(2, 0)
    assert rollup.run(now=now + timedelta(hours=1)) == rollup.Round(0, 0)
    second[0].now = now + timedelta(hours=2)
    second[0].register(())
    assert rollup.run(now=now + timedelta(hours=3)) == rollup.Round(1, 0)
    assert rollup.run(now=now + timedelta(hours=3, minutes=1)).counted == 0
    del first


def test_what_was_committed_late_is_counted_by_the_next_round(fresh: str) -> None:
    (way,) = begin(1, START)
    now = START + timedelta(hours=5)
    rollup.run(now=now)
    way.now = now - timedelta(minutes=4)  # happened before the round, was committed after it
    way.register(())
    rollup.run(now=now + timedelta(minutes=1))
    assert report(Filters(START.date(), START.date())).days[0].flows["registered"] == 1


def test_a_refusal_met_again_later_is_the_one_that_cost_the_flow(fresh: str) -> None:
    (way,) = begin(1, START)
    Flow.objects.update(sends=2)
    way.refuse(SubmissionKind.CODE, "SAME")
    way.write(SubmissionKind.CODE, "ticket")
    rollup.run(now=AFTER)
    assert [(row.met, row.lost) for row in report(Filters(START.date(), START.date())).refusals] == [(1, 0)]
    way.refuse(SubmissionKind.REGISTER, "SAME")
    rollup.run(now=AFTER + timedelta(minutes=1))  # nothing is as late as this in truth
    rollup.count_day(START.date(), now=AFTER)
    assert [(row.met, row.lost) for row in report(Filters(START.date(), START.date())).refusals] == [(1, 1)]


def test_a_flow_that_may_still_go_on_is_not_lost(fresh: str) -> None:
    (way,) = begin(1, START)
    Flow.objects.update(sends=1)
    way.refuse(SubmissionKind.CODE, "SOON")
    for minutes, lost in ((5, 0), (30, 0), (90, 1)):
        rollup.run(now=START + timedelta(minutes=minutes))
        (row,) = report(Filters(START.date(), START.date())).refusals
        assert (row.code, row.met, row.lost) == ("SOON", 1, lost), minutes


def test_counts_outlive_the_flows_that_they_count(fresh: str) -> None:
    begin(5, START)
    rollup.run(now=AFTER)
    before = counts()
    Flow.objects.all().delete()
    rollup.run(now=AFTER + timedelta(minutes=1))
    assert counts() == before and before


def test_a_press_that_has_no_time_says_what_is_left(fresh: str) -> None:
    begin(2, START)
    begin(2, START + timedelta(days=1))
    assert rollup.run(now=AFTER, seconds=-1) == rollup.Round(0, 2)
    assert FunnelRound.objects.get().counted_at is None
    answer = operator("view_flow").post(FUNNEL, follow=True)
    assert "Days counted: 2." in answer.content.decode()
    assert FunnelRound.objects.get().counted_at is not None


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """This process works on a few hundred flows in a fresh SQLite file or in PostgreSQL; the address."""
    address = simulated.sqlite(tmp_path)
    if request.param == "postgres":
        address = request.getfixturevalue("postgres")
    with simulated.database(address), override_settings(ALLOWED_HOSTS=["testserver"]):
        Flow.objects.all().delete()
        Funnel.objects.all().delete()
        FunnelRound.objects.all().delete()
        simulated.flows(200, seed=2)
        yield address


def test_two_processes_that_count_at_once_count_right(small: str) -> None:
    server = Server(database=small, upstream="http://127.0.0.1:9/api")
    command = [sys.executable, "manage.py", "rollup"]
    running = [subprocess.Popen(command, cwd=ROOT, env=server.env, stderr=subprocess.PIPE) for _ in range(2)]
    rollup.run(now=AFTER)  # and a third
    assert [(process.wait(60), process.communicate()[1]) for process in running] == [(0, b"")] * 2
    flows = Counts()
    total = sum(flows.by(flows.flows, lambda _flow: "").values(), Counter())
    groups = as_counts(page(group="utm_source")["Flows by group and stage"])
    assert groups.pop("*sum") == labelled(total) == sum(groups.values(), Counter())
    assert counts() == from_scratch(AFTER)


@pytest.mark.postgres
@pytest.mark.parametrize("small", ["postgres"], indirect=True)  # SQLite lets nobody write meanwhile
def test_a_partner_whose_first_flow_begins_while_its_day_is_counted_is_counted(small: str) -> None:
    last = Flow.objects.latest("pk")
    kinds = list(last.milestones.values_list("kind", "detail", "at"))
    last.delete()
    last.pk, last.partner, last.attribution = None, "new-here", {"utm_source": "letter"}

    def arrive() -> None:
        last.save(force_insert=True)
        Milestone.objects.bulk_create(Milestone(flow=last, kind=k, detail=d, at=at) for k, d, at in kinds)
        connection.close()

    def before_the_flows_are_read(execute: Any, sql: str, *args: Any) -> Any:
        if last.pk is None and 'FROM "onboarding_milestone"' in sql:
            with ThreadPoolExecutor() as pool:  # a connection of its own
                pool.submit(arrive).result()
        return execute(sql, *args)

    FunnelRound.objects.create(pk=1)
    day = last.created_at.date()
    with connection.execute_wrapper(before_the_flows_are_read):
        rollup.count_day(day, now=AFTER)
    assert last.pk is not None
    assert report(Filters(day, day, "new-here")).stages[0].flows == 1
    rollup.run(now=AFTER)
    assert counts() == from_scratch(AFTER)


# -- Who may see it ----------------------------------------------------------------------------------------------------


def test_only_staff_who_may_see_flows_see_the_funnel(fresh: str) -> None:
    assert Client().get(FUNNEL).status_code == 302
    for method in ("get", "post"):
        assert getattr(operator("view_submission"), method)(FUNNEL).status_code == 403
    client = operator("view_flow")
    assert client.get(FUNNEL).status_code == 200
    assert f'href="{FUNNEL}"' in client.get("/admin/").content.decode()
    assert f'href="{FUNNEL}"' not in operator("view_submission").get("/admin/").content.decode()


def test_a_foreign_page_cannot_press_the_button(fresh: str) -> None:
    assert operator("view_flow", enforce_csrf_checks=True).post(FUNNEL).status_code == 403
    assert not FunnelRound.objects.exists()


@pytest.mark.parametrize(
    "query",
    [
        {"first": "2026-03-02", "last": "2026-03-01"}, {"first": "2020-01-01", "last": "2026-01-01"},
        {"first": "yesterday"}, {"partner": "nobody"}, {"group": "seconds"}, {"group": "reference"},
        {"first": "\x00"}, {"partner": "' OR 1=1 --"},
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_told_so(fresh: str, query: dict[str, str]) -> None:
    for extra in ({}, {"format": "csv"}):
        answer = operator("view_flow").get(FUNNEL, query | extra)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.content.decode()


def test_the_last_thirty_days_are_shown_where_nothing_was_asked_for(fresh: str) -> None:
    shown = tables(operator("view_flow").get(FUNNEL).content.decode())
    days = [row[0] for row in shown["Flows by day and stage"][1:-1]]
    assert len(days) == 30
    assert date.fromisoformat(days[-1]) - date.fromisoformat(days[0]) == timedelta(days=29)
