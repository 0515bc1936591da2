"""What would run a job, as why says: what to do now, and of the past what was done or still may."""

from __future__ import annotations

from typing import Any

from ledger.dispatch.executors.outcomes import Blocked
from tests.support.builders import HOUR, HOURLY, MINUTE, NOON
from tests.support.scenario import Scenario
from tests.support.scenes import AT_ONCE, FAILS, Scene

SHORTLY_AFTER = NOON + HOUR + MINUTE / 2


def tripped() -> Scene:
    return Scene(schedule=HOURLY, policy={"trip_after": 1}, script=FAILS).until(HOUR + MINUTE)


def remedies(answer: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["text"], one.get("command")) for one in answer["would_run"]]


def test_a_past_trip_names_the_forced_resume_that_followed(scenario: Scenario) -> None:
    job_id = tripped().olga("resume", force=True, reason="renewed").play(scenario)
    forced = scenario.ledger.writer.position

    answer = scenario.why(job_id, SHORTLY_AFTER)

    assert remedies(answer) == [
        (f"It was resumed with force by olga at 2026-03-02T13:01:00Z (event {forced}).", None)
    ]


def test_a_past_remedy_keeps_its_command_while_it_still_applies(scenario: Scenario) -> None:
    job_id = tripped().play(scenario)

    [(still, command)] = remedies(scenario.why(job_id, SHORTLY_AFTER))
    scenario.ledger.delete(job_id)
    [(no_longer, gone)] = remedies(scenario.why(job_id, SHORTLY_AFTER))

    assert still == "Then as now: once the cause is fixed, resume it with force."
    assert command is not None
    assert "--force" in command
    assert no_longer == "Then, but no longer: once the cause is fixed, resume it with force."
    assert gone is None


def test_a_past_wait_names_the_claim_that_followed(scenario: Scenario) -> None:
    job_id = Scene(schedule=HOURLY).until(2 * HOUR, MINUTE).play(scenario)

    [(text, command)] = remedies(scenario.why(job_id, NOON + 30 * MINUTE))

    assert text.startswith("It was claimed at 2026-03-02T13:00:0")
    assert command is None


def test_a_disabled_and_paused_job_needs_two_commands(scenario: Scenario) -> None:
    scene = Scene(schedule=HOURLY).olga("pause").olga("amend", {"enabled": False})
    job_id = scene.play(scenario)

    answer = scenario.why(job_id)

    commands = [one["command"].replace(str(job_id)[:8], "JOB") for one in answer["would_run"]]
    assert (answer["answer"], commands) == (
        "disabled",
        ["jobledger amend JOB --enable", "jobledger resume JOB"],
    )
    scenario.ledger.amend(job_id, {"enabled": True})
    scenario.ledger.resume(job_id)
    assert scenario.why(job_id)["answer"] == "waiting"


def test_a_blocked_run_is_to_be_unblocked_first(scenario: Scenario) -> None:
    blocked = Blocked("Commands are off. Set JOBLEDGER_COMMANDS.")
    scene = Scene(schedule=HOURLY, script=[(AT_ONCE, blocked)]).until(HOUR + MINUTE)
    job_id = scene.play(scenario)

    answer = scenario.why(job_id)

    assert ".." not in answer["text"]
    assert remedies(answer)[0] == (
        "First remove what blocked it: Commands are off. Set JOBLEDGER_COMMANDS.",
        None,
    )
    assert remedies(answer)[1][0].startswith("Then wait for 2026-03-02T14:00:00Z")


def test_an_overdue_probe_needs_a_node_in_the_end(scenario: Scenario) -> None:
    policy = {"trip_after": 1, "probe_after_seconds": 600}
    scene = Scene(policy=policy, script=FAILS).until(2 * MINUTE).unattended(HOUR)
    job_id = scene.play(scenario)

    answer = scenario.why(job_id, is_unattended=True)

    assert answer["answer"] == "tripped"
    assert "Its probe has been due since" in answer["text"]
    assert "no dispatcher was running" in answer["text"]
    assert remedies(answer)[-1] == ("Start a node that dispatches.", "jobledger serve")
