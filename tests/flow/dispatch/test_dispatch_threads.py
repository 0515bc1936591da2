"""The dispatcher in its own thread: it starts what is due, drains, and reports its health."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.application.commands.runs import Claimed
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.executors.registry import ExecutorSettings
from tests.flow.dispatch.test_dispatch import DONE, ManualPool
from tests.support.builders import a_spec, open_ledger

LONG = 60.0
"""Seconds after which a test gives up; none takes so long."""
AT_ONCE = {"kind": "every", "interval_seconds": 3600}


class WatchedPool(ManualPool):
    """Signals when it was given something to do."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.has_work = threading.Event()

    def launch(self, claimed: Claimed) -> None:
        super().launch(claimed)
        self.has_work.set()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as ledger:
        yield ledger


def asked(ledger: Ledger, name: str = "job", kind: str = "python") -> UUID:
    """A job with a requested run."""
    executor: dict[str, Any] = {"kind": kind} | ({"handler": "x"} if kind == "python" else {})
    job_id = ledger.schedule(a_spec(name=name, executor=executor, schedule=AT_ONCE)).job_id
    ledger.run(job_id)
    return job_id


def topics(ledger: Ledger, job_id: UUID) -> list[str]:
    return [event["topic"] for event in ledger.history(job_id)]


def busy(ledger: Ledger, **more: Any) -> tuple[Dispatcher, WatchedPool, UUID]:
    """A dispatcher that a request has woken, its pool, and the job whose run is under way."""
    pool = WatchedPool(ledger)
    dispatcher = Dispatcher(ledger, pool, **more)
    dispatcher.start()
    job_id = asked(ledger)
    assert pool.has_work.wait(LONG)
    return dispatcher, pool, job_id


def test_a_drain_lets_runs_end_and_claims_no_more(ledger: Ledger) -> None:
    dispatcher, pool, job_id = busy(ledger)
    draining = threading.Thread(target=dispatcher.drain, args=(LONG,))
    draining.start()

    pool.end(pool.launched[0], DONE)
    draining.join(LONG)
    later = asked(ledger, "later")

    assert topics(ledger, job_id)[-1] == "job.run_succeeded"
    assert topics(ledger, later)[-1] == "job.run_requested"
    assert dispatcher.health()["state"] == "stopped"


def test_a_drain_that_times_out_records_open_runs_as_lost(ledger: Ledger) -> None:
    dispatcher, _, job_id = busy(ledger)

    dispatcher.drain(0)

    last = ledger.history(job_id)[-1]
    assert (last["topic"], last["data"]["cause"]) == ("job.run_lost", "shutdown")
    assert last["data"]["consecutive_losses"] == 0


def test_a_dispatcher_that_was_never_started_drains_at_once(ledger: Ledger) -> None:
    dispatcher = Dispatcher(ledger, ManualPool(ledger))

    dispatcher.drain(LONG)

    assert dispatcher.health()["state"] == "stopped"


def test_hundreds_of_instant_runs_all_end(ledger: Ledger) -> None:
    ids = [asked(ledger, f"job {number}", "noop") for number in range(300)]
    dispatcher = Dispatcher(ledger, ExecutorSettings.of_this_process(), concurrency=1)
    ended = threading.Event()

    def instrumentation(_: int) -> None:
        if all(job.last_run is not None for job in ledger.job_cache.snapshot()):
            ended.set()

    ledger.writer.listeners.append(instrumentation)

    dispatcher.start()

    assert ended.wait(LONG)
    dispatcher.drain(LONG)
    assert {topics(ledger, job_id)[-1] for job_id in ids} == {"job.run_succeeded"}


def test_health_reports_state_and_problem(ledger: Ledger) -> None:
    dispatcher, *_ = busy(ledger, node="node-7")

    health = dispatcher.health()

    shown = {key: health[key] for key in ("node", "state", "problem", "open_runs")}
    assert shown == {"node": "node-7", "state": "running", "problem": None, "open_runs": 1}
    dispatcher.drain(0)
