"""The loop that all background work runs in."""

from __future__ import annotations

import logging
import threading

import pytest

from ledger.background_loop import BackgroundLoop
from ledger.errors import Unavailable

LONG = 60.0


class Steps:
    """A step that counts its calls and fails as often as it is told to."""

    def __init__(self, wait: float | None, *errors: Exception) -> None:
        self.count = 0
        self.called = threading.Semaphore(0)
        self._wait = wait
        self._errors = list(errors)

    def __call__(self) -> float | None:
        self.count += 1
        self.called.release()
        if self._errors:
            raise self._errors.pop(0)
        return self._wait


def test_a_step_without_a_wait_is_repeated_at_once() -> None:
    step = Steps(0.0)
    loop = BackgroundLoop("test", step)
    loop.start()

    assert all(step.called.acquire(timeout=LONG) for _ in range(5))
    loop.close()
    assert not loop.is_running


def test_a_step_that_waits_is_woken() -> None:
    step = Steps(None)
    loop = BackgroundLoop("test", step)
    loop.start()
    assert step.called.acquire(timeout=LONG)

    loop.wake("any", "arguments")

    assert step.called.acquire(timeout=LONG)
    loop.close()


def test_the_loop_survives_errors_and_names_the_problem_until_a_step_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused, fault = Unavailable("the database is away"), ZeroDivisionError("oops")
    step = Steps(None, refused, Unavailable("the database is away"), fault)
    problems: list[str | None] = []

    def noted_step() -> float | None:
        problems.append(loop.problem)
        return step()

    loop = BackgroundLoop("test", noted_step, retry_seconds=0)
    with caplog.at_level(logging.WARNING):
        loop.start()
        assert all(step.called.acquire(timeout=LONG) for _ in range(4))
        loop.close()

    assert problems == [
        None,
        "the database is away",
        "the database is away",
        "ZeroDivisionError: oops",
    ]
    assert loop.problem is None
    logged = [(record.getMessage(), record.exc_info is not None) for record in caplog.records]
    assert logged == [
        ("the test cannot go on: the database is away", False),
        ("the test cannot go on: ZeroDivisionError: oops", True),
    ]


def test_a_loop_ends_by_itself_when_it_is_done() -> None:
    step = Steps(0.0)
    loop = BackgroundLoop("test", step, until=lambda: step.count >= 3)
    loop.start()

    assert loop.join(LONG)
    assert step.count == 3


def test_closing_a_loop_that_was_never_started_does_nothing() -> None:
    loop = BackgroundLoop("test", Steps(None))

    loop.close()

    assert not loop.was_started


def test_a_step_that_lasts_says_when_its_problem_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Else a second outage with the same message would not be logged."""
    step = Steps(None, *[Unavailable("connection refused")] * 2)

    def lasting_step() -> float | None:
        loop.recovered()
        return step()

    loop = BackgroundLoop("test", lasting_step, retry_seconds=0)
    with caplog.at_level(logging.WARNING):
        loop.start()
        assert all(step.called.acquire(timeout=LONG) for _ in range(3))
        loop.close()

    assert len(caplog.records) == 2


def test_a_loop_that_waits_in_its_own_way_waits_so_before_a_retry_too() -> None:
    waits: list[float | None] = []
    step = Steps(0.0, Unavailable("away"))
    loop = BackgroundLoop(
        "test", step, retry_seconds=7, wait=waits.append, until=lambda: step.count >= 2
    )
    loop.start()

    assert loop.join(LONG)
    assert waits == [7]
