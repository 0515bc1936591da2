"""Commands while read models are wrong, broken or late: reported, and no obstacle to commands."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.cli.output.render import next_text
from api.cli.output.times import until
from ledger.store.sqlite.folder import READ_MODELS_FILE
from tests.support.builders import NOON, a_spec
from tests.support.typed_commands import Shell, library

STOP = "CREATE TRIGGER stop BEFORE UPDATE ON jobs_1 BEGIN SELECT RAISE(ABORT, 'no'); END"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def alter_read_models(shell: Shell, sql: str) -> None:
    with closing(sqlite3.connect(shell.data / READ_MODELS_FILE)) as connection:
        connection.execute(sql)
        connection.commit()


def test_a_job_is_resumed_by_name_while_the_list_of_jobs_is_broken(shell: Shell) -> None:
    job = shell.schedule("Größe")
    shell.schedule("other")
    alter_read_models(shell, STOP)
    shell.ok("pause", "größe")

    assert "behind" in shell.type("list").err
    assert shell.ok("resume", "GRÖSSE", "--json").document["job"]["id"] == job["id"]
    assert shell.ok("pause", job["id"][:13], "--json").document["job"]["id"] == job["id"]


def test_a_name_found_in_the_events_is_of_the_job_that_has_it_now(shell: Shell) -> None:
    first = shell.schedule("report")
    shell.ok("amend", "report", "--name", "old report")
    second = shell.schedule("report")
    shell.schedule("gone")
    shell.ok("delete", "gone")
    alter_read_models(shell, STOP)
    shell.ok("pause", first["id"])

    assert shell.ok("pause", "report", "--json").document["job"]["id"] == second["id"]
    assert shell.ok("resume", "old report", "--json").document["job"]["id"] == first["id"]
    assert shell.type("resume", "gone").code == 3


def test_doctor_reports_read_models_that_their_owner_does_not_update(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.admin.maintenance.LATE_SECONDS", 0.0)
    shell.schedule("report")
    shell.ok("list")
    position = shell.ok("list", "--json").document["position"]
    with library(shell.data) as ledger:
        alter_read_models(shell, f"UPDATE models SET position = {position}")
        sound = shell.type("doctor")
        alter_read_models(shell, "UPDATE models SET position = 1 WHERE name = 'jobs'")
        one = shell.type("doctor")
        ledger.schedule(a_spec(name="never seen", enabled=False))
        two = shell.type("doctor", "--json")

    assert (sound.code, one.code, two.code) == (0, 1, 1)
    assert f"position 1 of {position}" in " ".join(one.out.split())
    assert "1 problem found." in one.err
    assert [model["name"] for model in two.document["read_models"]] == [
        "jobs",
        "runs",
        "storms",
        "resumes",
        "gaps",
    ]
    assert "5 problems found." in two.err


@pytest.mark.parametrize(
    ("seconds", "long", "brief"),
    [
        (-2, "2026-03-02T11:59:58Z (due)", "due"),
        (180, "2026-03-02T12:03:00Z (in 3 min)", "12:03:00Z in 3 min"),
    ],
)
def test_a_next_run_that_is_due_is_not_shown_as_past(seconds: int, long: str, brief: str) -> None:
    at = (NOON + timedelta(seconds=seconds)).isoformat()
    job: dict[str, Any] = {"open_run": None, "paused_until": None, "next_run_at": at}

    assert until(at, NOON) == long
    assert next_text(job, NOON, is_narrow=False) == brief
