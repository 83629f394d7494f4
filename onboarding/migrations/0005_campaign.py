"""Fills the new column from what each flow already holds; a migration of its own, so that it can run while others work."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def fill(apps: Any, schema_editor: Any) -> None:
    Flow = apps.get_model("onboarding", "Flow")
    last = 0
    while True:
        rows = list(Flow.objects.filter(pk__gt=last).order_by("pk").only("pk", "attribution", "campaign")[:1000])
        if not rows:
            return
        last = rows[-1].pk
        changed = []
        for row in rows:
            stored = row.attribution or {}
            touch = stored.get("last") or stored.get("first")
            values = (touch.get("values") or {}) if touch is not None else stored
            row.campaign = str(values.get("utm_campaign") or "")[:255]
            if row.campaign:
                changed.append(row)
        Flow.objects.bulk_update(changed, ["campaign"], batch_size=200)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("onboarding", "0004_funnel")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
