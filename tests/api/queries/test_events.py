"""The audit and the history over HTTP: filters, orders, cursors, formats, states around events."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import orjson
import pytest

from api.http.formats import COLUMNS, safe_cell
from tests.api.harness import Api, problem
from tests.support.builders import MINUTE

EVENT_KEYS = {
    "position", "topic", "event_version", "job_id", "version", "recorded_at", "timestamp", "actor",
    "source", "command_id", "correlation_id", "reason", "data",
}  # fmt: skip


def _events(api: Api, query: str) -> list[dict[str, Any]]:
    answer = api.get(f"/v1/events?{query}")
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


def _a_busy_ledger(api: Api) -> dict[str, str]:
    """Two jobs with a history, of two actors, an hour apart."""
    first = api.failed_job("first")
    api.clock.advance(timedelta(hours=1))
    second = api.schedule("second")
    api.post(f"/v1/jobs/{second}/pause", {"reason": "=1+1"}, by="operator")
    return {"first": first, "second": second}


def test_an_event_has_the_fixed_shape(api: Api) -> None:
    api.schedule()

    answer = api.get("/v1/events").json()

    assert answer.keys() == {"events", "next", "position"}
    assert all(event.keys() == EVENT_KEYS for event in answer["events"])
    assert [event["position"] for event in answer["events"]] == [1, 2, 3]


def test_each_filter_of_the_audit_narrows_it(api: Api) -> None:
    jobs = _a_busy_ledger(api)

    def topics(query: str) -> list[str]:
        return [event["topic"] for event in _events(api, query)]

    assert topics("actor=operator-token") == ["job.paused"]
    assert topics("kind=system") == ["token.created"]
    both = ["job.circuit_tripped", "job.paused"]
    assert topics("topic=job.paused&topic=job.circuit_tripped") == both
    assert topics(f"job={jobs['second']}") == ["job.scheduled", "job.paused"]
    assert topics("failure_class=rate_limited") == ["job.run_failed", "job.circuit_tripped"]
    assert set(topics("source=http")) == {"job.scheduled", "name.reserved", "job.paused"}
    assert topics("actor=operator-token&kind=system") == topics("actor=dispatcher") == []


def test_since_and_until_are_inclusive(api: Api) -> None:
    _a_busy_ledger(api)
    events = _events(api, "")
    middle = events[len(events) // 2]["recorded_at"]

    later, earlier = _events(api, f"since={middle}"), _events(api, f"until={middle}")

    assert [event for event in events if event["recorded_at"] >= middle] == later
    assert [event for event in events if event["recorded_at"] <= middle] == earlier
    assert _events(api, "since=0001-01-01T00:00:00Z") == events
    assert _events(api, "until=9999-12-31T23:59:59Z") == events
    assert _events(api, "until=0001-01-01T00:00:00Z") == []


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/jobs/{first}/events"])
def test_pages_join_into_the_whole_in_both_orders(api: Api, path: str, order: str) -> None:
    path = path.format(**_a_busy_ledger(api))
    whole = api.get(f"{path}?order={order}").json()["events"]

    seen: list[dict[str, Any]] = []
    page = api.get(f"{path}?order={order}&limit=2").json()
    while page["next"] is not None:
        assert len(page["events"]) == 2
        seen += page["events"]
        page = api.get(f"{path}?order={order}&limit=2&cursor={page['next']}").json()

    assert seen + page["events"] == whole
    positions = [event["position"] for event in whole]
    assert positions == sorted(positions, reverse=order == "desc")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("topic=job.pausd", "topic"),
        ("topic=job.scheduled&topic=job.Paused", "topic"),
        ("actor=nobody", "actor"),
        ("kind=robot", "kind"),
        ("source=fax", "source"),
        ("failure_class=none", "failure_class"),
        ("job=7", "job"),
        ("since=yesterday", "since"),
        ("since=2026-03-02T12:00:01Z&until=2026-03-02T12:00:00Z", "until"),
        ("until=2026-03-02T12:00:00", "until"),
        ("order=random", "order"),
        ("cursor=x", "cursor"),
        ("limit=1001", "limit"),
        ("format=xml", "format"),
    ],
)
def test_a_filter_that_cannot_match_is_refused(api: Api, query: str, field: str) -> None:
    assert problem(api.get(f"/v1/events?{query}"), 422, "invalid_field")["field"] == field


def test_json_lines_have_the_same_events_as_the_pages(api: Api) -> None:
    _a_busy_ledger(api)

    answer = api.get("/v1/events?format=jsonl")

    lines = [orjson.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/jsonl"
    assert lines == _events(api, "")
    assert len(api.get("/v1/events?format=jsonl&limit=3").text.splitlines()) == 3


def test_csv_has_the_same_events_and_no_formula(api: Api) -> None:
    _a_busy_ledger(api)

    answer = api.get("/v1/events?format=csv")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert [row["topic"] for row in rows] == [event["topic"] for event in _events(api, "")]
    assert rows[-1]["reason"] == "'=1+1"
    assert orjson.loads(rows[0]["data"])["name"] == "admin"
    assert tuple(rows[0]) == COLUMNS


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_never_begins_like_a_formula(start: str) -> None:
    assert safe_cell(f"{start}cmd|' /C calc'!A0").startswith("'")
    assert safe_cell(f"a{start}") == f"a{start}"


def test_an_export_is_read_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        api.schedule(f"job {number}")
    monkeypatch.setattr("ledger.store.event_queries.MAX_PAGE", 7)

    assert len(api.get("/v1/events?format=jsonl").text.splitlines()) == 61


def test_a_history_shows_the_state_before_and_after_each_event(api: Api) -> None:
    job_id = api.failed_job()
    api.post(f"/v1/jobs/{job_id}/resume", {"force": True})

    events = api.get(f"/v1/jobs/{job_id}/events").json()["events"]

    run_id = events[1]["data"]["run_id"]
    keys = ("status", "consecutive_errors", "open_run")
    assert [(event["topic"], *(event["after"][key] for key in keys)) for event in events] == [
        ("job.scheduled", "active", 0, None),
        ("job.run_started", "active", 0, run_id),
        ("job.run_failed", "active", 1, None),
        ("job.circuit_tripped", "failed", 1, None),
        ("job.force_resumed", "active", 0, None),
    ]
    assert events[0]["before"]["status"] is None
    for earlier, later in zip(events, events[1:], strict=False):
        assert later["before"] == earlier["after"]
    assert events[-1]["after"]["next_run_at"] == events[-1]["data"]["next_run_at"]


def test_a_long_history_is_the_same_with_cached_states(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = api.schedule()
    for turn in range(25):
        api.ask("PATCH", f"/v1/jobs/{job_id}", json={"task": str(turn), "enabled": turn % 3 > 0})
    plain = api.get(f"/v1/jobs/{job_id}/events").json()["events"]
    monkeypatch.setattr("projections.history.history.STATE_EVERY", 4)

    for _ in range(2):
        for version in range(1, len(plain)):
            page = api.get(f"/v1/jobs/{job_id}/events?cursor={version}&limit=3").json()
            assert page["events"] == plain[version : version + 3]


def test_a_cursor_beyond_a_history_gives_an_empty_page(api: Api) -> None:
    job_id = api.schedule()

    assert api.get(f"/v1/jobs/{job_id}/events?cursor=99").json()["events"] == []
    assert api.get(f"/v1/jobs/{job_id}/events?cursor=1&order=desc").json()["events"] == []


def test_runs_are_listed_newest_first_in_pages(api: Api) -> None:
    job_id = api.schedule()
    made = []
    for _ in range(5):
        made.append(api.start_run(job_id))
        api.end_run(job_id, made[-1])
        api.clock.advance(MINUTE)

    first = api.get(f"/v1/jobs/{job_id}/runs?limit=3").json()
    rest = api.get(f"/v1/jobs/{job_id}/runs?limit=3&cursor={first['next']}").json()

    assert [run["run_id"] for run in first["runs"] + rest["runs"]] == made[::-1]
    assert rest["next"] is None


def test_the_evidence_head_is_the_chain_value_of_the_last_event(api: Api) -> None:
    api.schedule()

    head = api.get("/v1/evidence/head").json()

    [*_, last] = api.ledger.event_store.rows()
    assert head == {
        "ledger_id": str(api.ledger.event_store.ledger_id),
        "position": last.position,
        "chain": last.chain.hex(),
    }
