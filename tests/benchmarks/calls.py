"""How many Python functions are called for one run and for one command: what they cost, without a
clock.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ledger import Dispatcher, ExecutorSettings, Ledger
from ledger.application.commands.jobs import PauseJob, ResumeJob
from ledger.domain.job.job import ResumeOptions
from tests.benchmarks.figures import EVERY_HOUR, SECRET, schedule_all, specs
from tests.support.builders import HOUR, ManualClock

JOBS = 200


class CallCount:
    """Counts the calls of all threads that begin while it does."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            self.calls += 1


@contextmanager
def counting() -> Iterator[CallCount]:
    """Count the calls of this thread, and of those that it starts."""
    count = CallCount()
    threading.setprofile(count)
    sys.setprofile(count)
    try:
        yield count
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def per_run(folder: Path) -> float:
    """Calls for a claim, a noop run and its outcome: of many jobs that are due together."""
    clock = ManualClock()
    with counting() as count, Ledger.open(folder, clock=clock) as ledger:
        schedule_all(ledger, specs(JOBS, EVERY_HOUR))
        dispatcher = Dispatcher(ledger, ExecutorSettings(SECRET))
        clock.advance(HOUR)
        before = count.calls
        while dispatcher.run_once():
            pass
        calls = count.calls - before
        dispatcher.drain(0.0)
    return calls / JOBS


def per_command(folder: Path) -> float:
    """Calls for a pause or a resume, of many in one batch."""
    with counting() as count, Ledger.open(folder, clock=ManualClock()) as ledger:
        ids = schedule_all(ledger, specs(JOBS, EVERY_HOUR))
        before = count.calls
        ledger.submit([PauseJob(one, None, ledger.context()) for one in ids]).result()
        options = ResumeOptions()
        ledger.submit([ResumeJob(one, options, ledger.context()) for one in ids]).result()
        calls = count.calls - before
    return calls / (2 * JOBS)
