"""Copies kept by a process of their own: the same rows, and it comes back when it dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger import Ledger
from projections.copies import Copies
from projections.followers import ProcessFollower
from projections.job_questions import JobFilter
from tests.builders import a_spec, open_ledger

PATIENCE_SECONDS = 60.0


@contextmanager
def kept_apart(folder: Path) -> Iterator[tuple[Ledger, Copies]]:
    """A ledger whose copies another process keeps."""
    with open_ledger(folder) as ledger:
        copies = Copies.open_kept_apart(ledger, folder / "data", folder / "data" / "copies.db")
        copies.patience_seconds = PATIENCE_SECONDS
        copies.start()
        try:
            yield ledger, copies
        finally:
            copies.close()


def test_a_keeper_shows_what_was_just_answered(tmp_path: Path) -> None:
    with kept_apart(tmp_path) as (ledger, copies):
        answer = ledger.schedule(a_spec())

        copies.wait_for(answer.position)

        assert copies.job(answer.job_id) == answer.job
        assert [item["state"] for item in copies.health()] == ["live", "live"]


@pytest.mark.slow
def test_a_keeper_that_is_killed_comes_back_and_goes_on(tmp_path: Path) -> None:
    with kept_apart(tmp_path) as (ledger, copies):
        first = ledger.schedule(a_spec())
        copies.wait_for(first.position)
        os.kill(keeper_of(copies), signal.SIGKILL)

        second = ledger.schedule(a_spec(name="another"))

        copies.wait_for(second.position)
        assert len(copies.jobs(JobFilter())[0]) == 2


def keeper_of(copies: Copies) -> int:
    """The process id of the keeper."""
    follower = copies._follower
    assert isinstance(follower, ProcessFollower)
    assert follower.keeper_pid is not None
    return follower.keeper_pid
