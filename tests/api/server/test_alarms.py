"""The alarms and the dashboard use only metrics that a server exposes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.api.harness import Api

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
RUNBOOK = ROOT / "docs" / "how-to" / "alarms.md"
METRIC = re.compile(r"\b((?:jobledger|process)_[a-z_]+|up)\b(?!\s*=)")
SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
DURATION = re.compile(r"[0-9]+[smh]")
OF_PROMETHEUS = {"up"}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DEPLOY / "alarms.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (DEPLOY / "grafana" / "dashboards" / "jobledger.json").read_text()
    )
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


@pytest.fixture
def exposed(api: Api) -> dict[str, set[str]]:
    """Every sample that a server exposes, with its labels."""
    text = api.get("/metrics", by="viewer").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        names = [sample.name for sample in family.samples] or [family.name]
        for name in names:
            found.setdefault(name, set())
        for sample in family.samples:
            found[sample.name] |= sample.labels.keys()
    return found


def test_alarms_and_dashboard_use_only_exposed_metrics(exposed: dict[str, set[str]]) -> None:
    asked = {
        (title, name) for title, expression in expressions() for name in METRIC.findall(expression)
    }

    assert len(asked) > 30
    assert [one for one in asked if one[1] not in exposed.keys() | OF_PROMETHEUS] == []


def test_every_label_in_an_expression_is_one_of_its_metric(exposed: dict[str, set[str]]) -> None:
    scraped = {"job", "instance", "part"}
    for title, expression in expressions():
        for name, inner in SELECTOR.findall(expression):
            labels = set(re.findall(r"(\w+)\s*=", inner))
            assert labels <= exposed.get(name, set()) | scraped, title
        for inner in re.findall(r"\bby \(([^)]*)\)", expression):
            known = set().union(*(exposed.get(name, set()) for name in METRIC.findall(expression)))
            assert set(re.findall(r"\w+", inner)) <= known | scraped, title


def test_every_metric_is_used_by_an_alarm_or_the_dashboard(exposed: dict[str, set[str]]) -> None:
    seen = {name for _, expression in expressions() for name in METRIC.findall(expression)}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed if "jobledger" in name}
    ours = {name for name in ours if not name.endswith("_created")}

    assert {name for name in ours if not any(one.startswith(name) for one in seen)} == set()


def test_the_rules_have_the_shape_of_prometheus() -> None:
    for rule in rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert re.fullmatch(r"Jobledger[A-Za-z]+", rule["alert"])
        assert DURATION.fullmatch(rule.get("for", "0m"))
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["annotations"]["summary"]


def test_the_runbook_has_exactly_the_alarms_of_the_rules() -> None:
    names = [rule["alert"] for rule in rules()]
    page = RUNBOOK.read_text()
    parts = re.split(r"^### (\w+)\n", page, flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))

    assert list(sections) == names
    assert len(set(names)) == len(names)
    for rule in rules():
        severity = rule["labels"]["severity"].capitalize()
        assert sections[rule["alert"]].strip().startswith(f"{severity}. ")
        link = f"{RUNBOOK.relative_to(ROOT)}#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook"] == link


def test_grafana_can_load_the_dashboard() -> None:
    panels = dashboard()["panels"]
    source = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"][0]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert max(x for x, _ in taken) < 24
    assert len(set(taken)) == len(taken)
