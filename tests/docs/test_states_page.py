"""The tables and the diagram of docs/states.md are what the aggregate decides in every state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from ledger.domain.job import outcomes, runs
from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.job.lifecycle import end_pause
from ledger.errors import LedgerError
from tests.support.builders import (
    HOUR,
    NOON,
    ONCE,
    SUCCESS,
    a_context,
    a_job,
    clone,
    deleted,
    events_of,
    paused,
    requested,
    running,
    succeeded,
    tripped,
)

PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text()
LATER = NOON + HOUR
FAILURE = outcomes.Failure("429", "rate_limited", None, None, 7)
NOTHING = "no change"
NO_SUCH_CASE = "–"
STATES = ("active", "paused", "failed", "completed", "deleted")

Change = Callable[[Job], object]


def amend(job: Job) -> object:
    return job.amend({"description": "new"}, a_context(LATER))


def pause(job: Job, until: datetime | None = None) -> object:
    return job.pause(until, a_context(LATER))


def resume(job: Job, **how: object) -> object:
    return job.resume(ResumeOptions(**how), a_context(LATER))  # type: ignore[arg-type]  # its own fields


COMMANDS: dict[str, Change] = {
    "amend": amend,
    "pause": pause,
    "pause with a new `until`": lambda job: pause(job, LATER + HOUR),
    "resume": resume,
    "resume with force": lambda job: resume(job, force=True),
    "run": lambda job: job.request_run(a_context(LATER)),
    "due": lambda job: runs.start_due(job, runs.Claim("node"), a_context(LATER)) is not None,
    "`until` has come": lambda job: end_pause(job, a_context(LATER)),
    "delete": lambda job: job.delete(a_context(LATER)),
}


def run_of(job: Job) -> str:
    return job.open_run.run_id if job.open_run else "none"


REPORTS: dict[str, Change] = {
    "it succeeded": lambda job: outcomes.succeed(job, run_of(job), SUCCESS, a_context(LATER)),
    "it failed": lambda job: outcomes.fail(job, run_of(job), FAILURE, a_context(LATER)),
    "it was lost": lambda job: outcomes.lose(job, run_of(job), "lease_expired", a_context(LATER)),
    "nothing was executed": lambda job: outcomes.block(job, run_of(job), "no", a_context(LATER)),
}
"""Over a job that trips at its second error or loss and has none."""


def in_state(state: str) -> Job:
    """A recurring job in that state, due again where it can be."""
    match state:
        case "active":
            return a_job()
        case "paused":
            return a_job(paused(LATER))
        case "failed":
            return a_job(tripped(2), policy={"trip_after": 2})
        case "completed":
            return a_job(running(), succeeded(), schedule=ONCE)
        case _:
            return a_job(deleted())


POLICY = {"trip_after": 2, "max_losses": 2}


def with_open_run(state: str) -> Job | None:
    """A job in that state with an open run, or None where that cannot be."""
    job = a_job(running(), policy=POLICY)
    match state:
        case "paused":
            job.pause(None, a_context(LATER))
        case "failed" | "completed":
            return None
        case "deleted":
            job.delete(a_context(LATER))
    return job


def a_probe() -> Job:
    """A tripped job whose probe is open."""
    probing = {"trip_after": 1, "probe_after_seconds": 60}
    return a_job(tripped(1), running(at=LATER), policy=probing)


@dataclass(frozen=True)
class Special:
    """A case outside of the tables: a job, and what is done to it."""

    job: Job
    change: Change


def disabled() -> Job:
    return a_job(paused(), enabled=False)


SPECIAL: dict[str, Special] = {
    "resume of a disabled job": Special(disabled(), resume),
    "run of a disabled job": Special(a_job(enabled=False), COMMANDS["run"]),
    "resume of a one-shot whose instant has passed": Special(
        a_job(paused(), schedule=ONCE), resume
    ),
    "the same with `run_at`": Special(
        a_job(paused(), schedule=ONCE), lambda job: resume(job, run_at=LATER + HOUR)
    ),
    "the same with `run_now`": Special(
        a_job(paused(), schedule=ONCE), lambda job: resume(job, run_now=True)
    ),
    "run while a run is asked for": Special(a_job(requested()), COMMANDS["run"]),
    "run while a run is under way": Special(a_job(running()), COMMANDS["run"]),
    "due while a run is under way": Special(a_job(running()), COMMANDS["due"]),
    "a one-shot succeeds": Special(a_job(running(), schedule=ONCE), REPORTS["it succeeded"]),
    "the same with `delete_after_run`": Special(
        a_job(running(), schedule=ONCE, delete_after_run=True), REPORTS["it succeeded"]
    ),
    "the last error that the policy allows": Special(
        a_job(running(), policy={"trip_after": 1}), REPORTS["it failed"]
    ),
    "the last loss that the policy allows": Special(
        a_job(running(), policy={"max_losses": 1}), REPORTS["it was lost"]
    ),
    "a failed job whose policy probes is due": Special(
        a_job(tripped(1), policy={"trip_after": 1, "probe_after_seconds": 60}), COMMANDS["due"]
    ),
    "its probe succeeds": Special(a_probe(), REPORTS["it succeeded"]),
    "its probe fails": Special(a_probe(), REPORTS["it failed"]),
    "late slots that are not caught up": Special(
        a_job(policy={"catch_up": "none"}, schedule={"kind": "cron", "expr": "* * * * *"}),
        lambda job: runs.start_due(job, runs.Claim("n", is_late=True), a_context(LATER)),
    ),
    "a report of a run that is not the open one": Special(a_job(), REPORTS["it succeeded"]),
}


@dataclass(frozen=True)
class Outcome:
    """The status after a change, and its description."""

    status: str
    words: str


def outcome_of(job: Job, change: Change) -> Outcome:
    """Make a change on a copy."""
    twin = clone(job)
    try:
        change(twin)
    except LedgerError as refusal:
        assert not twin.pending_events
        return Outcome(twin.status, f"`{refusal.code}`")
    topics = [topic.removeprefix("job.") for topic in events_of(twin)]
    return Outcome(twin.status, ", ".join(topics) or NOTHING)


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the page."""
    part = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert part, f"{heading} is not on the page"
    lines = [line for line in part[1].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


def reports() -> Iterator[tuple[str, str, Outcome | None]]:
    for words, change in REPORTS.items():
        for state in STATES:
            job = with_open_run(state)
            yield words, state, outcome_of(job, change) if job is not None else None


def test_the_table_of_commands_is_what_the_job_decides() -> None:
    decided = [
        [command, *(outcome_of(in_state(state), change).words for state in STATES)]
        for command, change in COMMANDS.items()
    ]

    assert table("Commands") == decided


def test_the_table_of_reports_is_what_the_job_decides() -> None:
    decided: dict[str, list[str]] = {}
    for words, _, found in reports():
        decided.setdefault(words, [words]).append(found.words if found else NO_SUCH_CASE)

    assert table("Reports of runs under way") == list(decided.values())


@pytest.mark.parametrize("words", SPECIAL)
def test_each_special_case_is_what_the_job_decides(words: str) -> None:
    documented = {row[0]: row[1] for row in table("Special cases")}

    assert documented.keys() == SPECIAL.keys()
    assert documented[words] == outcome_of(SPECIAL[words].job, SPECIAL[words].change).words


def test_the_diagram_has_exactly_the_transitions_of_the_job() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (.+)$", PAGE, re.M))

    assert drawn == set(transitions())
    print(f"transitions: {len(drawn)}")


def transitions() -> Iterator[tuple[str, str, str]]:
    """Every transition of the cases above: from, to, event."""
    found = [(state, outcome_of(in_state(state), c)) for state in STATES for c in COMMANDS.values()]
    found += [(state, one) for _, state, one in reports() if one is not None]
    found += [(s.job.status, outcome_of(s.job, s.change)) for s in SPECIAL.values()]
    for before, after in found:
        if after.status != before:
            yield before, after.status, _deciding_event(after)


def _deciding_event(outcome: Outcome) -> str:
    """The event that moved the state: the last one that is not about a run."""
    movers = [word for word in outcome.words.split(", ") if not word.startswith("run_")]
    return movers[-1]
