"""The examples of the README, run as they are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.program import build

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced examples in one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_library_example_runs_and_prints_a_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")

    exec(compile(example, "README.md", "exec"), {})

    topics = "['job.scheduled', 'job.run_requested', 'job.run_started', 'job.run_succeeded']"
    assert capsys.readouterr().out.strip() == topics


def test_every_command_of_the_first_job_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("console")
    lines = [line.removeprefix("$ ") for line in example.splitlines()]

    for line in lines:
        program, *arguments = shlex.split(line)
        result = CliRunner().invoke(build(), arguments)
        assert (program, result.exit_code) == ("jobledger", 0), f"{line}: {result.output}"
