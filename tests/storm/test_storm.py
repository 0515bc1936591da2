"""The fleet of `make storm`, at its smallest: the same every time, sound, and with everything in
its book that it says was planted.
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
from projections.models.storms import queries as storm_questions
from projections.read_models import ReadModels
from tests.storm.making import Making, Size
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
    return Making(folder, SEED, SMALL).make()


@pytest.fixture(scope="module")
def ledger(folder: Path, planted: Planted) -> Iterator[Ledger]:
    with open_ledger(folder, _clock_at_the_end(planted)) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def histories(ledger: Ledger, planted: Planted) -> dict[str, list[Event]]:
    """Every event of every job, by job."""
    return {str(job_id): ledger.history(job_id) for job_id in ledger.job_cache.jobs}


def test_the_same_seed_gives_the_same_chain(ledger: Ledger, tmp_path: Path) -> None:
    Making(tmp_path, SEED, SMALL).make()

    with open_ledger(tmp_path, ManualClock()) as again:
        assert again.event_store.tail() == ledger.event_store.tail()


def test_another_seed_gives_another_chain(ledger: Ledger, tmp_path: Path) -> None:
    Making(tmp_path, SEED + 1, SMALL).make()

    with open_ledger(tmp_path, ManualClock()) as other:
        assert other.event_store.tail().chain != ledger.event_store.tail().chain


def test_the_book_of_the_fleet_verifies(ledger: Ledger, planted: Planted) -> None:
    verdict = verify_event_store(ledger.event_store)

    assert verdict.is_sound
    assert verdict.verified == planted["events"]


def test_every_run_of_the_fleet_ended_once(histories: dict[str, list[Event]]) -> None:
    begun = [event["data"]["run_id"] for event in _all(histories, {"job.run_started"})]
    ended = [event["data"]["run_id"] for event in _all(histories, ENDINGS)]

    assert len(begun) > 1000
    assert sorted(ended) == sorted(begun)


@pytest.mark.parametrize("kind", ["storms", "credential"])
def test_everybody_in_a_planted_trouble_failed_of_it(
    planted: Planted, histories: dict[str, list[Event]], kind: str
) -> None:
    troubles = planted[kind] if kind == "storms" else [planted[kind]]
    for trouble in troubles:
        of_class = [
            event
            for event in _all(histories, {"job.run_failed"})
            if event["data"]["failure_class"] == trouble["failure_class"]
            and trouble["begins_at"] <= event["recorded_at"]
        ]
        assert {event["job_id"] for event in of_class} >= set(trouble["jobs"])


def test_the_storms_that_were_planted_are_found(
    planted: Planted, ledger: Ledger, tmp_path: Path
) -> None:
    read_models = ReadModels.open(ledger, tmp_path / "projections.db")
    read_models.catch_up()
    with read_models._store.reading() as questions:
        page, _ = storm_questions.find(questions, now=ledger.clock.now())
        found = [
            storm_questions.one(questions, storm["id"], now=ledger.clock.now()) for storm in page
        ]
    read_models.close()

    for storm in planted["storms"]:
        assert any({job["id"] for job in one["jobs"]} == set(storm["jobs"]) for one in found)


def test_runs_that_were_open_when_the_node_fell_silent_are_lost(
    planted: Planted, histories: dict[str, list[Event]]
) -> None:
    lost = [event["data"]["run_id"] for event in _all(histories, {"job.run_lost"})]

    assert lost
    assert sorted(lost) == sorted(planted["silence"]["lost_runs"])


def test_nothing_was_recorded_during_the_silence_and_slots_were_caught_up_after_it(
    planted: Planted, histories: dict[str, list[Event]]
) -> None:
    silence = planted["silence"]
    begun = _all(histories, {"job.run_started"})
    everything = (event for events in histories.values() for event in events)

    assert not [
        event
        for event in everything
        if silence["begins_at"] <= event["recorded_at"] < silence["ends_at"]
    ]
    assert any(event["data"]["trigger"] == "catch_up" for event in begun)


def test_forced_resumes_hold_or_trip_again_as_was_planted(
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
def test_what_operators_did_is_in_the_book_under_their_names(
    planted: Planted, histories: dict[str, list[Event]], kind: str, topic: str
) -> None:
    assert planted[kind]
    for deed in planted[kind]:
        [event] = [
            event
            for event in histories[deed["job_id"]]
            if event["topic"] == topic
            and event["reason"] == deed["reason"]
            and abs(event["position"] - deed["position"]) <= 1
        ]
        assert event["actor"]["id"] == deed["by"]


def test_some_pauses_end_by_themselves_and_some_by_hand(planted: Planted) -> None:
    assert {pause["until"] is None for pause in planted["pauses"]} == {True, False}


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tests.storm", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 2
    assert "is there already" in answer.stderr


def _all(histories: dict[str, list[Event]], topics: set[str]) -> list[Event]:
    return [event for events in histories.values() for event in events if event["topic"] in topics]


def _clock_at_the_end(planted: Planted) -> ManualClock:
    return ManualClock(parse_rfc3339(planted["ended_at"]))
