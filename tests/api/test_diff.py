"""What changed between two moments, against the rows of the list after each event."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from ledger.clock import rfc3339
from ledger.store.records import Fact
from projections import jobs
from projections.diff import FIELDS, MOVES_NEXT_RUN
from projections.job_questions import shape
from tests.api.harness import Api, problem
from tests.api.life import Life

Rows = dict[int, dict[str, Any]]


class Slow:
    """The list of jobs after each event of a history, and who changed which field of it last."""

    def __init__(self, api: Api) -> None:
        book = api.ledger.book.read(after=0, limit=100_000)
        self.facts = api.ledger.mapper.to_facts(book)
        self.rows: list[Rows] = [{}]
        memory = sqlite3.connect(":memory:", isolation_level=None)
        memory.row_factory = sqlite3.Row
        memory.executescript(jobs.SCHEMA.replace("{g}", ""))
        for fact in self.facts:
            for sql, values in jobs.project(fact):
                memory.execute(sql.replace("{g}", ""), values)
            self.rows.append(
                {row["number"]: dict(row) for row in memory.execute("SELECT * FROM jobs")}
            )
        memory.close()

    def diff(self, begin: int, end: int) -> list[dict[str, Any]]:
        before, after = self.there(begin), self.there(end)
        found = []
        for number in sorted(before.keys() | after.keys()):
            told = self.one(number, before.get(number), after.get(number), (begin, end))
            if told is not None:
                found.append(told)
        return found

    def there(self, position: int) -> Rows:
        rows = self.rows[position]
        return {number: row for number, row in rows.items() if row["status"] != "deleted"}

    def one(
        self, number: int, old: Any, new: Any, between: tuple[int, int]
    ) -> dict[str, Any] | None:
        row = new or old
        told = {"job_id": row["id"], "job_name": row["name"]}
        if old is None or new is None:
            what, topic = ("made", "job.scheduled") if old is None else ("deleted", "job.deleted")
            [fact] = [
                fact
                for fact in self.facts[between[0] : between[1]]
                if fact.topic == topic and str(fact.stream) == row["id"]
            ]
            return {**told, "change": what, "event": event(fact), "fields": []}
        names = [name for name in FIELDS if old[name] != new[name]]
        if not set(names) & set(MOVES_NEXT_RUN):
            names = [name for name in names if name != "next_run_at"]
        fields = [
            {
                "field": name,
                "before": shape(old)[name],
                "after": shape(new)[name],
                **event(self.changer(number, name, between)),
            }
            for name in names
        ]
        return {**told, "change": "changed", "event": None, "fields": fields} if fields else None

    def changer(self, number: int, name: str, between: tuple[int, int]) -> Fact:
        """The last event after which the field was another than before it."""
        return [
            self.facts[position - 1]
            for position in range(between[0] + 1, between[1] + 1)
            if self.rows[position - 1][number][name] != self.rows[position][number][name]
        ][-1]


def event(fact: Fact) -> dict[str, Any]:
    return {
        "position": fact.position,
        "topic": fact.topic,
        "actor": fact.data["actor"],
        "reason": fact.data["reason"],
    }


def asked(api: Api, **query: Any) -> list[dict[str, Any]]:
    """Every page of a comparison, without instants."""
    found: list[dict[str, Any]] = []
    while True:
        answer = api.get("/v1/diff", params=query)
        assert answer.status_code == 200, answer.text
        found += answer.json()["jobs"]
        query["cursor"] = answer.json()["next"]
        if query["cursor"] is None:
            return [without_instants(job) for job in found]


def without_instants(told: Mapping[str, Any]) -> dict[str, Any]:
    plain = [_without_instant(one) for one in told["fields"]]
    event = told["event"] and _without_instant(told["event"])
    return {**told, "fields": plain, "event": event}


def _without_instant(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key != "recorded_at"}


@pytest.mark.parametrize("seed", [4, 5])
def test_a_comparison_is_what_a_slow_look_at_every_event_finds(framed: Api, seed: int) -> None:
    life, random = Life(framed, seed), Random(seed)
    for _ in range(110):
        life.step()
    slow, end = Slow(framed), framed.ledger.writer.position
    changes = set()

    for _ in range(25):
        begin, to = sorted((random.randrange(end), random.randrange(end + 1)))
        expected = slow.diff(begin, to)
        found = asked(framed, **{"from": begin, "to": to, "limit": random.choice([1, 3, 50])})
        assert found == expected, f"seed {seed}, from {begin} to {to}"
        changes |= {job["change"] for job in expected}
        changes |= {change["field"] for job in expected for change in job["fields"]}

    wanted = {"made", "deleted", "status", "consecutive_errors", "next_run_at", "name", "tags"}
    assert wanted <= changes


def test_a_comparison_may_be_of_one_tag_and_of_one_actor(framed: Api) -> None:
    life = Life(framed, 6)
    for _ in range(80):
        life.step()
    everything = asked(framed, **{"from": 0})
    half = framed.ledger.writer.position // 2
    later = asked(framed, **{"from": half})

    tagged = [job["job_id"] for job in asked(framed, **{"from": 0, "tag": "red"})]
    admins = asked(framed, **{"from": half, "actor": "admin"})

    jobs_now = framed.get("/v1/jobs?limit=1000").json()["jobs"]
    assert tagged == [job["id"] for job in jobs_now if "red" in job["tags"]]
    assert [job["change"] for job in everything] == ["made"] * len(jobs_now)
    assert admins == [
        {**job, "fields": fields}
        for job in later
        if (fields := [one for one in job["fields"] if one["actor"]["id"] == "admin"])
        or (job["event"] and job["event"]["actor"]["id"] == "admin")
    ]
    assert admins != later


def test_instants_compare_as_positions_do(framed: Api) -> None:
    job_id = framed.schedule("report")
    first = rfc3339(framed.clock.now())
    framed.clock.advance(timedelta(seconds=5))
    framed.post(f"/v1/jobs/{job_id}/pause", {"reason": "too loud"})

    answer = framed.get("/v1/diff", params={"from": first}).json()

    [job] = answer["jobs"]
    assert [(one["field"], one["before"], one["after"]) for one in job["fields"]][0] == (
        "status", "active", "paused",
    )  # fmt: skip
    assert job["fields"][0]["reason"] == "too loud"
    assert job["fields"][0]["recorded_at"] == rfc3339(framed.clock.now())
    assert answer["from"]["at"] == first
    assert answer["to"]["position"] == framed.ledger.writer.position
    assert asked(framed, **{"from": first, "to": first}) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": 3, "to": 2}, "from"),
        ({"from": 99}, "from"),
        ({"from": 0, "to": 99}, "to"),
        ({"from": "2026-03-02T12:00:00"}, "from"),
        ({"from": 0, "to": "2999-01-01T00:00:00Z"}, "to"),
        ({"from": 0, "limit": 0}, "limit"),
        ({"from": 0, "cursor": "x"}, "cursor"),
        ({}, "from"),
    ],
)
def test_what_cannot_be_compared_is_refused(api: Api, query: dict[str, Any], field: str) -> None:
    api.schedule()

    answer = api.get("/v1/diff", params=query)

    assert problem(answer, 422, "invalid_field")["field"] == field
