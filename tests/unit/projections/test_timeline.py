"""A timeline: a run in one line, successes in a row in one line, every event in exactly one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from projections.history.timeline import Kind, lines
from projections.history.topics import ENDS, STARTED

TOPICS = (STARTED, *ENDS, "job.paused", "job.delivered", "job.circuit_tripped")


def an_event(topic: str, *, errors: int = 0, **data: Any) -> dict[str, Any]:
    state = {"status": "active", "consecutive_errors": errors}
    plain = {"trigger": "schedule", "missed": None, **data}
    return {"topic": topic, "data": plain, "before": state, "after": state}


def a_run(end: str = "job.run_succeeded", **data: Any) -> list[dict[str, Any]]:
    return [an_event(STARTED, **data), an_event(end, **data)]


def kinds(events: list[dict[str, Any]], *, folds: bool = True) -> list[Kind]:
    return [line.kind for line in lines(events, folds=folds)]


def test_a_start_and_its_end_are_one_line() -> None:
    assert kinds(a_run("job.run_failed")) == [Kind.RUN]


def test_an_event_during_a_run_keeps_its_order() -> None:
    start, end = a_run()

    assert kinds([start, an_event("job.paused"), end]) == [Kind.EVENT] * 3


def test_successes_in_a_row_are_one_line_with_their_count() -> None:
    [line] = lines(a_run() * 5)

    assert (line.kind, line.run_count, len(line.events)) == (Kind.QUIET, 5, 10)


def test_a_delivery_does_not_interrupt_successes_in_a_row() -> None:
    assert kinds([*a_run(), an_event("job.delivered")] * 3) == [Kind.QUIET]


@pytest.mark.parametrize("notable", [{"trigger": "retry"}, {"missed": {"count": 1}}])
def test_a_success_that_changes_something_has_its_own_line(notable: dict[str, Any]) -> None:
    events = [*a_run() * 3, *a_run(**notable), *a_run() * 3]

    assert kinds(events) == [Kind.QUIET, Kind.RUN, Kind.QUIET]


def test_a_success_that_ends_a_streak_has_its_own_line() -> None:
    cured = [an_event(STARTED, errors=2), an_event("job.run_succeeded")]

    assert kinds([*a_run() * 3, *cured, *a_run() * 3]) == [Kind.QUIET, Kind.RUN, Kind.QUIET]


def test_two_successes_are_not_folded() -> None:
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
