"""Recoveries on the command line: the plan, the start, the views, the abort."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.clock import SystemClock
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.domain.recovery.plan import DEFAULT_ABORT_ON, DEFAULT_RATE
from tests.flow.cli.test_cli_terminal import on_terminal
from tests.support.builders import ManualClock
from tests.support.typed_commands import Shell, tripped_job

HOURLY = {"kind": "cron", "expr": "0 * * * *"}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Three jobs that a storm tripped, and one that was disabled since."""
    shell = Shell(tmp_path)
    for number in range(4):
        tripped_job(shell.data, f"digest {number}", schedule=HOURLY)
    shell.ok("amend", "digest 3", "--disable")
    return shell


def storm_of(shell: Shell) -> str:
    [storm] = shell.ok("storm", "list", "--json").document["storms"]
    return str(storm["id"])


def count(shell: Shell) -> int:
    events = shell.ok("audit", "--topic", "recovery.planned", "--json").document["events"]
    return len(events)


def test_a_dry_run_shows_the_plan_the_refused_jobs_and_the_command_to_start_it(
    shell: Shell,
) -> None:
    storm = storm_of(shell)
    words = ("storm", "resume", storm, "--probe", "digest 2", "--rate", "0.5", "--dry-run")

    shown = shell.ok(*words).out

    for said in (
        "3 jobs, one every 2 min (0.5/min)", "digest 2: the others follow if it succeeds",
        "after 3 re-trips", "Once the probe has succeeded, all jobs are resumed before 3 can",
        "All at once", "This plan", "peak 1/min by this plan, 3/min all at once",
    ):  # fmt: skip
        assert said in shown
    first, second, third = (shown.index(f"  digest {number}") for number in (2, 0, 1))
    assert first < second < third < shown.index("Refused (1):") < shown.index("digest 3")
    assert "is disabled and would never fire" in shown
    again = f"  jobledger storm resume {storm} --probe 'digest 2' --rate 0.5 --reason"
    assert again in shown
    assert count(shell) == 0


def test_a_plan_as_json_is_the_answer_of_the_api(shell: Shell) -> None:
    plan = shell.ok("recovery", "start", "digest 1", "digest 0", "--dry-run", "--json").document[
        "plan"
    ]

    assert [job["name"] for job in plan["jobs"]] == ["digest 1", "digest 0"]
    assert plan["selector"]["job_ids"] == [job["job_id"] for job in plan["jobs"]]


def one_step(shell: Shell) -> None:
    """The driver resumes one job."""
    opened = Ledger.open(shell.data, clock=ManualClock(SystemClock().now()))
    with opened as ledger, closing(RecoveryDriver(ledger)) as driver:
        assert driver.run_once() == 1


def test_a_started_recovery_is_listed_and_shown(shell: Shell) -> None:
    words = ("recovery", "start", "--failure-class", "rate_limited", "--reason", "lifted")
    started = shell.ok(*words, "--rate", "600", "--abort-on", "never").out
    one_step(shell)

    listed, shown = shell.ok("recovery", "list").out, shell.ok("recovery", "show", "R-1").out

    for said in (
        "R-1: 3 jobs to resume (1 refused).", "jobledger recovery abort R-1",
        "No dispatcher is running", "jobledger serve",
    ):  # fmt: skip
        assert said in started
    columns, row = (re.split(r"\s{2,}", line.strip()) for line in listed.splitlines()[:2])
    cells = dict(zip(columns, row, strict=True))
    assert [cells[name] for name in ("JOBS", "RESUMED", "LEFT", "RE-TRIPS")] == ["3", "1", "2", "0"]
    assert {"running", "lifted", "rate_limited"} <= set(row)
    assert "3: 1 resumed, 2 waiting, 1 refused by the plan" in shown
    assert "Re-trips   0; aborts never" in shown
    assert all(f"digest {number}" in shown for number in range(3))
    [planned] = shell.ok("audit", "--topic", "recovery.planned", "--json").document["events"]
    past = ("recovery", "show", "R-1", "--as-of", str(planned["position"]))
    assert "3 waiting" in shell.ok(*past).out
    assert "by recovery R-1" in shell.ok("history", "digest 0").out
    assert "R-1: 3 jobs, 1 refused, 600/min" in shell.ok("audit").out


def test_an_aborted_recovery_shows_actor_reason_and_next_command(shell: Shell) -> None:
    shell.ok("recovery", "start", "--failure-class", "rate_limited")

    stopped = shell.ok("recovery", "abort", "R-1", "--reason", "enough").out
    again = shell.ok("recovery", "abort", "R-1").out
    ended = shell.ok("recovery", "show", "R-1").out

    assert "R-1: aborted; 3 jobs not resumed." in stopped
    assert "R-1 has already ended: aborted. Nothing was changed." in again
    for said in (
        "aborted: by admin", "by admin, reason: enough", "Refused (1):", "is disabled",
        "jobledger recovery start --failure-class rate_limited --dry-run",
    ):  # fmt: skip
        assert said in ended


def test_the_audit_counts_one_job_in_the_singular(shell: Shell) -> None:
    shell.ok("recovery", "start", "digest 0")
    shell.ok("recovery", "abort", "R-1")

    out = shell.ok("audit").out

    assert "R-1: 1 job, 10/min" in out
    assert "R-1: aborted (on request), 1 job not resumed" in out


def test_a_recovery_without_matching_jobs_is_refused(shell: Shell) -> None:
    dry = shell.ok("recovery", "start", "digest 3", "--dry-run")
    live = shell.type("recovery", "start", "digest 3")
    unmatched = shell.type("recovery", "start", "--tag", "nope")

    assert "Nothing to resume: every selected job is refused." in dry.out
    none = shell.ok("recovery", "start", "--tag", "nope", "--dry-run").out
    assert none.strip() == "Nothing to resume: no failed job matches."
    assert "is disabled" in dry.out
    assert "type" not in dry.out
    assert (live.code, "nothing_to_resume" in live.err) == (1, True)
    assert "is disabled and would never fire" in live.err
    assert unmatched.err.strip().endswith("no failed job matches.")
    assert "No recoveries." in shell.ok("recovery", "list").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("recovery", "start"), 2, "Select jobs"),
        (("recovery", "start", "unknown job"), 3, "no job"),
        (("recovery", "start", "--tag", ""), 1, "selector.tag"),
        (("recovery", "start", "--failure-class", "foo"), 1, "selector.failure_class"),
        (("recovery", "start", "digest 0", "--rate", "0"), 1, "rate_per_minute"),
        (("recovery", "start", "digest 0", "--rate", "nan"), 2, "--rate"),
        (("recovery", "start", "digest 0", "--abort-on", "many"), 2, "--abort-on"),
        (("recovery", "start", "digest 0", "--abort-on", "0"), 1, "abort_on"),
        (("recovery", "start", "digest 0", "--probe", "digest 1"), 1, "probe"),
        (("storm", "resume", "S-1"), 3, "'S-1'; list them with jobledger storm list"),
        (("recovery", "show", "R-9"), 3, "'R-9'; list them with jobledger recovery list"),
        (("recovery", "abort", "7"), 3, "7"),
    ],
)
def test_an_invalid_recovery_is_refused_and_changes_nothing(
    shell: Shell, words: tuple[str, ...], code: int, said: str
) -> None:
    typed = shell.type(*words)

    assert (typed.code, said in typed.err) == (code, True), typed
    assert count(shell) == 0


@pytest.mark.parametrize(
    ("flags", "answer", "code", "started"),
    [((), "n", 1, 0), ((), "y", 0, 1), (("--yes",), "", 0, 1)],
)
def test_on_a_terminal_the_plan_is_shown_before_the_question_unless_yes_is_given(
    shell: Shell, flags: tuple[str, ...], answer: str, code: int, started: int
) -> None:
    words = ("recovery", "start", "digest 0", "digest 1", *flags)

    ended, shown = on_terminal(shell.data, *words, answer=answer)

    assert (ended, count(shell)) == (code, started)
    question = shown.find("Resume 2 jobs by this plan? [y/N]")
    assert (question > shown.find("This plan") > 0) is (not flags)
    assert ("[y/N]" in shown) is (not flags)


@pytest.mark.parametrize("words", [("recovery", "start"), ("storm", "resume")])
def test_the_help_has_the_defaults_of_the_ledger(shell: Shell, words: tuple[str, ...]) -> None:
    shown = " ".join(shell.ok(*words, "--help").out.replace("│", " ").split())

    assert f"Jobs to resume per minute. [default: ({DEFAULT_RATE})]" in shown
    assert f"Abort after N re-trips, or never. [default: ({DEFAULT_ABORT_ON})]" in shown
