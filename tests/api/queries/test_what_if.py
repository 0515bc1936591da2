"""What-if over HTTP and on the command line: shapes, pages, refusals."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import Api, problem
from tests.support.typed_commands import Shell, tripped_job

STRANGER = "00000000-0000-4000-8000-00000000dead"


def ask(api: Api, **body: Any) -> Any:
    return api.post("/v1/what-if", {"policy": {"trip_after": 1}, **body}, by="viewer")


def test_a_what_if_has_totals_and_jobs(api: Api) -> None:
    _, ids = api.storm()
    ask(api)  # creates the viewer's token
    before = api.ledger.writer.position

    answer = ask(api).json()

    assert answer["what_if"]["recorded"]["trips"] == 0
    assert answer["what_if"]["what_if"]["trips"] == 3
    assert answer["what_if"]["differing_count"] == 3
    assert {job["job_id"] for job in answer["jobs"]} == set(ids)
    assert answer["jobs"][0]["basis"] == "known"
    assert answer["jobs"][0]["what_if"]["status"] == "failed"
    assert answer["position"] == before == api.ledger.writer.position


def test_the_differing_jobs_are_pages_or_one_csv(api: Api) -> None:
    _, ids = api.storm()

    first = ask(api, limit=2).json()
    rest = ask(api, limit=2, cursor=first["next"]).json()
    table = ask(api, format="csv")

    assert rest["next"] is None
    assert {job["job_id"] for job in first["jobs"] + rest["jobs"]} == set(ids)
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert {row["job_id"] for row in rows} == set(ids)
    assert {row["what_if_trips"] for row in rows} == {"1"}


def test_since_and_until_may_be_positions_or_instants(api: Api) -> None:
    api.storm()
    end = api.ledger.writer.position

    assert ask(api, since=end).json()["what_if"]["what_if"]["failures"] == 0
    assert ask(api, until=str(end)).json()["what_if"]["what_if"]["failures"] == 3
    early = ask(api, until="2020-01-01T00:00:00Z").json()
    assert early["what_if"]["job_count"] == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"policy": {}}, "policy"),
        ({"policy": {"trip_after": 0}}, "policy.trip_after"),
        ({"policy": {"tripafter": 3}}, "policy.tripafter"),
        ({"policy": {"catch_up": "none"}}, "policy.catch_up"),
        ({"policy": {"counts": ["x"]}}, "policy.counts"),
        ({"policie": {}}, "policie"),
        ({"not_counts": ["nonsense"]}, "not_counts"),
        ({"not_counts": "timeout"}, "not_counts"),
        ({"policy": {}, "not_counts": []}, "policy"),
        ({"since": 1_000_000}, "since"),
        ({"until": "2999-01-01T00:00:00Z"}, "until"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": -1}, "since"),
        ({"since": 2, "until": 1}, "until"),
        ({"job_ids": []}, "job_ids"),
        ({"job_ids": ["x"]}, "job_ids"),
        ({"job_ids": [STRANGER]}, f"job_ids: contains {STRANGER}"),
        ({"cursor": "x"}, "cursor"),
        ({"format": "xml"}, "format"),
    ],
    ids=str,
)
def test_an_invalid_what_if_is_refused_by_field(api: Api, body: dict[str, Any], said: str) -> None:
    api.storm()
    ask(api)
    before = api.ledger.writer.position
    code = "unknown_field" if said in ("policy.tripafter", "policie") else "invalid_field"

    refusal = problem(ask(api, **body), 422, code)

    assert refusal["detail"].startswith(said) or refusal["field"] == said
    assert api.ledger.writer.position == before


def test_a_class_is_removed_from_what_each_job_counts(api: Api) -> None:
    api.storm(trip_after=1, counts=["timeout"])

    found = api.post("/v1/what-if", {"not_counts": ["server_error"]}, by="viewer").json()["what_if"]

    assert (found["policy"], found["not_counts"]) == ({}, ["server_error"])
    assert found["differing_count"] == 0
    assert found["what_if"]["trips"] == 0


def test_a_what_if_without_matching_jobs_says_so(api: Api) -> None:
    api.storm()

    found = ask(api, tag="mistyped").json()["what_if"]

    assert found["job_count"] == 0
    assert found["text"] == "No job matches: nothing was simulated."


def test_the_command_line_shows_a_what_if(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for name in ("one", "two"):
        tripped_job(shell.data, name)

    found = shell.ok("what-if", "--not-counting", "rate_limited").out
    one = shell.ok("what-if", "--trip-after", "5", "--job", "one", "--json").document
    table = shell.ok("what-if", "--probe-after", "15m", "--csv").out

    assert "0 trips instead of 2" in found
    assert "ATTEMPTS" in found
    assert "can only be estimated" in found
    assert one["what_if"]["job_count"] == 1
    assert table.splitlines()[0].startswith("job_id,job_name,basis,recorded_trips")
    assert shell.type("what-if").code == 1
    assert shell.type("what-if", "--not-counting", "nonsense").code == 1
