"""Blame over seeded histories, against a table of what each topic writes, read forward."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from ledger.errors import JobNotFound
from projections.blame import Blame
from projections.history import History
from tests.simulation import laws
from tests.simulation.world import World

STEPS = 250
FIELDS = ("name", "description", "schedule", "task", "executor", "delivery", "tags", "enabled")
ENDS = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")
STATUS = {
    "job.paused": "paused", "job.resumed": "active", "job.force_resumed": "active",
    "job.circuit_closed": "active", "job.circuit_tripped": "failed", "job.completed": "completed",
    "job.deleted": "deleted", "job.scheduled": "active",
}  # fmt: skip
REVIVALS = ("job.resumed", "job.force_resumed", "job.circuit_closed")
STOPS = ("job.paused", "job.circuit_tripped", "job.completed", "job.deleted")


def written(event: dict[str, Any]) -> set[str]:
    """The fields that an event sets."""
    topic, data = event["topic"], event["data"]
    if topic == "job.scheduled":
        return {*FIELDS, "delete_after_run", "policy.catch_up", "paused_until", "next_run_at",
                "open_run", "last_run"}  # fmt: skip
    fields = set(data.get("changes", {}))
    if "next_run_at" in data or topic in STOPS:
        fields.add("next_run_at")
    if topic == "job.run_started":
        fields |= {"open_run"} | ({"next_run_at"} if data["trigger"] != "manual" else set())
    if topic in ENDS:
        fields |= {"open_run", "last_run"}
    if topic in (*REVIVALS, "job.paused"):
        fields.add("paused_until")
    return fields


def expected(events: list[dict[str, Any]]) -> dict[str, int]:
    """For each field the position of the event that gave it."""
    given: dict[str, int] = {}
    status = None
    for event in events:
        given |= dict.fromkeys(written(event), event["position"])
        after = STATUS.get(event["topic"], status)
        if after != status:
            status, given["status"] = after, event["position"]
    return given


@pytest.mark.parametrize("seed", [21, 22])
def test_every_field_is_blamed_on_the_event_that_gave_it(tmp_path: Path, seed: int) -> None:
    world, random = World(tmp_path, seed), Random(seed)
    for _ in range(STEPS):
        world.step()
    history = History(world.ledger)
    blame = Blame(world.ledger, history)

    for job_id, events in laws.histories(world.ledger).items():
        for place in {*random.choices(range(len(events)), k=5), len(events) - 1}:
            position = events[place]["position"]
            told = blame.answer(UUID(job_id), as_of=position)
            found = {item["field"]: item["position"] for item in told["fields"]}
            wanted = expected(events[: place + 1])
            where = f"seed {seed}, {job_id} at {position}"
            assert {name: found[name] for name in wanted} == wanted, where
            job = history._state(UUID(job_id), events[place]["version"])
            values = {item["field"]: item["value"] for item in told["fields"]}
            assert values["status"] == job.status, where
            assert values["policy.trip_after"] == job.policy["trip_after"], where
    world.close()


def test_what_never_was_a_job_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, 1)

    with pytest.raises(JobNotFound):
        Blame(world.ledger, History(world.ledger)).answer(UUID(int=1))
    world.close()
