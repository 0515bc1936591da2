"""A timeline: runs in one line, quiet stretches in one line, every event in exactly one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from ledger.domain.events import RUN_END_TOPICS, RunStarted
from projections.history.timeline import Kind, lines

TOPICS = (RunStarted.TOPIC, *RUN_END_TOPICS, "job.paused", "job.delivered", "job.circuit_tripped")


def an_event(topic: str, *, errors: int = 0, **data: Any) -> dict[str, Any]:
    state = {"status": "active", "consecutive_errors": errors}
    plain = {"trigger": "schedule", "missed": None, **data}
    return {"topic": topic, "data": plain, "before": state, "after": state}


def a_run(end: str = "job.run_succeeded", **data: Any) -> list[dict[str, Any]]:
    return [an_event(RunStarted.TOPIC, **data), an_event(end, **data)]


def kinds(events: list[dict[str, Any]], *, folds: bool = True) -> list[Kind]:
    return [line.kind for line in lines(events, folds=folds)]


def test_a_start_and_its_end_are_one_line() -> None:
    assert kinds(a_run("job.run_failed")) == [Kind.RUN]


def test_what_happened_during_a_run_keeps_its_place() -> None:
    start, end = a_run()

    assert kinds([start, an_event("job.paused"), end]) == [Kind.EVENT] * 3


def test_many_successes_are_one_line_that_counts_them() -> None:
    [line] = lines(a_run() * 5)

    assert (line.kind, line.run_count, len(line.events)) == (Kind.QUIET, 5, 10)


def test_a_result_that_was_delivered_disturbs_no_quiet() -> None:
    assert kinds([*a_run(), an_event("job.delivered")] * 3) == [Kind.QUIET]


@pytest.mark.parametrize("loud", [{"trigger": "retry"}, {"missed": {"count": 1}}])
def test_a_success_that_tells_something_stands_alone(loud: dict[str, Any]) -> None:
    events = [*a_run() * 3, *a_run(**loud), *a_run() * 3]

    assert kinds(events) == [Kind.QUIET, Kind.RUN, Kind.QUIET]


def test_a_success_that_ends_a_streak_stands_alone() -> None:
    cured = [an_event(RunStarted.TOPIC, errors=2), an_event("job.run_succeeded")]

    assert kinds([*a_run() * 3, *cured, *a_run() * 3]) == [Kind.QUIET, Kind.RUN, Kind.QUIET]


def test_two_successes_are_not_worth_folding_and_all_unfolds_all() -> None:
    assert kinds(a_run() * 2) == [Kind.RUN] * 2
    assert kinds(a_run() * 5, folds=False) == [Kind.RUN] * 5


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("folds", [True, False])
def test_every_event_is_in_exactly_one_line_in_order(seed: int, folds: bool) -> None:
    random = Random(seed)
    weights = (8, 8, 1, 1, 1, 1, 1, 1)
    events = [an_event(topic) for topic in random.choices(TOPICS, weights, k=200)]

    told = [event for line in lines(events, folds=folds) for event in line.events]

    assert [id(event) for event in told] == [id(event) for event in events], f"seed {seed}"
