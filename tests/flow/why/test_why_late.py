"""Why, for what is overdue and in hindsight: no state that has ended, no limit without proof."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger.clock import rfc3339
from ledger.dispatch.executors.addresses import AllowList, Guard, TargetRefused
from ledger.dispatch.executors.outcomes import Blocked
from tests.support.builders import HOUR, HOURLY, MINUTE, NOON
from tests.support.scenario import DONE, LIMITED, OLGA, Scenario, Script

AT_ONCE = timedelta(0)
SECOND = timedelta(seconds=1)
TRIPS = {"trip_after": 1}
PROBES = {**TRIPS, "probe_after_seconds": 600}


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    scenario = Scenario(tmp_path)
    yield scenario
    scenario.close()


def remedies(answer: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["text"], one.get("command")) for one in answer["would_run"]]


def commands(answer: dict[str, Any]) -> list[str]:
    return [one["command"].replace(answer["job_id"][:8], "JOB") for one in answer["would_run"]]


# -- late -----------------------------------------------------------------------------------------


def test_a_retry_that_came_due_in_a_gap_is_late_and_not_at_the_limit(scenario: Scenario) -> None:
    script: Script = [(AT_ONCE, LIMITED), (30 * SECOND, DONE)]
    for number in range(4):
        policy = {"backoff_seconds": [60 + number]}
        job_id = scenario.schedule(
            f"job {number}", schedule=HOURLY, policy=policy, script=list(script)
        )
    scenario.until(NOON + HOUR + 5 * SECOND)
    scenario.silence(NOON + HOUR + 30 * MINUTE)
    restarted_at = scenario.clock.now()
    scenario.until(restarted_at + 2 * MINUTE)

    answer = scenario.why(job_id, restarted_at + 12 * SECOND)

    assert answer["answer"] == "catch_up_spread", answer["text"]
    assert "at its limit" not in answer["text"]


def test_a_past_limit_names_the_runs_that_were_open(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, concurrency=1)
    scenario.schedule("long", script=[(90 * SECOND, DONE)])
    scenario.until(NOON + MINUTE)
    once = {"kind": "at", "at": rfc3339(NOON + 70 * SECOND)}
    job_id = scenario.schedule("once", schedule=once)
    scenario.until(NOON + 5 * MINUTE)

    answer = scenario.why(job_id, NOON + 100 * SECOND)

    assert answer["answer"] == "at_limit"
    assert "while one other run was open: perhaps its node was at its limit" in answer["text"]
    scenario.close()


def test_a_requested_run_waits_while_its_node_is_at_its_limit(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, concurrency=1)
    scenario.schedule("long", script=[(HOUR, DONE)])
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.until(NOON + 2 * MINUTE)

    scenario.ledger.run(job_id)

    assert scenario.why(job_id)["answer"] == "at_limit"
    scenario.close()


# -- overdue --------------------------------------------------------------------------------------


def test_a_pause_that_ended_without_a_dispatcher_is_not_shown_as_lasting(
    scenario: Scenario,
) -> None:
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.ledger.pause(job_id, until=NOON + HOUR)
    scenario.clock.advance(3 * HOUR)
    position = scenario.ledger.writer.position

    unattended = scenario.question.answer(job_id, position=position, is_unattended=True)
    scenario.silence(NOON + 4 * HOUR)
    in_hindsight = scenario.why(job_id, NOON + 2 * HOUR)

    for answer in (unattended, in_hindsight):
        assert answer["answer"] == "node_down"
        assert "It was paused until 2026-03-02T13:00:00Z, but no dispatcher was" in answer["text"]
        assert "paused" in scenario.topics(answer)
    assert remedies(unattended) == [("Start a node that dispatches.", "jobledger serve")]


def test_a_pause_that_has_just_ended_is_resumed_in_a_moment(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.ledger.pause(job_id, until=NOON + HOUR)
    scenario.clock.advance(HOUR)

    assert scenario.why(job_id)["text"].endswith(
        "paused until 2026-03-02T13:00:00Z and will be resumed in a moment."
    )


def test_a_probe_that_came_due_without_a_dispatcher_is_shown_as_due(scenario: Scenario) -> None:
    job_id = scenario.schedule(policy=PROBES, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + 2 * MINUTE)
    scenario.clock.advance(HOUR)
    position = scenario.ledger.writer.position

    answer = scenario.question.answer(job_id, position=position, is_unattended=True)

    assert answer["answer"] == "tripped"
    assert "Its probe has been due since" in answer["text"]
    assert "no dispatcher was running" in answer["text"]
    assert remedies(answer)[-1] == ("Start a node that dispatches.", "jobledger serve")


# -- remedies -------------------------------------------------------------------------------------


def test_a_past_trip_names_the_forced_resume_that_followed(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, policy=TRIPS, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + HOUR + MINUTE)
    scenario.ledger.resume(
        job_id, force=True, context=scenario.ledger.context("renewed", actor=OLGA)
    )
    forced = scenario.ledger.writer.position

    answer = scenario.why(job_id, NOON + HOUR + 30 * SECOND)

    assert remedies(answer) == [
        (f"It was resumed with force by olga at 2026-03-02T13:01:00Z (event {forced}).", None)
    ]


def test_a_past_remedy_keeps_its_command_while_it_still_applies(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, policy=TRIPS, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + HOUR + MINUTE)
    at = NOON + HOUR + 30 * SECOND

    [(still, command)] = remedies(scenario.why(job_id, at))
    scenario.ledger.delete(job_id)
    [(no_longer, gone)] = remedies(scenario.why(job_id, at))

    assert still == "Then as now: once the cause is fixed, resume it with force."
    assert command is not None
    assert "--force" in command
    assert no_longer == "Then, but no longer: once the cause is fixed, resume it with force."
    assert gone is None


def test_a_past_wait_names_the_claim_that_followed(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.until(NOON + 2 * HOUR, MINUTE)

    [(text, command)] = remedies(scenario.why(job_id, NOON + 30 * MINUTE))

    assert text.startswith("It was claimed at 2026-03-02T13:00:0")
    assert command is None


def test_a_disabled_and_paused_job_needs_two_commands(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.ledger.pause(job_id)
    scenario.ledger.amend(job_id, {"enabled": False})

    answer = scenario.why(job_id)

    assert (answer["answer"], commands(answer)) == (
        "disabled",
        ["jobledger amend JOB --enable", "jobledger resume JOB"],
    )
    follow(scenario, job_id)
    assert scenario.why(job_id)["answer"] == "waiting"


def follow(scenario: Scenario, job_id: UUID) -> None:
    """Give the two commands."""
    scenario.ledger.amend(job_id, {"enabled": True})
    scenario.ledger.resume(job_id)


def test_a_blocked_run_is_to_be_unblocked_first(scenario: Scenario) -> None:
    blocked = Blocked("Commands are off. Set JOBLEDGER_COMMANDS.")
    job_id = scenario.schedule(schedule=HOURLY, script=[(AT_ONCE, blocked)])
    scenario.until(NOON + HOUR + MINUTE)

    answer = scenario.why(job_id)

    assert ".." not in answer["text"]
    assert remedies(answer)[0] == (
        "First remove what blocked it: Commands are off. Set JOBLEDGER_COMMANDS.",
        None,
    )
    assert remedies(answer)[1][0].startswith("Then wait for 2026-03-02T14:00:00Z")


def test_a_target_given_by_its_address_is_named_once_in_the_refusal() -> None:
    async def itself(host: str, _port: int) -> tuple[str, ...]:
        return (host,)

    with pytest.raises(TargetRefused) as refused:
        asyncio.run(Guard(AllowList(), itself).addresses("10.0.0.1", 80))

    assert str(refused.value) == (
        "10.0.0.1 is not on the public internet: nothing was sent. To permit it, add 10.0.0.1 to "
        "JOBLEDGER_HTTP_ALLOW."
    )
