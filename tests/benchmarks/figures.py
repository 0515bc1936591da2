"""What `make bench` measures: each figure builds its own ledger, does real durable work, and
says what it saw.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from api.config.gc_tuning import tune_garbage_collector
from ledger import Dispatcher, ExecutorSettings, Ledger
from ledger.application.commands import jobs as commands
from ledger.application.commands.command import Command
from ledger.application.ledger import value_of
from ledger.application.unit_of_work import UnitOfWork
from ledger.dispatch.executors.noop import NoopExecutor
from ledger.domain.job import outcomes, runs
from ledger.domain.job.job import ResumeOptions
from ledger.maintenance.verify import verify_event_store
from projections.read_models import ReadModels
from tests.support.ad_hoc_command import AdHoc

WAITING = 256
SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
EVERY_HOUR = {"kind": "every", "interval_seconds": 3600}


@dataclass(frozen=True)
class Figure:
    """One line of the table. `floor` is what must be reached, in words; `is_reached` is None
    without one.
    """

    what: str
    value: str
    floor: str = ""
    is_reached: bool | None = None


# -- a ledger to measure ------------------------------------------------------------------------


def specs(number: int, schedule: dict[str, Any], name: str = "job") -> list[dict[str, Any]]:
    """So many jobs that do nothing."""
    return [
        {"name": f"{name} {n}", "schedule": schedule, "task": "t", "executor": {"kind": "noop"}}
        for n in range(number)
    ]


def schedule_all(ledger: Ledger, some: Sequence[dict[str, Any]]) -> list[UUID]:
    """Schedule jobs as fast as the ledger takes them."""
    made = []
    for start in range(0, len(some), 500):
        batch = [
            commands.ScheduleJob(ledger.chance.new_id(), spec, ledger.context())
            for spec in some[start : start + 500]
        ]
        made.append(ledger.submit(batch))
    return [value_of(answer).job_id for future in made for answer in future.result()]


def open_both(folder: Path) -> tuple[Ledger, ReadModels]:
    """A ledger and its read models, as `serve` with JOBLEDGER_PROJECTIONS=process has them."""
    ledger = Ledger.open(folder)
    read_models = ReadModels.open(ledger, folder / "projections.db", mode="process")
    read_models.start()
    tune_garbage_collector()
    return ledger, read_models


# -- commands -----------------------------------------------------------------------------------


class Counter(Aggregate):
    """The library's own way of keeping state, as its manual shows it."""

    def __init__(self) -> None:
        self.count = 0

    @event("Counted")
    def add(self) -> None:
        self.count += 1


def library_commands(folder: Path, seconds: float = 5.0) -> float:
    """Load, modify, save per second with the library's SQLite recorder, one after the other."""
    env = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "lib.db")}
    application: Application[UUID] = Application(env)
    rate = load_modify_save(application, seconds)
    application.close()
    return rate


def load_modify_save(application: Application[UUID], seconds: float) -> float:
    """So often a second, on aggregates of at most 50 events."""
    counter = Counter()
    application.save(counter)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        loaded: Counter = application.repository.get(counter.id)
        loaded.add()
        application.save(loaded)
        if loaded.version > 50:
            counter = Counter()
            application.save(counter)
        done += 1
    return done / (time.perf_counter() - started)


def ledger_commands(folder: Path, seconds: float = 5.0) -> float:
    """Pauses and resumes per second, each durable when answered, 256 waiting, projections on."""
    ledger, read_models = open_both(folder)
    ids = schedule_all(ledger, specs(WAITING, EVERY_HOUR))
    rate = toggle_all(ledger, ids, seconds)
    read_models.close()
    ledger.close()
    return rate


def toggle_all(ledger: Ledger, ids: Sequence[UUID], seconds: float) -> float:
    """Pauses and resumes per second, a command waiting for each job."""
    done, started, is_pausing = 0, time.perf_counter(), True
    while time.perf_counter() - started < seconds:
        futures = [ledger.submit([_toggle(ledger, job_id, is_pausing)]) for job_id in ids]
        for future in futures:
            value_of(future.result()[0])
        done += len(ids)
        is_pausing = not is_pausing
    return done / (time.perf_counter() - started)


def _toggle(ledger: Ledger, job_id: UUID, is_pausing: bool) -> Any:
    if is_pausing:
        return commands.PauseJob(job_id, None, ledger.context())
    return commands.ResumeJob(job_id, ResumeOptions(), ledger.context())


def figure_commands(folder: Path) -> list[Figure]:
    """Floor: five times the library's own load-modify-save."""
    (folder / "library").mkdir()
    library = library_commands(folder / "library")
    ours = ledger_commands(folder / "ours")
    ratio = ours / library
    return [
        Figure("library: load, modify, save, one by one", f"{library:,.0f}/s"),
        Figure(
            "durable commands, 256 waiting, projections on",
            f"{ours:,.0f}/s = {ratio:.1f} × the library",
            "≥ 5 ×",
            ratio >= 5,
        ),
    ]


# -- runs ---------------------------------------------------------------------------------------


def noop_runs(ledger: Ledger, read_models: ReadModels, *, seconds: float) -> tuple[float, int]:
    """Noop runs per second of jobs that are due again as soon as they have run, and how many events
    the projections were behind at the end. Closes both.
    """
    schedule_all(ledger, specs(12_000, {"kind": "every", "interval_seconds": 1}))
    dispatcher = Dispatcher(ledger, ExecutorSettings(SECRET))
    dispatcher.start()
    time.sleep(1.5)
    start, started = ledger.writer.position, time.perf_counter()
    time.sleep(seconds)
    rate = (ledger.writer.position - start) / 2 / (time.perf_counter() - started)
    behind = ledger.writer.position - read_models.position
    dispatcher.drain(10)
    read_models.close()
    ledger.close()
    return rate, behind


def figure_runs(folder: Path, *, seconds: float = 6.0) -> list[Figure]:
    """Noop runs per second with every event kept: jobs that are due again as soon as they have
    run.
    """
    rate, behind = noop_runs(*open_both(folder), seconds=seconds)
    return [
        Figure(
            "noop runs, every event kept, projections on",
            f"{rate:,.0f}/s",
            "≥ 5,000/s",
            rate >= 5000,
        ),
        Figure("events the projections were behind at the end", f"{behind:,}"),
    ]


def figure_at_once(folder: Path, *, number: int = 10_000) -> list[Figure]:
    """Many jobs due in the same second."""
    ledger, read_models = open_both(folder)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=number / 1500 + 2)
    schedule_all(ledger, specs(number, {"kind": "at", "at": at.isoformat()}))
    read_models.wait_for(ledger.writer.position, 60)
    dispatcher = Dispatcher(ledger, ExecutorSettings(SECRET))
    dispatcher.start()
    while any(job.status == "active" for job in ledger.job_cache.snapshot()):
        time.sleep(0.05)
    due = at.timestamp() * 1_000_000
    rows = ledger.event_store.rows(after=0)
    lags = sorted((row.recorded_at - due) / 1e6 for row in rows if row.topic == "job.run_started")
    dispatcher.drain(10)
    read_models.close()
    ledger.close()
    p99 = lags[int(len(lags) * 0.99) - 1]
    value = f"{len(lags):,} started in {lags[-1]:.2f} s, p50 {statistics.median(lags):.2f} s, "
    value += f"p99 {p99:.2f} s"
    return [Figure(f"{number:,} jobs due at once, noop", value, "≤ 1.5 s", lags[-1] <= 1.5)]


# -- long histories -----------------------------------------------------------------------------


def figure_long_history(folder: Path, *, events: int = 1_000_000) -> list[Figure]:
    """A command on a job with a long history against one on a job with a short one; memory on
    the way.
    """
    ledger = Ledger.open(folder)
    short, long = schedule_all(ledger, specs(2, EVERY_HOUR))
    grow(ledger, short, 10)
    started = time.perf_counter()
    grow(ledger, long, events // 4)
    early = resident_mib()
    grow(ledger, long, events - events // 4)
    rate = events / (time.perf_counter() - started)
    growth = resident_mib() - early
    few, many = command_seconds(ledger, short), command_seconds(ledger, long)
    started = time.perf_counter()
    verdict = verify_event_store(ledger.event_store)
    verified = verdict.verified / (time.perf_counter() - started)
    ledger.close()
    started = time.perf_counter()
    Ledger.open(folder).close()
    opening = time.perf_counter() - started
    ratio = many / few
    return [
        Figure("events appended in process, one job", f"{rate:,.0f}/s"),
        Figure(
            f"command on a job with {events:,} events, against one with 10",
            f"{many * 1000:.2f} ms / {few * 1000:.2f} ms = {ratio:.2f}",
            "≤ 2",
            ratio <= 2,
        ),
        Figure(
            f"memory grown from {events // 4:,} to {events:,} events",
            f"{growth:.0f} MiB",
            "flat",
            growth < 50,
        ),
        Figure("verify", f"{verified:,.0f} events/s, sound: {verdict.is_sound}"),
        Figure(f"opening a ledger of {events:,} events", f"{opening:.2f} s"),
    ]


def grow(ledger: Ledger, job_id: UUID, events: int) -> None:
    """Let a job run until it has so many events more."""
    for start in range(0, events // 2, 1000):
        batch = [_one_run(ledger, job_id) for _ in range(min(1000, events // 2 - start))]
        for answer in ledger.submit(batch).result():
            value_of(answer)


def _one_run(ledger: Ledger, job_id: UUID) -> Command[None]:
    call = ledger.context()

    def command(unit: UnitOfWork) -> None:
        job = unit.job(job_id)
        if not job.is_run_requested:
            later = (job.next_run_at or call.now) + timedelta(seconds=1)
            run = runs.start_due(job, runs.Claim("bench"), replace(call, now=later))
            assert run is not None
            outcomes.succeed(job, run.run_id, NoopExecutor.result, replace(call, now=later))

    return AdHoc(command)


def command_seconds(ledger: Ledger, job_id: UUID, *, times: int = 400) -> float:
    """The median time of a pause or resume, each waited for alone."""
    taken = []
    for number in range(times):
        started = time.perf_counter()
        ledger.resume(job_id) if number % 2 else ledger.pause(job_id)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def resident_mib() -> float:
    """What the process has in memory at its most, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
