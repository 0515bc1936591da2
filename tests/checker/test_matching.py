"""The run checker finds every kind of violation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.clock import rfc3339
from tests.checker.matching import Entry, Event, Grid, check
from tests.support.builders import NOON

STEP = timedelta(seconds=10)
GRID = Grid("job", NOON, STEP)
EARLY = Entry("start", "run-1", NOON)
UPTO = NOON + 3 * STEP


def slot(number: int) -> str:
    return rfc3339(NOON + number * STEP)


def an_event(topic: str, at: int, **data: Any) -> Event:
    return Event(f"job.{topic}", "job", NOON + at * STEP, data)


def run(number: int, *, run_id: str | None = None) -> list[Event]:
    """The two events of one run, for the slot of a number."""
    name = run_id or f"run-{number}"
    start = {"run_id": name, "scheduled_for": slot(number), "trigger": "schedule"}
    return [
        an_event("run_started", number, **start),
        an_event("run_succeeded", number, run_id=name),
    ]


def seen(*numbers: int) -> list[Entry]:
    """What the target logged of these runs."""
    names = [(f"run-{number}", NOON + number * STEP) for number in numbers]
    return [Entry(what, name, at) for name, at in names for what in ("start", "end")]


def a_history() -> list[Event]:
    """Slots 0, 1 and 3 run; slot 2 is recorded as missed."""
    first, second, last = run(0), run(1), run(3)
    missed = {"count": 1, "first": slot(2), "last": slot(2), "cause": "busy", "capped": False}
    second[1] = replace(second[1], data={**second[1].data, "missed": missed})
    return [*first, *second, *last]


def test_a_correct_history_passes_the_check() -> None:
    report = check([GRID], a_history(), seen(0, 1, 3), upto=UPTO)

    assert not report.wrong
    assert (report.slots, report.served, report.skipped, report.runs) == (4, 3, 1, 3)


def without(topic: str, number: int) -> list[Event]:
    return [
        event
        for event in a_history()
        if (event.topic, event.data["run_id"]) != (f"job.{topic}", f"run-{number}")
    ]


@pytest.mark.parametrize(
    ("events", "log", "found"),
    [
        (run(0) + run(1) + run(3), seen(0, 1, 3), "slots of which nothing is known"),
        (a_history() + run(1, run_id="run-9"), seen(0, 1, 3, 9), "slots started twice"),
        (a_history() + run(2), seen(0, 1, 2, 3), "slots both run and skipped"),
        (without("run_succeeded", 3), seen(0, 1, 3), "runs without an end"),
        (without("run_succeeded", 0), seen(0, 1, 3), "runs begun while another was open"),
        (without("run_started", 0), seen(1, 3), "outcomes of no open run"),
        (a_history(), seen(0, 1, 1, 3), "runs executed twice"),
        (a_history(), seen(0, 1, 3, 7), "executions that the ledger never started"),
        (a_history(), seen(0, 1), "successes that were never executed"),
        (a_history(), [EARLY, *seen(0, 3)], "executions before their start was durable"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)  # fmt: skip
def test_every_violation_is_named(events: list[Event], log: list[Entry], found: str) -> None:
    report = check([GRID], events, log, upto=UPTO)

    assert found in report.wrong
    assert found in str(report)


def test_a_run_at_an_instant_that_is_not_a_slot_is_named() -> None:
    [start, end] = run(0)
    odd = rfc3339(NOON + STEP / 3)
    moved = replace(start, data={**start.data, "scheduled_for": odd})

    report = check([GRID], [moved, end], seen(0), upto=NOON - STEP)

    assert "runs of no slot" in report.wrong
