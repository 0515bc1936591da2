"""Why a slot was missed: the cause of its gap, and what `why` answers for its instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger.application.commands import runs as run_commands
from ledger.clock import parse_rfc3339, rfc3339
from ledger.dispatch.executors.outcomes import Failed
from ledger.domain.job.runs import Claim
from projections.models.gaps import open as open_gaps
from projections.models.gaps.model import CAUSES, GapFilter
from tests.oracles import why as why_oracle
from tests.support.builders import EVERY_MINUTE, HOUR, HOURLY, MINUTE, NOON
from tests.support.docs_runner import DOCS, quoted, rows
from tests.support.scenario import DONE, LIMITED, NEVER, Scenario, Script

AT_ONCE = timedelta(0)
SECOND = timedelta(seconds=1)
GRID = {"kind": "every", "interval_seconds": 5, "anchor": "grid"}
WORKER = {"kind": "worker", "queue": "gpu"}


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    scenario = Scenario(tmp_path)
    yield scenario
    scenario.close()


def recorded(scenario: Scenario, job_id: UUID) -> list[tuple[str, str, int]]:
    """Of each gap: its cause, what `why` answers for its first slot, and the number of slots."""
    found = []
    for event in scenario.ledger.history(job_id):
        missed = event["data"].get("missed")
        if missed:
            at = parse_rfc3339(missed["first"])
            found.append((missed["cause"], scenario.why(job_id, at)["answer"], missed["count"]))
            for slot in (missed["first"], missed["last"]):
                answer = scenario.why(job_id, parse_rfc3339(slot))["answer"]
                allowed = why_oracle.SAID_OF_GAPS[missed["cause"]] | {"running"}
                assert answer in allowed, (missed, slot, answer)
    return found


def still_open(scenario: Scenario, job_id: UUID) -> list[tuple[str, int]]:
    job = scenario.ledger.job_cache.jobs[job_id]
    found, _ = open_gaps.find([job], GapFilter(), now=scenario.clock.now())
    return [(gap["cause"], gap["count"]) for gap in found]


def test_slots_given_up_to_a_backoff_have_that_cause(scenario: Scenario) -> None:
    policy = {"backoff_seconds": [60]}
    job_id = scenario.schedule(schedule=GRID, policy=policy, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + 50 * SECOND)

    assert recorded(scenario, job_id) == [("backoff", "backoff", 12)]


def test_slots_given_up_to_a_retry_after_have_that_cause(scenario: Scenario) -> None:
    asked = Failed("429", "rate_limited", None, NOON + 10 * MINUTE + 30 * SECOND, 1)
    job_id = scenario.schedule(schedule=EVERY_MINUTE, script=[(AT_ONCE, asked)])
    scenario.until(NOON + 2 * MINUTE)

    assert recorded(scenario, job_id) == [("backoff", "backoff", 9)]


def test_a_retry_made_late_by_downtime_leaves_its_slots_to_the_downtime(scenario: Scenario) -> None:
    policy = {"backoff_seconds": [58]}
    script: Script = [(AT_ONCE, LIMITED), (AT_ONCE, DONE)]
    job_id = scenario.schedule(schedule=GRID, policy=policy, script=script)
    scenario.until(NOON + 30 * SECOND)

    scenario.silence(NOON + HOUR)

    assert recorded(scenario, job_id) == [
        ("backoff", "backoff", 11),
        ("downtime", "node_down", 708),
    ]


def test_slots_of_several_causes_are_separate_gaps_recorded_and_open(scenario: Scenario) -> None:
    asked = Failed("429", "rate_limited", None, NOON + HOUR + 10 * MINUTE + 30 * SECOND, 1)
    script: Script = [(AT_ONCE, DONE), (150 * SECOND, asked), (AT_ONCE, DONE)]
    job_id = scenario.schedule(schedule=EVERY_MINUTE, script=script)
    scenario.until(NOON + MINUTE)
    scenario.silence(NOON + HOUR)
    scenario.until(NOON + HOUR + MINUTE)
    assert still_open(scenario, job_id) == [("downtime", 58), ("overlap", 1)]
    scenario.until(NOON + HOUR + 5 * MINUTE)

    assert recorded(scenario, job_id) == [
        ("downtime", "node_down", 58),
        ("overlap", "overlap", 2),
        ("backoff", "backoff", 8),
    ]


def test_slots_that_no_worker_took_have_that_cause_open_and_recorded(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, executor=WORKER, policy={"catch_up": "none"})
    scenario.until(NOON + 2 * HOUR + MINUTE, MINUTE)
    assert still_open(scenario, job_id) == [("no_worker", 2)]
    position = scenario.ledger.writer.position
    alone = scenario.question.answer(job_id, position=position, is_unattended=True)
    assert alone["answer"] == "no_worker"
    assert [way.get("command") for way in alone["would_run"]] == [
        "jobledger serve",
        "jobledger worker COMMAND --queue gpu",
    ]

    claim(scenario, job_id)

    assert recorded(scenario, job_id) == [("no_worker", "no_worker", 2)]


def claim(scenario: Scenario, job_id: UUID) -> None:
    """A worker claims late."""
    call = scenario.ledger.context()
    scenario.ledger.execute(
        run_commands.HandOutRun(job_id, "gpu", Claim("w-1", is_late=True), call)
    )


def test_slots_of_a_run_whose_node_died_are_downtime_not_overlap(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, script=[(NEVER, DONE)])
    scenario.until(NOON + HOUR + MINUTE)

    scenario.silence(NOON + 4 * HOUR + MINUTE)

    assert recorded(scenario, job_id) == [("downtime", "node_down", 3)]


def test_slots_after_a_pause_that_no_dispatcher_ended_are_downtime(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.ledger.pause(job_id, until=NOON + 2 * HOUR + MINUTE)
    scenario.until(NOON + HOUR)

    scenario.silence(NOON + 5 * HOUR + MINUTE)

    assert recorded(scenario, job_id) == [("paused", "paused", 2), ("downtime", "node_down", 3)]


def test_slots_before_the_instant_of_a_resume_are_delayed(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=EVERY_MINUTE)
    scenario.ledger.pause(job_id)
    scenario.ledger.resume(job_id, run_at=NOON + 10 * MINUTE + 30 * SECOND)
    scenario.until(NOON + 12 * MINUTE)

    assert recorded(scenario, job_id) == [("delayed", "waiting", 10)]


@pytest.mark.parametrize("cause", CAUSES)
def test_the_reference_lists_every_cause(cause: str) -> None:
    text = (DOCS / "reference" / "http.md").read_text().split("### Gaps")[1].split("\n### ")[0]

    assert cause in [quoted(row[0])[0] for row in rows(text)]


def test_a_resume_within_a_backoff_links_the_event_that_gave_up_its_slots(
    scenario: Scenario,
) -> None:
    script: Script = [(AT_ONCE, LIMITED), (AT_ONCE, DONE)]
    job_id = scenario.schedule(schedule=GRID, policy={"backoff_seconds": [600]}, script=script)
    scenario.until(NOON + 6 * SECOND)
    scenario.ledger.run(job_id)
    scenario.until(NOON + 8 * SECOND)

    answer = scenario.why(job_id)

    assert answer["answer"] == "waiting"
    given_up: dict[str, Any] = next(
        link for link in answer["chain"] if "(cause: backoff)" in link["text"]
    )
    assert f"slots before were given up in event {given_up['position']}" in answer["text"]
    assert answer["next_run_at"] == rfc3339(NOON + 610 * SECOND)
