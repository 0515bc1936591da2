"""Why a job ran or did not: every answer, reached by commands and a real dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from uuid import UUID

import pytest

from ledger.clock import rfc3339
from ledger.dispatch.executors.outcomes import Blocked, Failed
from ledger.errors import JobNotFound
from projections.models.storms import queries as storm_questions
from projections.why.question import CODES
from tests.support.builders import DAY, HOUR, MINUTE, NOON
from tests.support.docs_runner import DOCS, quoted, rows
from tests.support.scenario import DONE, LIMITED, NEVER, OLGA, Scenario

SECOND = timedelta(seconds=1)
HOURLY = {"kind": "cron", "expr": "0 * * * *"}
AT_ONCE = timedelta(0)
SOON = {"trip_after": 3, "backoff_seconds": [60]}


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    scenario = Scenario(tmp_path)
    yield scenario
    scenario.close()


def chain_topics(
    scenario: Scenario, job_id: UUID, code: str, at: datetime | None = None
) -> list[str]:
    """The topics of the chain; asserts the code, and that the chain is in order."""
    answer = scenario.why(job_id, at)
    assert answer["answer"] == code, answer["text"]
    positions = [link["position"] for link in answer["chain"]]
    assert positions == sorted(set(positions))
    assert all(position >= 1 for position in positions)
    return scenario.topics(answer)


# -- inactive -------------------------------------------------------------------------------------


def test_a_deleted_job_names_who_deleted_it(scenario: Scenario) -> None:
    job_id = scenario.schedule()
    scenario.ledger.delete(job_id, context=scenario.ledger.context("no more", actor=OLGA))

    assert chain_topics(scenario, job_id, "deleted") == ["deleted"]
    assert "by olga (no more)" in scenario.why(job_id)["text"]


def test_a_completed_one_shot_names_its_last_run(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule={"kind": "at", "at": rfc3339(NOON + MINUTE)})
    scenario.until(NOON + 2 * MINUTE)

    assert chain_topics(scenario, job_id, "completed") == ["run_succeeded", "completed"]


def test_a_tripped_job_names_its_failures_and_the_trip(scenario: Scenario) -> None:
    job_id = scenario.schedule(policy=SOON, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + 5 * MINUTE)

    assert chain_topics(scenario, job_id, "tripped") == ["run_failed"] * 3 + ["circuit_tripped"]
    answer = scenario.why(job_id)
    assert answer["would_run"][0]["command"].endswith("--force --reason WHY")
    assert "429 Too Many Requests" in answer["text"]
    assert answer["next_run_at"] is None


def test_a_job_that_tripped_in_a_storm_names_the_storm(scenario: Scenario) -> None:
    ids = [
        scenario.schedule(f"job {n}", policy=SOON, script=[(AT_ONCE, LIMITED)]) for n in range(3)
    ]
    scenario.until(NOON + 5 * MINUTE)

    scenario.read_models.catch_up()
    with scenario.read_models.reading() as reader:
        [storm], _ = storm_questions.find(reader, now=scenario.clock.now())
    for job_id in ids:
        assert f"storm {storm['id']}" in scenario.why(job_id)["text"]


def test_a_tripped_job_names_its_probe(scenario: Scenario) -> None:
    policy = {**SOON, "trip_after": 1, "probe_after_seconds": 3600}
    job_id = scenario.schedule(policy=policy, script=[(AT_ONCE, LIMITED)])
    scenario.until(NOON + 2 * MINUTE)

    assert chain_topics(scenario, job_id, "tripped") == ["run_failed", "circuit_tripped"]
    assert "A probe will run at 2026-03-02T13:01" in scenario.why(job_id)["text"]


def test_a_job_that_was_lost_too_often_names_the_losses(scenario: Scenario) -> None:
    job_id = scenario.schedule(policy={"max_losses": 1, "lease_seconds": 1}, script=[(NEVER, DONE)])
    scenario.until(NOON + 2 * MINUTE)
    run = scenario.ledger.job_cache.jobs[job_id].open_run
    assert run is not None
    scenario.dispatcher._cycle.lose([scenario.work.running[run.run_id]], "lease_expired")

    assert chain_topics(scenario, job_id, "tripped") == ["run_lost", "circuit_tripped"]


@pytest.mark.parametrize("is_scheduled_so", [True, False])
def test_a_disabled_job_names_the_event_that_disabled_it(
    scenario: Scenario, is_scheduled_so: bool
) -> None:
    job_id = scenario.schedule(enabled=not is_scheduled_so)
    if not is_scheduled_so:
        scenario.ledger.amend(
            job_id, {"enabled": False}, context=scenario.ledger.context(actor=OLGA)
        )
        scenario.ledger.amend(job_id, {"description": "x"})

    assert chain_topics(scenario, job_id, "disabled") == [
        "scheduled" if is_scheduled_so else "amended"
    ]
    assert "by olga in event" in scenario.why(job_id)["text"]


def test_a_paused_job_names_who_paused_it_why_and_until_when(scenario: Scenario) -> None:
    job_id = scenario.schedule()
    call = scenario.ledger.context("too noisy", actor=OLGA)
    scenario.ledger.pause(job_id, until=NOON + HOUR, context=call)

    assert chain_topics(scenario, job_id, "paused") == ["paused"]
    assert "by olga (too noisy) until 2026-03-02T13:00:00Z" in scenario.why(job_id)["text"]


def test_a_paused_one_shot_whose_instant_has_passed_is_exhausted(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule={"kind": "at", "at": rfc3339(NOON + MINUTE)})
    scenario.ledger.pause(job_id)
    scenario.until(NOON + 2 * MINUTE)

    assert chain_topics(scenario, job_id, "exhausted") == ["paused"]
    assert scenario.why(job_id)["would_run"][0]["command"].endswith("--run-now")


# -- active ---------------------------------------------------------------------------------------


def test_an_open_run_is_named(scenario: Scenario) -> None:
    job_id = scenario.schedule(script=[(NEVER, DONE)])
    scenario.until(NOON + 61 * SECOND)

    assert chain_topics(scenario, job_id, "running") == ["run_started"]


def test_a_slot_during_a_run_is_an_overlap_and_names_the_event_that_recorded_it(
    scenario: Scenario,
) -> None:
    schedule = {"kind": "cron", "expr": "* * * * *"}
    job_id = scenario.schedule(schedule=schedule, script=[(150 * SECOND, DONE)])
    scenario.until(NOON + 130 * SECOND)
    assert chain_topics(scenario, job_id, "overlap") == ["run_started"]
    scenario.until(NOON + 5 * MINUTE)

    assert chain_topics(scenario, job_id, "overlap", NOON + 2 * MINUTE) == [
        "run_started",
        "run_succeeded",
    ]
    assert "2 slots missed" in scenario.why(job_id, NOON + 2 * MINUTE)["chain"][-1]["text"]


def test_a_job_waits_for_its_next_fire(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY)

    assert chain_topics(scenario, job_id, "waiting") == ["scheduled"]
    assert scenario.why(job_id)["next_run_at"] == "2026-03-02T13:00:00Z"


def test_a_failed_run_backs_off_and_names_the_failures(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, policy={"backoff_seconds": [600]})
    scenario.scripts[job_id] = [(AT_ONCE, LIMITED)]
    scenario.until(NOON + HOUR + 11 * MINUTE)

    assert chain_topics(scenario, job_id, "backoff") == ["run_failed", "run_failed"]
    assert "600 s after failure 2" in scenario.why(job_id)["text"]


def test_a_backoff_requested_by_the_target_says_so(scenario: Scenario) -> None:
    asked = Failed("429", "rate_limited", None, NOON + 20 * MINUTE, 1)
    job_id = scenario.schedule(script=[(AT_ONCE, asked)])
    scenario.until(NOON + 2 * MINUTE)

    assert chain_topics(scenario, job_id, "backoff") == ["run_failed"]
    assert "as the target requested (Retry-After)" in scenario.why(job_id)["text"]


def test_jitter_delays_a_claim(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, policy={"jitter_seconds": 1000})
    jitter = scenario.ledger.job_cache.jobs[job_id].parsed_policy.jitter(job_id)
    assert jitter > 2 * SECOND
    scenario.until(NOON + HOUR + SECOND)

    assert chain_topics(scenario, job_id, "jitter") == ["scheduled"]


def test_a_blocked_run_names_the_cause(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, script=[(AT_ONCE, Blocked("commands are off"))])
    scenario.until(NOON + HOUR + MINUTE)

    assert chain_topics(scenario, job_id, "blocked") == ["run_started", "run_blocked"]
    assert "commands are off" in scenario.why(job_id)["text"]


def test_a_lost_run_names_the_cause(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY, script=[(NEVER, DONE)])
    scenario.until(NOON + HOUR + MINUTE)
    scenario.silence(NOON + HOUR + 30 * MINUTE)

    assert chain_topics(scenario, job_id, "lost") == ["run_started", "run_lost"]
    assert "owner_restarted" in scenario.why(job_id)["text"]


BERLIN_SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_wall_time_that_did_not_exist_is_named_with_the_clock_change(
    tmp_path: Path,
) -> None:
    scenario = Scenario(tmp_path, BERLIN_SPRING - HOUR)
    schedule = {"kind": "cron", "expr": "30 2 * * *", "tz": "Europe/Berlin", "dst": "skip"}
    job_id = scenario.schedule(schedule=schedule)
    caught_up = scenario.schedule("vixie", schedule={**schedule, "dst": "vixie"})
    scenario.until(BERLIN_SPRING + HOUR, MINUTE)

    assert chain_topics(scenario, job_id, "clock_change") == ["scheduled"]
    assert "02:30 did not exist on 2026-03-29 in Europe/Berlin" in scenario.why(job_id)["text"]
    assert scenario.why(caught_up)["answer"] == "waiting"
    assert chain_topics(scenario, job_id, "waiting", BERLIN_SPRING - MINUTE) == ["scheduled"]
    scenario.close()


# -- due ------------------------------------------------------------------------------------------


def test_a_due_job_is_claimed_in_a_moment(scenario: Scenario) -> None:
    job_id = scenario.schedule()
    scenario.until(NOON + 59 * SECOND)
    scenario.clock.advance(SECOND)

    assert chain_topics(scenario, job_id, "due") == ["scheduled"]
    scenario.until(NOON + 2 * MINUTE)
    assert chain_topics(scenario, job_id, "due", NOON + MINUTE) == ["scheduled", "run_started"]


def test_a_requested_run_is_due(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.ledger.run(job_id, context=scenario.ledger.context("to see", actor=OLGA))

    assert chain_topics(scenario, job_id, "due") == ["run_requested"]


def test_a_queue_without_workers_is_named(scenario: Scenario) -> None:
    job_id = scenario.schedule(executor={"kind": "worker", "queue": "gpu"})
    scenario.until(NOON + 3 * MINUTE)

    assert chain_topics(scenario, job_id, "no_worker") == ["scheduled"]
    assert chain_topics(scenario, job_id, "no_worker", NOON + 2 * MINUTE) == ["scheduled"]
    assert "'gpu'" in scenario.why(job_id)["text"]


def test_a_gap_in_dispatch_names_the_last_event_before_and_the_first_after(
    scenario: Scenario,
) -> None:
    busy = scenario.schedule("busy")
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.until(NOON + 30 * MINUTE + 5 * SECOND, timedelta(seconds=5))
    last_before = scenario.ledger.writer.position
    scenario.silence(NOON + 5 * HOUR + MINUTE)
    scenario.until(NOON + 5 * HOUR + 20 * MINUTE, timedelta(seconds=5))

    topics = chain_topics(scenario, job_id, "node_down", NOON + 3 * HOUR)

    answer = scenario.why(job_id, NOON + 3 * HOUR)
    positions = [link["position"] for link in answer["chain"]]
    assert last_before in positions
    assert last_before + 1 in positions
    assert topics[-2:] == ["run_started", "run_succeeded"]
    assert "4 slots missed" in answer["chain"][-1]["text"]
    assert scenario.why(busy, NOON + 3 * HOUR)["answer"] == "node_down"


def test_a_run_that_was_open_when_its_node_died_names_the_loss_and_its_cause(
    scenario: Scenario,
) -> None:
    job_id = scenario.schedule(schedule=HOURLY, script=[(NEVER, DONE)])
    scenario.until(NOON + HOUR + MINUTE)
    scenario.silence(NOON + 4 * HOUR + MINUTE)

    topics = chain_topics(scenario, job_id, "node_down", NOON + 2 * HOUR)
    assert topics == ["run_started", "run_lost"]
    assert "owner_restarted" in scenario.why(job_id, NOON + 2 * HOUR)["text"]


def test_without_a_dispatcher_in_this_process_the_events_show_that_none_is_running(
    scenario: Scenario,
) -> None:
    job_id = scenario.schedule()
    scenario.clock.advance(HOUR)

    answer = scenario.question.answer(job_id, position=scenario.ledger.writer.position)

    assert answer["answer"] == "node_down"


def test_an_unattended_ledger_says_so_at_once(scenario: Scenario) -> None:
    due, running = scenario.schedule("due"), scenario.schedule("running", script=[(NEVER, DONE)])
    scenario.until(NOON + 61 * SECOND)
    scenario.clock.advance(MINUTE)
    position = scenario.ledger.writer.position

    for job_id, text in ((due, "no dispatcher was running"), (running, "Its node is gone")):
        answer = scenario.question.answer(job_id, position=position, is_unattended=True)
        assert answer["answer"] == "node_down"
        assert text in answer["text"]
        assert answer["would_run"][0]["command"] == "jobledger serve"


def test_late_starts_are_spread_out(scenario: Scenario) -> None:
    ids = [scenario.schedule(f"job {number}", schedule=HOURLY) for number in range(4)]
    scenario.until(NOON + MINUTE)
    scenario.silence(NOON + 2 * HOUR + MINUTE)
    chain_topics(scenario, ids[3], "catch_up_spread")
    restarted_at = scenario.clock.now()
    scenario.until(restarted_at + 2 * MINUTE)

    assert chain_topics(scenario, ids[3], "catch_up_spread", restarted_at + 2 * SECOND)[-2:] == [
        "run_started",
        "run_succeeded",
    ]


def test_a_late_slot_that_is_given_up_is_spread_out_like_one_that_runs(
    scenario: Scenario,
) -> None:
    policy = {"catch_up": "none"}
    ids = [scenario.schedule(f"job {n}", schedule=HOURLY, policy=policy) for n in range(4)]
    scenario.until(NOON + MINUTE)
    scenario.silence(NOON + 2 * HOUR + MINUTE)
    restarted_at = scenario.clock.now()
    scenario.until(restarted_at + 2 * MINUTE)

    topics = chain_topics(scenario, ids[3], "catch_up_spread", restarted_at + 2 * SECOND)
    assert topics[-1] == "fires_skipped"
    assert "given up, as its policy says" in scenario.why(ids[3], restarted_at + 2 * SECOND)["text"]


def test_a_node_at_its_limit_is_named(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path, concurrency=2)
    long = [(150 * SECOND, DONE)]
    for number in range(2):
        scenario.schedule(f"long {number}", script=list(long))
    scenario.until(NOON + MINUTE)
    job_id = scenario.schedule("late", schedule={"kind": "at", "at": rfc3339(NOON + 90 * SECOND)})
    scenario.until(NOON + 2 * MINUTE)
    assert chain_topics(scenario, job_id, "at_limit") == ["scheduled"]
    assert "already executes 2 runs, its limit" in scenario.why(job_id)["text"]
    scenario.until(NOON + 5 * MINUTE)

    chain_topics(scenario, job_id, "at_limit", NOON + 2 * MINUTE)
    assert "2 other runs" in scenario.why(job_id, NOON + 2 * MINUTE)["text"]
    scenario.close()


# -- unknown and not yet scheduled ----------------------------------------------------------------


def test_a_job_that_did_not_exist_yet_names_its_scheduling(scenario: Scenario) -> None:
    scenario.schedule("earlier")
    scenario.clock.advance(HOUR)
    job_id = scenario.schedule()

    answer = scenario.why(job_id, NOON + MINUTE)

    assert (answer["answer"], answer["job_name"]) == ("not_yet", "report")
    assert scenario.topics(answer) == ["scheduled"]


def test_an_unknown_job_is_refused(scenario: Scenario) -> None:
    with pytest.raises(JobNotFound):
        scenario.why(UUID(int=7))


@pytest.mark.parametrize(("pauses", "cause"), [(True, "paused"), (False, "failed")])
def test_a_slot_in_the_past_names_the_event_that_recorded_it_as_missed(
    scenario: Scenario, pauses: bool, cause: str
) -> None:
    job_id = scenario.schedule(schedule=HOURLY, policy={"trip_after": 1})
    scenario.scripts[job_id] = [(AT_ONCE, LIMITED)]
    if pauses:
        scenario.ledger.pause(job_id)
    else:
        scenario.until(NOON + HOUR + MINUTE, MINUTE)
    scenario.until(NOON + 5 * HOUR + MINUTE, MINUTE)
    scenario.ledger.resume(job_id, force=True)

    answer = scenario.why(job_id, NOON + 3 * HOUR)

    assert answer["answer"] == ("paused" if pauses else "tripped")
    assert f"(cause: {cause})" in answer["chain"][-1]["text"]
    assert answer["chain"][-1]["position"] == scenario.ledger.writer.position


@pytest.mark.slow
def test_every_code_is_reached(scenario: Scenario, tmp_path: Path) -> None:
    """Runs the tests that need only a scenario or a folder once more, and collects the codes."""
    Scenario.answers.clear()
    test_a_disabled_job_names_the_event_that_disabled_it(scenario, is_scheduled_so=True)
    for name, test in list(globals().items()):
        needs = [*signature(test).parameters] if name.startswith("test_") else []
        folder = tmp_path / name[-60:]
        if needs == ["scenario"]:
            other = Scenario(folder)
            test(other)
            other.close()
        elif needs == ["tmp_path"]:
            folder.mkdir()
            test(folder)

    assert set(CODES) == Scenario.answers


def test_an_instant_days_ago_is_answered_like_a_recent_one(scenario: Scenario) -> None:
    job_id = scenario.schedule(schedule=HOURLY)
    scenario.until(NOON + 2 * DAY, 20 * MINUTE)

    assert scenario.why(job_id, NOON + 90 * MINUTE)["answer"] == "waiting"


def test_the_reference_lists_every_code() -> None:
    text = (DOCS / "reference" / "http.md").read_text().split("### Why")[1].split("## ")[0]

    assert [quoted(row[0])[0] for row in rows(text)] == list(CODES)
