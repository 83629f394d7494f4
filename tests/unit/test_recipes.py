"""The recipes in deploy/ and compose.yaml name what is really there, and run without rights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.urls import resolve
from prometheus_client import REGISTRY

import onboarding.metrics  # noqa: F401 (its names stand in the registry)

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
EXAMPLE = set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))


def manifests() -> list[dict[str, Any]]:
    return [found for path in KUBERNETES for found in yaml.safe_load_all(path.read_text())]


def pods() -> list[dict[str, Any]]:
    return [found["spec"]["template"]["spec"] for found in manifests() if found["kind"] in ("Deployment", "Job")]


def containers() -> list[dict[str, Any]]:
    return [container for pod in pods() for container in pod["containers"]]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


def commands() -> Iterator[list[str]]:
    yield from (container["command"] for container in containers() if "command" in container)
    yield from (service["command"] for service in compose().values() if "command" in service)


def test_every_command_of_a_recipe_exists() -> None:
    found = {command[2] for command in commands()}
    assert found == {"migrate", "settle", "purge", "webhooks", "rollup"}
    assert found <= set(get_commands())
    assert all(command[:2] == ["python", "manage.py"] for command in commands())


def test_every_setting_of_a_recipe_is_one() -> None:
    named = {name for found in manifests() if found["kind"] == "ConfigMap" for name in found["data"]}
    named |= set(re.findall(r"--from-literal=(\w+)", (DEPLOY / "kubernetes" / "settings.yaml").read_text()))
    named |= {name for service in compose().values() if "env_file" in service for name in service["environment"]}
    assert named <= EXAMPLE, named - EXAMPLE


def test_pods_run_without_rights_on_a_read_only_file_system() -> None:
    assert len(pods()) == 3
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
    for container in containers():
        rights = container["securityContext"]
        assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


def test_services_of_compose_run_without_rights_on_a_read_only_file_system() -> None:
    for name, service in compose().items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert any(place.startswith("/tmp") for place in service["tmpfs"]), name
    assert compose()["front"]["deploy"]["replicas"] == 2


def test_probes_ask_addresses_that_exist_by_a_host_that_is_allowed() -> None:
    (front,) = [container for container in containers() if "readinessProbe" in container]
    hosts = next(found["data"]["ALLOWED_HOSTS"] for found in manifests() if found["kind"] == "ConfigMap").split(",")
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = front[name]["httpGet"]
        assert resolve(asked["path"]).url_name == asked["path"].strip("/")
        assert asked["httpHeaders"][0]["value"] in hosts
    assert front["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_whoever_ends_a_front_end_waits_longer_than_a_request_may_take() -> None:
    budget = settings.REQUEST_BUDGET_SECONDS
    assert all(pod["terminationGracePeriodSeconds"] > budget + 5 for pod in pods() if pod.get("restartPolicy") is None)
    assert int(compose()["front"]["stop_grace_period"].removesuffix("s")) > budget
    nginx = (DEPLOY / "nginx.conf").read_text()
    assert int(re.findall(r"proxy_read_timeout (\d+)s", nginx)[0]) > budget + 8
    assert int(re.findall(r"client_max_body_size (\d+)m", nginx)[0]) * 1024 * 1024 > settings.BODY_MAX_BYTES
    assert "proxy_request_buffering on" in nginx and "underscores_in_headers" not in nginx


def test_the_kustomization_names_every_file() -> None:
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in KUBERNETES if path.name != "kustomization.yaml"]


@pytest.mark.parametrize("name", ["grafana/onboarding.json", "prometheus/alerts.yaml"])
def test_dashboards_and_alarms_read_numbers_that_exist_by_labels_that_exist(name: str) -> None:
    text = (DEPLOY / name).read_text()
    read = json.loads(text)["panels"] if name.endswith(".json") else yaml.safe_load(text)["groups"][0]["rules"]
    asked = [target["expr"] for panel in read for target in panel["targets"]] if "json" in name else [
        rule["expr"] for rule in read
    ]  # fmt: skip
    labels: dict[str, set[str]] = {}
    for collector in {*REGISTRY._collector_to_names}:
        for sample in REGISTRY._collector_to_names[collector]:
            labels[sample] = {*getattr(collector, "_labelnames", ())}
    for expression in asked:
        names = re.findall(r"onboarding_\w+", expression)
        assert names and set(names) <= set(labels), expression
        known = {label for one in names for label in labels[one]} | {"le", "instance"}
        used = {word for group in re.findall(r"by \(([^)]*)\)", expression) for word in group.split(", ")}
        used |= set(re.findall(r"[{,](\w+)=", expression))
        assert used <= known, expression
