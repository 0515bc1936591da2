"""history, blame, why, resumes and gaps as they are printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builders import MINUTE, NOON
from tests.support.scenario import Scenario
from tests.support.typed_commands import Shell, tripped_job


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_series_of_successes_is_one_line_unless_all_is_given(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    scenario.schedule("report")
    scenario.until(NOON + 6 * MINUTE)
    scenario.close()
    shell = Shell(tmp_path)

    folded, whole = shell.ok("history", "report").out, shell.ok("history", "report", "--all").out

    assert "runs succeeded" in folded
    assert folded.count("run_succeeded") == 0
    assert whole.count("run_succeeded") >= 4
    assert shell.ok("history", "report", "--newest").out.splitlines()[1].count("runs succeeded")


def test_a_page_of_history_has_the_requested_number_of_lines(tmp_path: Path) -> None:
    scenario = Scenario(tmp_path)
    job_id = scenario.schedule("report")
    for number in range(4):
        scenario.until(scenario.clock.now() + 5 * MINUTE)
        scenario.ledger.amend(job_id, {"description": f"change {number}"})
    scenario.close()
    shell = Shell(tmp_path)

    whole = printed_lines(shell, "--limit", "100")
    assert len(whole) == 9
    for flags in ((), ("--newest",), ("--all",)):
        expected = printed_lines(shell, *flags, "--limit", "100")
        assert printed_lines(shell, *flags, "--limit", "2") == expected[:2]
        assert paged(shell, *flags) == expected


def printed_lines(shell: Shell, *flags: str) -> list[str]:
    out = shell.ok("history", "report", *flags).out.splitlines()[1:]
    return [" ".join(line.split()) for line in out if not line.startswith("Next page")]


def paged(shell: Shell, *flags: str) -> list[str]:
    """Every line, two at a time, with the cursor that each page prints."""
    found: list[str] = []
    cursor: tuple[str, ...] = ()
    while True:
        out = shell.ok("history", "report", *flags, "--limit", "2", *cursor).out
        found += printed_lines(shell, *flags, "--limit", "2", *cursor)
        if "Next page" not in out:
            return found
        cursor = ("--cursor", out.split()[-1])


def test_a_failed_run_is_one_line_with_its_error(shell: Shell) -> None:
    job_id = tripped_job(shell.data)

    [line] = [line for line in shell.ok("history", job_id).out.splitlines() if "run_failed" in line]

    assert "schedule, attempt 1" in line
    assert "consecutive error 1, rate_limited" in line


def test_blame_shows_the_event_that_set_each_field(shell: Shell) -> None:
    shell.schedule("report")
    shell.ok("amend", "report", "--trip-after", "4")
    shell.ok("pause", "report", "--reason", "too noisy")

    lines = shell.ok("blame", "report").out.splitlines()

    assert any(line.split()[:2] == ["policy.trip_after", "4"] for line in lines)
    assert any(line.startswith("status") and "too noisy" in line for line in lines)


def test_why_prints_the_command_that_would_resume_the_job(shell: Shell) -> None:
    job_id = tripped_job(shell.data)

    out = shell.ok("why", job_id).out

    assert ": tripped" in out.splitlines()[0]
    assert f"jobledger resume {job_id[:8]} --force" in out


@pytest.mark.parametrize(
    ("at", "code"),
    [("yesterday", 2), ("2026-03-02T09:00:00", 2), ("99999999", 1), ("2999-01-01T00:00:00Z", 1)],
)
def test_an_invalid_or_future_time_is_refused(shell: Shell, at: str, code: int) -> None:
    shell.schedule("report")

    assert shell.type("why", "report", "--at", at).code == code


def test_resumes_and_gaps_are_shown_as_of_a_position(shell: Shell) -> None:
    job_id = tripped_job(shell.data)
    tripped_at = shell.ok("audit", "--json").document["events"][-1]["position"]
    shell.ok("resume", job_id, "--force", "--reason", "the provider is back")

    now = shell.ok("resumes").out
    then = shell.ok("resumes", "--as-of", str(tripped_at)).out

    assert "the provider is back" in now
    assert then.startswith(f"As of position {tripped_at}, ")
    assert "No forced resumes." in then
    assert shell.ok("gaps", "--as-of", str(tripped_at)).out.startswith("As of position")
