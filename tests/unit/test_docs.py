"""docs/embedding.md and docs/privacy.md say what the code does: their lists are those of the code."""

from __future__ import annotations

import re
from datetime import timedelta

from django.apps import apps
from django.conf import settings

from onboarding import webhooks
from onboarding.domain.attribution import UTM_KEYS
from onboarding.models import Partner, SealedField
from tests.support import ROOT

PAGE = (ROOT / "docs" / "embedding.md").read_text()
SCRIPT = (ROOT / "static" / "js" / "embed.js").read_text()


def rows(heading: str) -> dict[str, str]:
    """First cell → the rest, of the first table after this heading."""
    part = PAGE[PAGE.index(f"{heading}\n") :]
    table = part[part.index("\n|") :].split("\n\n", 1)[0]
    cells = [line.strip("| ").split(" | ", 1) for line in table.strip().splitlines()[2:]]
    return {first.strip("`"): rest for first, rest in cells}


def test_every_event_is_documented_with_its_payload() -> None:
    listed = re.search(r"PAYLOADS = \{(.*?)\};", SCRIPT, re.DOTALL)
    assert listed is not None
    sent = {name: re.findall(r"\w+", keys) for name, keys in re.findall(r"(\w+): \[(.*?)\]", listed[1])}
    told = {name: re.findall(r"\w+", rest.split("|")[0]) for name, rest in rows("## Events").items()}
    assert told == sent


def test_every_attribute_that_the_script_reads_is_documented() -> None:
    listed = {name for cell in rows("## The snippet") for name in re.findall(r"data-[\w-]+", cell)}
    read = set(re.findall(r"given\.(\w+)", SCRIPT)) - {"onboarding"} | set(re.findall(r'"data-(\w+)"', SCRIPT))
    read |= set(re.findall(r'"(\w+)" in given', SCRIPT)) | {"country", "channel", "email", "lang"}
    assert listed == {f"data-{name}" for name in read} | {f"data-{key.replace('_', '-')}" for key in UTM_KEYS}


def test_every_field_of_a_partner_is_documented() -> None:
    listed = {name for cell in rows("## For the operator") for name in cell.split(", ")}
    fields = {field.verbose_name for field in Partner._meta.fields if field.editable and field.name != "id"}
    assert listed == fields


def test_the_tries_of_webhooks_are_as_documented() -> None:
    assert "eleven tries in about three days" in " ".join(PAGE.split())
    assert len(webhooks.PAUSES) + 1 == 11
    assert timedelta(days=2.5) < sum(webhooks.PAUSES, timedelta()) < timedelta(days=3.5)
    assert f"{webhooks.OLD_KEY_HOURS} hours" in PAGE
    assert f"for {settings.KEEP_EVENTS_DAYS:g} days" in PAGE


def test_every_column_is_told_with_how_long_it_is_kept() -> None:
    page = (ROOT / "docs" / "privacy.md").read_text()
    told: dict[str, str] = {}
    for line in page[page.index("### Every column") :].split("\n\n", 3)[2].splitlines()[2:]:
        table, columns, holds, until = line.strip("| ").split(" | ")
        assert until
        told |= {f"{table.strip('`')}.{name}": holds for name in re.findall(r"`(\w+)`", columns)}
    fields = {
        f"{model.__name__}.{field.name}": isinstance(field, SealedField)
        for model in apps.get_app_config("onboarding").get_models()
        for field in model._meta.concrete_fields
    }
    assert set(told) == set(fields)
    assert {name for name, holds in told.items() if holds.startswith("**sealed**")} == {
        n for n, s in fields.items() if s
    }
