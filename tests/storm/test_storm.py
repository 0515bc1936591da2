"""The smallest ledger of `make storm`: the same every time, sound, and with everything that it says
was planted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import Ledger
from ledger.clock import parse_rfc3339
from ledger.maintenance.verify import verify_event_store
from projections.models.storms import queries as storm_queries
from projections.read_models import ReadModels
from tests.storm.generator import FleetGenerator, Size
from tests.support.builders import ManualClock, open_ledger

pytestmark = pytest.mark.slow

SMALL = Size(jobs=20, days=2)
SEED = 1
ENDINGS = {"job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked"}

Planted = dict[str, Any]
Event = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storm")


@pytest.fixture(scope="module")
def planted(folder: Path) -> Planted:
    return FleetGenerator(folder, SEED, SMALL).generate()


@pytest.fixture(scope="module")
def ledger(folder: Path, planted: Planted) -> Iterator[Ledger]:
    with open_ledger(folder, _clock_at_the_end(planted)) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def histories(ledger: Ledger, planted: Planted) -> dict[str, list[Event]]:
    """Every event of every job, by job."""
    return {str(job_id): ledger.history(job_id) for job_id in ledger.job_cache.jobs}


def test_the_same_seed_gives_the_same_chain(ledger: Ledger, tmp_path: Path) -> None:
    FleetGenerator(tmp_path, SEED, SMALL).generate()

    with open_ledger(tmp_path, ManualClock()) as again:
        assert again.event_store.tail() == ledger.event_store.tail()


def test_another_seed_gives_another_chain(ledger: Ledger, tmp_path: Path) -> None:
    FleetGenerator(tmp_path, SEED + 1, SMALL).generate()

    with open_ledger(tmp_path, ManualClock()) as other:
        assert other.event_store.tail().chain != ledger.event_store.tail().chain


def test_the_generated_ledger_verifies(ledger: Ledger, planted: Planted) -> None:
    verdict = verify_event_store(ledger.event_store)

    assert verdict.is_sound
    assert verdict.verified == planted["events"]


def test_every_run_ended_once(histories: dict[str, list[Event]]) -> None:
    begun = [event["data"]["run_id"] for event in _all(histories, {"job.run_started"})]
    ended = [event["data"]["run_id"] for event in _all(histories, ENDINGS)]

    assert len(begun) > 1000
    assert sorted(ended) == sorted(begun)


@pytest.mark.parametrize("kind", ["storms", "credential"])
def test_every_job_in_a_planted_outage_failed_of_it(
    planted: Planted, histories: dict[str, list[Event]], kind: str
) -> None:
    outages = planted[kind] if kind == "storms" else [planted[kind]]
    for outage in outages:
        of_class = [
            event
            for event in _all(histories, {"job.run_failed"})
            if event["data"]["failure_class"] == outage["failure_class"]
            and outage["begins_at"] <= event["recorded_at"]
        ]
        assert {event["job_id"] for event in of_class} >= set(outage["jobs"])


def test_planted_storms_are_found(planted: Planted, ledger: Ledger, tmp_path: Path) -> None:
    read_models = ReadModels.open(ledger, tmp_path / "projections.db")
    read_models.catch_up()
    with read_models._store.reading() as reader:
        page, _ = storm_queries.find(reader, now=ledger.clock.now())
        found = [storm_queries.one(reader, storm["id"], now=ledger.clock.now()) for storm in page]
    read_models.close()

    for storm in planted["storms"]:
        assert any({job["id"] for job in one["jobs"]} == set(storm["jobs"]) for one in found)


def test_runs_that_were_open_when_the_node_stopped_are_lost(
    planted: Planted, histories: dict[str, list[Event]]
) -> None:
    lost = [event["data"]["run_id"] for event in _all(histories, {"job.run_lost"})]

    assert lost
    assert sorted(lost) == sorted(planted["downtime"]["lost_runs"])


def test_nothing_is_recorded_during_the_downtime_and_slots_are_caught_up_after_it(
    planted: Planted, histories: dict[str, list[Event]]
) -> None:
    downtime = planted["downtime"]
    begun = _all(histories, {"job.run_started"})
    everything = (event for events in histories.values() for event in events)

    assert not [
        event
        for event in everything
        if downtime["begins_at"] <= event["recorded_at"] < downtime["ends_at"]
    ]
    assert any(event["data"]["trigger"] == "catch_up" for event in begun)


def test_forced_resumes_hold_or_trip_again_as_planted(
    planted: Planted, histories: dict[str, list[Event]]
) -> None:
    decisive = {"job.run_succeeded", "job.circuit_tripped"}
    for resume in planted["resumes"]:
        after = [
            event["topic"]
            for event in histories[resume["job_id"]]
            if event["position"] > resume["position"] and event["topic"] in decisive
        ]
        assert (after[0] == "job.run_succeeded") is resume["holds"]
    assert {resume["holds"] for resume in planted["resumes"]} == {True, False}


@pytest.mark.parametrize(
    ("kind", "topic"),
    [("pauses", "job.paused"), ("edits", "job.amended"), ("resumes", "job.force_resumed")],
)
def test_the_actions_of_operators_are_recorded_under_their_names(
    planted: Planted, histories: dict[str, list[Event]], kind: str, topic: str
) -> None:
    assert planted[kind]
    for action in planted[kind]:
        [event] = [
            event
            for event in histories[action["job_id"]]
            if event["topic"] == topic
            and event["reason"] == action["reason"]
            and abs(event["position"] - action["position"]) <= 1
        ]
        assert event["actor"]["id"] == action["by"]


def test_some_pauses_have_an_end_and_some_are_resumed(planted: Planted) -> None:
    assert {pause["until"] is None for pause in planted["pauses"]} == {True, False}


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.storm", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 2
    assert "exists already" in answer.stderr


def _all(histories: dict[str, list[Event]], topics: set[str]) -> list[Event]:
    return [event for events in histories.values() for event in events if event["topic"] in topics]


def _clock_at_the_end(planted: Planted) -> ManualClock:
    return ManualClock(parse_rfc3339(planted["ended_at"]))
