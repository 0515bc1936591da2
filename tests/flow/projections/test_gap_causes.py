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
from ledger.domain.job.outcomes import Failure
from ledger.domain.job.runs import Claim
from projections.models.gaps import open as open_gaps
from projections.models.gaps.model import CAUSES, GapFilter
from tests.oracles import why as why_oracle
from tests.support.builders import EVERY_MINUTE, HOUR, HOURLY, MINUTE, NOON
from tests.support.docs_runner import DOCS, quoted, rows
from tests.support.scenario import DONE, Scenario, Script
from tests.support.scenes import AT_ONCE, FAILS, HANGS, Scene

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


def retry_after(at: timedelta) -> Failure:
    return Failure("429", "rate_limited", None, NOON + at, 1)


GAPS: dict[str, tuple[Scene, list[tuple[str, str, int]]]] = {
    "given up to a backoff": (
        Scene(schedule=GRID, policy={"backoff_seconds": [60]}, script=FAILS).until(50 * SECOND),
        [("backoff", "backoff", 12)],
    ),
    "given up to a Retry-After": (
        Scene(schedule=EVERY_MINUTE, script=[(AT_ONCE, retry_after(10 * MINUTE + 30 * SECOND))])
        .until(2 * MINUTE),
        [("backoff", "backoff", 9)],
    ),
    "of a retry that downtime made late": (
        Scene(schedule=GRID, policy={"backoff_seconds": [58]}, script=[*FAILS, (AT_ONCE, DONE)])
        .until(30 * SECOND).silent_until(HOUR),
        [("backoff", "backoff", 11), ("downtime", "node_down", 708)],
    ),
    "of a run whose node died": (
        Scene(schedule=HOURLY, script=HANGS).until(HOUR + MINUTE).silent_until(4 * HOUR + MINUTE),
        [("downtime", "node_down", 3)],
    ),
    "after a pause that no dispatcher ended": (
        Scene(schedule=HOURLY).olga("pause", until=NOON + 2 * HOUR + MINUTE)
        .until(HOUR).silent_until(5 * HOUR + MINUTE),
        [("paused", "paused", 2), ("downtime", "node_down", 3)],
    ),
    "before the instant of a resume": (
        Scene(schedule=EVERY_MINUTE).olga("pause")
        .olga("resume", run_at=NOON + 10 * MINUTE + 30 * SECOND).until(12 * MINUTE),
        [("delayed", "waiting", 10)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("slots", GAPS)
def test_missed_slots_have_the_cause_that_why_answers(scenario: Scenario, slots: str) -> None:
    scene, gaps = GAPS[slots]

    job_id = scene.play(scenario)

    assert recorded(scenario, job_id) == gaps


def test_slots_of_several_causes_are_separate_gaps_recorded_and_open(scenario: Scenario) -> None:
    asked = retry_after(HOUR + 10 * MINUTE + 30 * SECOND)
    script: Script = [(AT_ONCE, DONE), (150 * SECOND, asked), (AT_ONCE, DONE)]
    scene = Scene(schedule=EVERY_MINUTE, script=script).until(MINUTE).silent_until(HOUR)
    job_id = scene.until(HOUR + MINUTE).play(scenario)
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
    alone = scenario.why(job_id, is_unattended=True)
    assert alone["answer"] == "no_worker"
    assert [way.get("command") for way in alone["would_run"]] == [
        "jobledger serve",
        "jobledger worker COMMAND --queue gpu",
    ]

    late = Claim("w-1", is_late=True)
    scenario.ledger.execute(run_commands.HandOutRun(job_id, "gpu", late, scenario.ledger.context()))

    assert recorded(scenario, job_id) == [("no_worker", "no_worker", 2)]


@pytest.mark.parametrize("cause", CAUSES)
def test_the_reference_lists_every_cause(cause: str) -> None:
    text = (DOCS / "reference" / "http.md").read_text().split("### Gaps")[1].split("\n### ")[0]

    assert cause in [quoted(row[0])[0] for row in rows(text)]


def test_a_resume_within_a_backoff_links_the_event_that_gave_up_its_slots(
    scenario: Scenario,
) -> None:
    script, policy = [*FAILS, (AT_ONCE, DONE)], {"backoff_seconds": [600]}
    scene = Scene(schedule=GRID, policy=policy, script=script).until(6 * SECOND).olga("run")
    job_id = scene.until(8 * SECOND).play(scenario)

    answer = scenario.why(job_id)

    assert answer["answer"] == "waiting"
    given_up: dict[str, Any] = next(
        link for link in answer["chain"] if "(cause: backoff)" in link["text"]
    )
    assert f"slots before were given up in event {given_up['position']}" in answer["text"]
    assert answer["next_run_at"] == rfc3339(NOON + 610 * SECOND)
