"""Python handlers: what they return, how they fail, and how those that do not end are handled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.clock import SystemClock
from ledger.dispatch.executors.outcomes import Blocked, Outcome, RunTicket
from ledger.dispatch.executors.python import Handler, PythonExecutor, RunFailed
from ledger.domain.job.outcomes import Failure, Success
from tests.support.builders import NOON
from tests.support.command_runs import a_ticket

TICKET = replace(a_ticket(["-"], task="seven"), executor={"kind": "python", "handler": "report"})


def outcome_of(handler: Any, *, seconds: float = 60.0, name: str = "report") -> Outcome:
    handlers: Mapping[str, Handler] = {"report": handler}
    executor = {"kind": "python", "handler": name}

    async def scenario() -> Outcome:
        python = PythonExecutor(handlers, clock=SystemClock())
        try:
            ticket = replace(TICKET, timeout_seconds=seconds, executor=executor)
            return await python.execute(ticket)
        finally:
            await python.aclose()

    return asyncio.run(scenario())


def failure_of(handler: Any, **more: Any) -> Failure:
    outcome = outcome_of(handler, **more)
    assert isinstance(outcome, Failure), outcome
    return outcome


def test_a_handler_is_given_the_ticket_and_its_text_is_the_output() -> None:
    def handler(ticket: RunTicket) -> str:
        return f"{ticket.name}: {ticket.task}, attempt {ticket.attempt}"

    outcome = outcome_of(handler)

    assert isinstance(outcome, Success)
    assert outcome.output == "daily report: seven, attempt 2"
    assert outcome.output_bytes == len(outcome.output)


def test_a_coroutine_function_is_awaited() -> None:
    async def handler(ticket: RunTicket) -> str:
        await asyncio.sleep(0)
        return ticket.task

    outcome = outcome_of(handler)

    assert isinstance(outcome, Success)
    assert outcome.output == "seven"


@pytest.mark.parametrize(
    ("returned", "stored", "size"), [(None, "", 0), ("x" * 10_000, "x" * 4096, 10_000)]
)
def test_none_is_stored_as_no_output_and_a_long_text_as_its_beginning(
    returned: str | None, stored: str, size: int
) -> None:
    outcome = outcome_of(lambda _: returned)

    assert isinstance(outcome, Success)
    assert (outcome.output, outcome.output_bytes) == (stored, size)


@pytest.mark.parametrize(
    ("error", "failure_class", "words"),
    [
        (ValueError("no such report"), "other", "Error: ValueError: no such report"),
        (ConnectionError("connection refused"), "unreachable", "connection refused"),
        (TimeoutError("read timed out"), "timeout", "Error: TimeoutError: read timed out"),
        (RuntimeError("429 Too Many Requests"), "rate_limited", "429"),
        (SystemExit(3), "other", "SystemExit"),
        (KeyboardInterrupt(), "other", "KeyboardInterrupt"),
        (StopIteration("x"), "other", "StopIteration"),
    ],
)
def test_an_error_of_the_handler_is_a_failed_run(
    error: BaseException, failure_class: str, words: str
) -> None:
    def handler(_: RunTicket) -> str:
        raise error

    failure = failure_of(handler)

    assert failure.failure_class == failure_class
    assert words in failure.error


def test_a_handler_may_give_a_failure_class_and_a_retry_instant() -> None:
    later = NOON + timedelta(hours=1)

    def handler(_: RunTicket) -> str:
        raise RunFailed("come back later", failure_class="rate_limited", retry_after=later)

    failure = failure_of(handler)

    assert (failure.error, failure.failure_class) == ("come back later", "rate_limited")
    assert failure.retry_after == later


def test_a_text_that_reports_an_error_is_a_failure_as_everywhere() -> None:
    assert failure_of(lambda _: "Error: quota exceeded").failure_class == "rate_limited"


@pytest.mark.parametrize("given", [7, b"bytes", {"a": 1}, ["x"]])
def test_a_result_that_is_not_a_text_is_a_failure(given: object) -> None:
    words = f"it returned {type(given).__name__} instead of a text"

    assert failure_of(lambda _: given).error == words


def test_a_plain_function_that_does_not_end_times_out() -> None:
    may_end = threading.Event()

    failure = failure_of(lambda _: may_end.wait(), seconds=0.05)

    may_end.set()
    assert (failure.failure_class, failure.error) == ("timeout", "it did not end within 0.05 s")


def test_a_coroutine_that_does_not_end_is_cancelled() -> None:
    ends = []

    async def handler(_: RunTicket) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")
        return "never"

    failure = failure_of(handler, seconds=0.05)

    assert failure.failure_class == "timeout"
    assert ends == ["cancelled"]


def test_an_unknown_handler_blocks_the_run_and_the_cause_says_what_to_do() -> None:
    outcome = outcome_of(lambda _: "x", name="unknown")

    assert isinstance(outcome, Blocked)
    assert "jobledger.handlers" in outcome.cause


def test_a_handler_of_an_installed_package_is_found(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "offered-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    entries = "[jobledger.handlers]\nhello = offered_handlers:hello\nbroken = offered_handlers:no\n"
    (info / "entry_points.txt").write_text(entries)
    (tmp_path / "offered_handlers.py").write_text("def hello(ticket): return 'hi ' + ticket.task\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    outcome = outcome_of(lambda _: "x", name="hello")
    broken = outcome_of(lambda _: "x", name="broken")

    assert isinstance(outcome, Success)
    assert outcome.output == "hi seven"
    assert isinstance(broken, Blocked)
    assert "cannot be loaded" in broken.cause


async def cancels_itself(_: RunTicket) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def raises_cancelled(_: RunTicket) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("handler", [cancels_itself, raises_cancelled])
def test_a_handler_that_cancels_itself_has_failed(handler: Handler) -> None:
    assert failure_of(handler).error == "it cancelled itself"
