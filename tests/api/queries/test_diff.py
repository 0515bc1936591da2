"""Diffs between two points in time, compared with the list of jobs after each event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from ledger import AuditQuery
from ledger.clock import rfc3339
from tests.api.harness import Api, problem
from tests.oracles.fold import Fold
from tests.support.lives import FLEET, Life

FIELDS = (
    "name", "description", "schedule", "task", "executor", "delivery", "policy", "tags", "enabled",
    "delete_after_run", "status", "paused_until", "consecutive_errors", "consecutive_losses",
    "next_run_at",
)  # fmt: skip
"""The compared fields, in their order."""
MOVES_NEXT_RUN = {"status", "schedule", "enabled"}
"""Without one of these, a new next run of a running job is not a difference."""
Event = Mapping[str, Any]
States = dict[str, dict[str, Any]]
"""Every job, oldest first."""


class Slow:
    """The jobs after each event of a history, and the last change of each field."""

    def __init__(self, api: Api) -> None:
        self.events = list(api.ledger.queries.export(AuditQuery()))
        self.states: list[States] = [{}]
        folds: dict[str, Fold] = {}
        for event in self.events:
            states, job_id = dict(self.states[-1]), event["job_id"]
            if event["topic"].startswith("job."):
                folds.setdefault(job_id, Fold()).take(event)
                states[job_id] = dict(folds[job_id].state)
                if states[job_id]["status"] == "deleted":
                    del states[job_id]
            self.states.append(states)

    def diff(self, begin: int, end: int) -> list[dict[str, Any]]:
        before, after = self.states[begin], self.states[end]
        every = (self.one(job_id, before, after, (begin, end)) for job_id in {**before, **after})
        return [change for change in every if change is not None]

    def one(
        self, job_id: str, before: States, after: States, between: tuple[int, int]
    ) -> dict[str, Any] | None:
        old, new = before.get(job_id), after.get(job_id)
        change = {"job_id": job_id, "job_name": (new or old or {})["name"]}
        if old is None or new is None:
            what, topic = ("made", "job.scheduled") if old is None else ("deleted", "job.deleted")
            [event] = [
                event
                for event in self.events[between[0] : between[1]]
                if (event["topic"], event["job_id"]) == (topic, job_id)
            ]
            return {**change, "change": what, "event": link(event), "fields": []}
        names = [name for name in FIELDS if old[name] != new[name]]
        if not MOVES_NEXT_RUN & set(names):
            names = [name for name in names if name != "next_run_at"]
        fields = [
            {
                "field": name,
                "before": old[name],
                "after": new[name],
                **link(self.changer(job_id, name, between)),
            }
            for name in names
        ]
        return {**change, "change": "changed", "event": None, "fields": fields} if fields else None

    def changer(self, job_id: str, name: str, between: tuple[int, int]) -> Event:
        """The last event that changed the field."""
        return [
            self.events[position - 1]
            for position in range(between[0] + 1, between[1] + 1)
            if self.states[position - 1][job_id][name] != self.states[position][job_id][name]
        ][-1]


def link(event: Event) -> dict[str, Any]:
    return {name: event[name] for name in ("position", "topic", "actor", "reason")}


def asked(api: Api, **query: Any) -> list[dict[str, Any]]:
    """Every page of a diff, without instants."""
    found: list[dict[str, Any]] = []
    while True:
        answer = api.get("/v1/diff", params=query)
        assert answer.status_code == 200, answer.text
        found += answer.json()["jobs"]
        query["cursor"] = answer.json()["next"]
        if query["cursor"] is None:
            return [without_instants(job) for job in found]


def without_instants(change: Mapping[str, Any]) -> dict[str, Any]:
    plain = [_without_instant(one) for one in change["fields"]]
    event = change["event"] and _without_instant(change["event"])
    return {**change, "fields": plain, "event": event}


def _without_instant(change: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in change.items() if key != "recorded_at"}


@pytest.mark.parametrize("seed", [4, pytest.param(5, marks=pytest.mark.slow)])
def test_a_diff_equals_the_comparison_of_every_event(framed: Api, seed: int) -> None:
    random = Random(seed)
    Life(framed.ledger, seed, FLEET).live(110)
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
    assert wanted | {"enabled", "paused_until"} <= changes


def test_a_diff_can_be_filtered_by_tag_and_actor(framed: Api) -> None:
    Life(framed.ledger, 6, FLEET).live(80)
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


def test_a_diff_by_tag_includes_jobs_that_lost_the_tag(
    framed: Api,
) -> None:
    lost = framed.schedule("lost", tags=["red"])
    gained = framed.schedule("gained", tags=[])
    framed.schedule("neither", tags=["green"])
    position = framed.ledger.writer.position
    for job_id, tags in ((lost, []), (gained, ["red"])):
        framed.ask("PATCH", f"/v1/jobs/{job_id}", json={"tags": tags})

    change = asked(framed, **{"from": position, "tag": "red"})

    assert [(job["job_id"], job["fields"][0]["after"]) for job in change] == [
        (lost, []),
        (gained, ["red"]),
    ]


def test_a_diff_of_instants_equals_the_diff_of_their_positions(framed: Api) -> None:
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
        ({"from": 0, "actor": "nobody"}, "actor"),
        ({"from": 0, "limit": 0}, "limit"),
        ({"from": 0, "cursor": "x"}, "cursor"),
        ({}, "from"),
    ],
)
def test_an_invalid_diff_is_refused(api: Api, query: dict[str, Any], field: str) -> None:
    api.schedule()

    answer = api.get("/v1/diff", params=query)

    assert problem(answer, 422, "invalid_field")["field"] == field
