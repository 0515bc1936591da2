"""The run checker matches what was due, what the ledger recorded, and what the target saw. It
shares no code with the ledger: it counts slots in its own way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

ENDS = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")


@dataclass(frozen=True, slots=True)
class Grid:
    """A job that is due at `first` and every `step` after it."""

    job_id: str
    first: datetime
    step: timedelta

    def slots(self, upto: datetime) -> set[datetime]:
        """Every slot until an instant."""
        count = (upto - self.first) // self.step + 1 if upto >= self.first else 0
        return {self.first + number * self.step for number in range(count)}


@dataclass(frozen=True, slots=True)
class Event:
    """What the checker needs of one event of the ledger."""

    topic: str
    job_id: str
    recorded_at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the target's own log: a run began, or ended."""

    what: str
    run_id: str
    at: datetime


@dataclass
class Report:
    """The result of a check. Everything under `wrong` must be empty."""

    slots: int = 0
    served: int = 0
    """Slots for which a run was started."""
    skipped: int = 0
    """Slots that the ledger recorded as missed."""
    runs: int = 0
    lost: int = 0
    failed: int = 0
    executed: int = 0
    """Runs that the target executed."""
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __str__(self) -> str:
        found = (
            f"{self.slots} slots: {self.served} run, {self.skipped} recorded as skipped; "
            f"{self.runs} runs, {self.lost} lost, {self.failed} failed, {self.executed} seen by "
            "the target"
        )
        bad = "; ".join(f"{len(which)} {what}: {which[:5]}" for what, which in self.wrong.items())
        return f"{found}; wrong: {bad or 'nothing'}"


def check(
    grids: Sequence[Grid], events: Iterable[Event], log: Sequence[Entry], *, upto: datetime
) -> Report:
    """Match everything, for slots until `upto`."""
    report = Report()
    by_job: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_job[event.job_id].append(event)
    for grid in grids:
        _check_job(report, grid, by_job[grid.job_id], upto)
    _check_target(report, [event for some in by_job.values() for event in some], log)
    return report


def _check_job(report: Report, grid: Grid, events: Sequence[Event], upto: datetime) -> None:
    due = grid.slots(upto)
    started = Counter(
        instant(event.data["scheduled_for"])
        for event in events
        if event.topic == "job.run_started" and event.data["trigger"] in ("schedule", "catch_up")
    )
    skipped = Counter(slot for event in events for slot in _missed(event, grid))
    report.slots += len(due)
    report.served += len(due & started.keys())
    report.skipped += len(due & skipped.keys())
    for slot in sorted(due):
        name = f"{grid.job_id} {slot.isoformat()}"
        if started[slot] > 1:
            report.wrong["slots started twice"].append(name)
        if started[slot] + skipped[slot] == 0:
            report.wrong["slots of which nothing is known"].append(name)
        if started[slot] and skipped[slot]:
            report.wrong["slots both run and skipped"].append(name)
    for slot in started.keys() - grid.slots(upto + 100 * grid.step):
        report.wrong["runs of no slot"].append(f"{grid.job_id} {slot.isoformat()}")
    _check_outcomes(report, events)


def _missed(event: Event, grid: Grid) -> list[datetime]:
    """The slots that an event records as missed."""
    missed = event.data.get("missed")
    if not missed:
        return []
    first, last = instant(missed["first"]), instant(missed["last"])
    return [slot for slot in grid.slots(last) if slot >= first]


def _check_outcomes(report: Report, events: Sequence[Event]) -> None:
    """Each run ends once, and at most one is open at a time."""
    open_run: str | None = None
    for event in events:
        run_id = event.data.get("run_id")
        if event.topic == "job.run_started":
            report.runs += 1
            if open_run is not None:
                report.wrong["runs begun while another was open"].append(str(run_id))
            open_run = str(run_id)
        elif event.topic in ENDS:
            report.lost += event.topic == "job.run_lost"
            report.failed += event.topic == "job.run_failed"
            if run_id != open_run:
                report.wrong["outcomes of no open run"].append(str(run_id))
            open_run = None
    if open_run is not None:
        report.wrong["runs without an end"].append(open_run)


def _check_target(report: Report, events: Sequence[Event], log: Sequence[Entry]) -> None:
    started_at = {
        str(event.data["run_id"]): event.recorded_at
        for event in events
        if event.topic == "job.run_started"
    }
    begun = Counter(entry.run_id for entry in log if entry.what == "start")
    report.executed = len(begun)
    for entry in log:
        if entry.run_id not in started_at:
            report.wrong["executions that the ledger never started"].append(entry.run_id)
        elif entry.what == "start" and entry.at < started_at[entry.run_id]:
            report.wrong["executions before their start was durable"].append(entry.run_id)
    for run_id, count in begun.items():
        if count > 1:
            report.wrong["runs executed twice"].append(run_id)
    for event in events:
        if event.topic == "job.run_succeeded" and event.data["run_id"] not in begun:
            report.wrong["successes that were never executed"].append(str(event.data["run_id"]))


def instant(text: str) -> datetime:
    """An instant as the ledger writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)
