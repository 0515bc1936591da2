"""The whole state table, exhaustively: every sequence of six commands, against a model that shares
no code with it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from ledger.domain.job import outcomes, runs
from ledger.domain.job.job import Job, ResumeOptions
from ledger.errors import LedgerError
from tests.simulation.model import CHANGED, COMMANDS, UNCHANGED, Model
from tests.support.builders import NOON, SUCCESS, a_context, a_job, clone

LENGTH = 6
STEP = timedelta(hours=2)
FAILURE = outcomes.Failure("429", "rate_limited", None, None, 1)
STRANGER = str(UUID(int=7))


@pytest.mark.parametrize("first", COMMANDS)
@pytest.mark.parametrize("kind", ["every", "at"])
def test_every_sequence_of_six_commands_follows_the_state_table(kind: str, first: str) -> None:
    schedule = (
        {"kind": "every", "interval_seconds": 60}
        if kind == "every"
        else {"kind": "at", "at": "2026-03-02T12:00:10Z"}
    )
    job = a_job(schedule=schedule, policy={"trip_after": 1})

    checked = walk(job, Model(is_one_shot=kind == "at"), [first])

    assert checked == 9 ** (LENGTH - 1)


def walk(job: Job, model: Model, path: list[str]) -> int:
    """Do the path's last command on a copy, compare, and continue with each next one; counts whole
    sequences.
    """
    twin = clone(job)
    answer = give(twin, path[-1], depth=len(path))
    expected, state = model.after(path[-1])

    assert answer == expected, path
    assert seen(twin) == state, path
    if answer not in (CHANGED,):
        assert not twin.pending_events, path
    if len(path) == LENGTH:
        return 1
    return sum(walk(twin, state, [*path, command]) for command in COMMANDS)


def give(job: Job, command: str, *, depth: int) -> str:
    """Execute one command; the answer as the model words it."""
    now = NOON + STEP * depth
    try:
        changed = DO[command](job, now, depth)
    except LedgerError as refusal:
        return refusal.code
    return UNCHANGED if changed is False else CHANGED


def seen(job: Job) -> Model:
    """The model's flags, read from the job."""
    return Model(
        is_one_shot=job.is_one_shot,
        status=job.status,
        is_due=job.next_run_at is not None,
        is_running=job.open_run is not None,
        is_requested=job.is_run_requested,
    )


def run_id(job: Job) -> str:
    return job.open_run.run_id if job.open_run else STRANGER


DO: dict[str, Callable[[Job, datetime, int], object]] = {
    "amend": lambda job, now, depth: job.amend({"description": f"{depth}"}, a_context(now)),
    "pause": lambda job, now, _: job.pause(None, a_context(now)),
    "resume": lambda job, now, _: job.resume(ResumeOptions(), a_context(now)),
    "force": lambda job, now, _: job.resume(ResumeOptions(force=True), a_context(now)),
    "run": lambda job, now, _: job.request_run(a_context(now)),
    "fire": lambda job, now, _: runs.start_due(job, runs.Claim("n"), a_context(now)) is not None,
    "succeed": lambda job, now, _: outcomes.succeed(job, run_id(job), SUCCESS, a_context(now)),
    "fail": lambda job, now, _: outcomes.fail(job, run_id(job), FAILURE, a_context(now)),
    "delete": lambda job, now, _: job.delete(a_context(now)),
}
