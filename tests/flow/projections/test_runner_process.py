"""Read models updated by a child process: the same rows, and a new child when one dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest import raises

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.errors import Behind
from projections.engine.threads import RunnerProcess
from projections.models.jobs.queries import JobFilter
from projections.read_models import ReadModels
from tests.flow.projections.test_read_models import break_event
from tests.support.builders import a_spec, open_ledger
from tests.support.read_models import job_in, jobs_in

WAIT_SECONDS = 60.0


@contextmanager
def in_process(folder: Path) -> Iterator[tuple[Ledger, ReadModels]]:
    """A ledger whose read models a child process updates."""
    with open_ledger(folder) as ledger:
        read_models = ReadModels.open(ledger, mode="process")
        read_models.wait_seconds = WAIT_SECONDS
        read_models.start()
        try:
            yield ledger, read_models
        finally:
            read_models.close()


def test_a_child_reaches_the_position_of_an_answer(tmp_path: Path) -> None:
    with in_process(tmp_path) as (ledger, read_models):
        answer = ledger.schedule(a_spec())

        read_models.wait_for(answer.position)

        assert job_in(read_models, answer.job_id) == answer.job
        assert {item["state"] for item in read_models.health()} == {"live"}


@pytest.mark.slow
def test_a_killed_child_is_restarted_and_continues(tmp_path: Path) -> None:
    with in_process(tmp_path) as (ledger, read_models):
        first = ledger.schedule(a_spec())
        read_models.wait_for(first.position)
        os.kill(pid_of_child(read_models), signal.SIGKILL)

        second = ledger.schedule(a_spec(name="another"))

        read_models.wait_for(second.position)
        assert len(jobs_in(read_models, JobFilter())[0]) == 2


def test_a_child_that_cannot_be_started_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.engine.threads.RETRY_SECONDS", 0.01)
    updater = RunnerProcess({"data": str(tmp_path)})
    updater._command = [str(tmp_path / "nothing")]
    updater._thread.start()
    wait_for("The problem", lambda: updater.problem is not None, seconds=60)
    problem = updater.problem

    updater._command = [sys.executable, "-c", "print('[]', flush=True); input(); input()"]

    assert problem is not None
    assert "FileNotFoundError" in problem
    wait_for("A child", lambda: updater.problem is None, seconds=WAIT_SECONDS)
    updater.close()


def test_a_child_reports_where_a_model_stopped(tmp_path: Path) -> None:
    with in_process(tmp_path) as (ledger, read_models):
        read_models.wait_for(ledger.schedule(a_spec()).position)
        break_event(tmp_path / "data" / "ledger.db", 3, is_early=True)

        position = ledger.schedule(a_spec(name="another")).position

        with raises(Behind, match="stopped at position 3"):
            read_models.wait_for(position)


def test_without_a_child_the_read_models_count_as_stopped(tmp_path: Path) -> None:
    with in_process(tmp_path) as (_, read_models):
        os.kill(pid_of_child(read_models), signal.SIGKILL)

        wait_for("The end", lambda: read_models.health()[0]["state"] == "stopped", seconds=60)

        assert "ended with code -9" in read_models.health()[0]["problem"]


def pid_of_child(read_models: ReadModels) -> int:
    """The child's process id."""
    updater = read_models._updater
    assert isinstance(updater, RunnerProcess)
    assert updater._child is not None
    return updater._child.pid
