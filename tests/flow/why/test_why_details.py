"""Why, where two answers are close to each other: what decides between them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from projections.history.blame import Blame
from projections.history.history import History
from projections.history.job_events import MAX_SCANNED
from projections.why import inactive_rules
from tests.support.builders import (
    EVERY_MINUTE,
    HOUR,
    MINUTE,
    NOON,
    ManualClock,
    a_spec,
    open_ledger,
)
from tests.support.scenario import DONE, LIMITED, NEVER, Scenario, why_of

SECOND = timedelta(seconds=1)
AT_ONCE = timedelta(0)
HOURLY = {"kind": "cron", "expr": "0 * * * *"}


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    scenario = Scenario(tmp_path)
    yield scenario
    scenario.close()


def test_a_job_is_due_once_its_jitter_is_over(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, policy={"jitter_seconds": 1000})
    claim_at = NOON + HOUR + scenario.ledger.job_cache.jobs[job_id].parsed_policy.jitter(job_id)
    assert claim_at > NOON + HOUR + 30 * SECOND
    scenario.until(claim_at - SECOND, MINUTE)
    scenario.clock.advance(5 * SECOND)
    scenario.dispatcher.run_once()

    answer = scenario.why(job_id, claim_at + 2 * SECOND)

    assert answer["answer"] == "due", answer["text"]


@pytest.mark.parametrize(
    ("cause", "code"), [("lease_expired", "node_down"), ("deadline", "running")]
)
def test_only_a_run_lost_with_its_node_says_that_the_node_was_down(
    scenario: Scenario, cause: str, code: str
) -> None:
    job_id = scenario.schedule(script=[(NEVER, DONE)])
    scenario.until(NOON + 61 * SECOND)
    run = scenario.ledger.job_cache.jobs[job_id].open_run
    assert run is not None
    scenario.clock.advance(MINUTE)
    scenario.dispatcher._cycle.lose([scenario.work.running[run.run_id]], cause)

    assert scenario.why(job_id, NOON + 90 * SECOND)["answer"] == code


def test_one_error_is_counted_in_the_singular(scenario: Scenario) -> None:
    job_id = scenario.schedule(
        script=[(AT_ONCE, LIMITED)], schedule=EVERY_MINUTE, policy={"trip_after": 1}
    )
    scenario.until(NOON + 61 * SECOND)

    answer = scenario.why(job_id)

    texts = [answer["text"], *(link["text"] for link in answer["chain"])]
    assert "after 1 failure in a row" in texts[0]
    assert any("tripped after 1 error in a row (threshold 1)" in text for text in texts), texts


def test_a_failed_run_waits_for_a_slot_that_comes_before_the_backoff_ends(
    scenario: Scenario,
) -> None:
    policy = {"backoff_seconds": [3600], "trip_after": 5}
    job_id = scenario.schedule(schedule=EVERY_MINUTE, policy=policy, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + MINUTE + SECOND)

    answer = scenario.why(job_id)
    assert answer["answer"] == "waiting", answer["text"]


def test_a_backoff_names_the_storm_once_that_has_opened(scenario: Scenario) -> None:
    policy = {"backoff_seconds": [600], "trip_after": 5}
    ids = [
        scenario.schedule(f"job {number}", schedule=HOURLY, policy=policy) for number in range(3)
    ]
    for number, job_id in enumerate(ids):
        scenario.scripts[job_id] = [(number * MINUTE, LIMITED)]
    scenario.until(NOON + HOUR + 5 * MINUTE)
    opened = NOON + HOUR + 2 * MINUTE

    for at, is_named in ((opened - SECOND, False), (opened, True), (scenario.clock.now(), True)):
        answer = scenario.why(ids[0], at)
        assert answer["answer"] == "backoff"
        assert ("as part of the storm S-" in answer["text"]) is is_named, at


@pytest.mark.parametrize(("enabled", "is_promised"), [(True, True), (False, False)])
def test_no_probe_is_promised_to_a_disabled_job(
    scenario: Scenario, enabled: bool, is_promised: bool
) -> None:
    policy = {"trip_after": 1, "probe_after_seconds": 3600}
    job_id = scenario.schedule(policy=policy, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + 2 * MINUTE)
    scenario.ledger.amend(job_id, {"enabled": enabled, "description": "x"})

    answer = scenario.why(job_id)

    assert answer["answer"] == "tripped"
    assert ("A probe will run at" in answer["text"]) is is_promised
    assert ("until an operator resumes it with force" in answer["text"]) is not is_promised


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
