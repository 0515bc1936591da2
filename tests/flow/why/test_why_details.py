"""Why, where more than the scene and one instant decide what is said."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from ledger.errors import JobNotFound
from projections.history.blame import Blame
from projections.history.history import History
from projections.history.job_events import MAX_SCANNED
from projections.models.storms import queries as storm_queries
from projections.why import inactive_rules
from tests.support.builders import HOUR, HOURLY, MINUTE, NOON, ManualClock, a_spec, open_ledger
from tests.support.scenario import LIMITED, Scenario, why_of
from tests.support.scenes import FAILS, Scene

SECOND = timedelta(seconds=1)


def test_an_unknown_job_is_refused(scenario: Scenario) -> None:
    with pytest.raises(JobNotFound):
        scenario.why(UUID(int=7))


def test_a_job_is_due_once_its_jitter_is_over(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, policy={"jitter_seconds": 1000})
    claim_at = NOON + HOUR + scenario.ledger.job_cache.jobs[job_id].parsed_policy.jitter(job_id)
    assert claim_at > NOON + HOUR + 30 * SECOND
    scenario.until(claim_at - SECOND, MINUTE)
    scenario.clock.advance(5 * SECOND)
    scenario.dispatcher.run_once()

    answer = scenario.why(job_id, claim_at + 2 * SECOND)

    assert answer["answer"] == "due", answer["text"]


def test_a_job_that_tripped_in_a_storm_names_the_storm(scenario: Scenario) -> None:
    policy = {"trip_after": 3, "backoff_seconds": [60]}
    ids = [scenario.schedule(f"job {n}", policy=policy, script=FAILS) for n in range(3)]
    scenario.until(NOON + 5 * MINUTE)

    texts = [scenario.why(job_id)["text"] for job_id in ids]

    with scenario.read_models.reading() as reader:
        [storm], _ = storm_queries.find(reader, now=scenario.clock.now())
    assert all(f"storm {storm['id']}" in text for text in texts)


def test_a_backoff_names_the_storm_once_that_has_opened(scenario: Scenario) -> None:
    policy = {"backoff_seconds": [600], "trip_after": 5}
    first, *_ = [
        scenario.schedule(
            f"job {n}", schedule=HOURLY, policy=policy, script=[(n * MINUTE, LIMITED)]
        )
        for n in range(3)
    ]
    scenario.until(NOON + HOUR + 5 * MINUTE)
    opened = NOON + HOUR + 2 * MINUTE

    for at, is_named in ((opened - SECOND, False), (opened, True), (scenario.clock.now(), True)):
        answer = scenario.why(first, at)
        assert answer["answer"] == "backoff"
        assert ("as part of the storm S-" in answer["text"]) is is_named, at


def test_a_gap_in_dispatch_names_the_last_event_before_and_the_first_after(
    scenario: Scenario,
) -> None:
    gap = Scene(beside=[{}], schedule=HOURLY).until(30 * MINUTE, 5 * SECOND)
    job_id = gap.silent_until(5 * HOUR + MINUTE).until(5 * HOUR + 20 * MINUTE).play(scenario)

    answer = scenario.why(job_id, NOON + 3 * HOUR)

    assert answer["answer"] == "node_down"
    _, before, after, started, ended = answer["chain"]
    assert [started["topic"], ended["topic"]] == ["job.run_started", "job.run_succeeded"]
    assert "4 slots missed" in ended["text"]
    assert after["position"] == before["position"] + 1
    assert before["recorded_at"] < "2026-03-02T12:31" < "2026-03-02T17:00" < after["recorded_at"]


def test_without_a_dispatcher_in_this_process_the_events_show_that_none_is_running(
    scenario: Scenario,
) -> None:
    job_id = scenario.schedule()
    scenario.clock.advance(HOUR)

    answer = scenario.question.answer(job_id, position=scenario.ledger.writer.position)

    assert answer["answer"] == "node_down"


def test_an_active_job_without_a_further_fire_is_exhausted(scenario: Scenario) -> None:
    """No command leads to this state; the rule covers it all the same."""
    job_id = scenario.schedule()
    context = scenario.question._context(
        job_id, scenario.clock.now(), scenario.ledger.writer.position
    )
    assert inactive_rules.exhausted(context) is None
    context.job.next_run_at = None

    verdict = inactive_rules.exhausted(context)

    assert verdict is not None
    assert verdict.code == "exhausted"
    assert [remedy.command for remedy in verdict.remedies] == [
        f"jobledger run {context.name}",
        f"jobledger amend {context.name} --at INSTANT",
    ]
    context.job.is_run_requested = True
    assert inactive_rules.exhausted(context) is None


def test_the_pause_and_the_disabling_are_named_however_many_edits_followed(
    tmp_path: Path,
) -> None:
    with open_ledger(tmp_path, ManualClock()) as ledger:
        paused, disabled = (ledger.schedule(a_spec(name=name)).job_id for name in ("a", "b"))
        ledger.pause(paused, reason="too loud")
        ledger.amend(disabled, {"enabled": False})
        for number in range(MAX_SCANNED + 10):
            for job_id in (paused, disabled):
                ledger.amend(job_id, {"task": f"edit {number}"})
        why, end = why_of(ledger), ledger.writer.position

        of_pause = why.answer(paused, position=end)
        of_disabling = why.answer(disabled, position=end)
        blame = Blame(ledger.events, History(ledger.events, ledger.live_job))
        blamed = blame.answer(paused)["fields"]

    assert [link["topic"] for link in of_pause["chain"]] == ["job.paused"]
    assert "too loud" in of_pause["text"]
    assert "It was disabled by library" in of_disabling["text"]
    assert {item["field"]: item["topic"] for item in blamed}["status"] == "job.paused"
