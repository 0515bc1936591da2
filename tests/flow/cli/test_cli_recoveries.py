"""Recoveries on the command line: the plan that is shown, what begins, how it is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger import Ledger
from ledger.clock import SystemClock
from ledger.dispatch.recovery_driver import RecoveryDriver
from tests.flow.cli.test_cli_terminal import on_terminal
from tests.support.builders import ManualClock
from tests.support.typed_commands import Shell, tripped_job

HOURLY = {"kind": "cron", "expr": "0 * * * *"}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Three jobs that a storm tripped, and one that is disabled since."""
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


def test_a_dry_run_shows_who_and_who_not_the_fires_and_what_to_type(shell: Shell) -> None:
    storm = storm_of(shell)
    words = ("storm", "resume", storm, "--probe", "digest 2", "--rate", "0.5", "--dry-run")

    shown = shell.ok(*words).out

    assert "3 jobs, one every 2 min (0.5 a minute)" in shown
    assert "digest 2: the others follow if it succeeds" in shown
    assert "when 3 have tripped again" in shown
    assert "Once the probe has succeeded, all have had their turn before 3 can" in shown
    assert "All at once" in shown
    assert "This plan" in shown
    assert "at most 1 a minute by this plan, 3 if all came at once" in shown
    first, second, third = (shown.index(f"  digest {number}") for number in (2, 0, 1))
    assert first < second < third < shown.index("Stay as they are (1):") < shown.index("digest 3")
    assert "is disabled and would never fire" in shown
    again = f"  jobledger storm resume {storm} --probe 'digest 2' --rate 0.5 --reason"
    assert again in shown
    assert count(shell) == 0


def test_a_plan_for_programs_is_the_answer_of_the_api(shell: Shell) -> None:
    plan = shell.ok("recovery", "start", "digest 1", "digest 0", "--dry-run", "--json").document[
        "plan"
    ]

    assert [job["name"] for job in plan["jobs"]] == ["digest 1", "digest 0"]
    assert plan["selector"]["job_ids"] == [job["job_id"] for job in plan["jobs"]]


def test_what_begins_is_listed_shown_and_stopped(shell: Shell) -> None:
    words = ("recovery", "start", "--failure-class", "rate_limited", "--reason", "lifted")
    begun = shell.ok(*words, "--rate", "600", "--abort-on", "never")
    with Ledger.open(shell.data, clock=ManualClock(SystemClock().now())) as ledger:
        driver = RecoveryDriver(ledger)
        assert driver.run_once() == 1
        driver.close()

    listed, shown = shell.ok("recovery", "list").out, shell.ok("recovery", "show", "R-1").out
    stopped = shell.ok("recovery", "abort", "R-1", "--reason", "enough")
    again = shell.ok("recovery", "abort", "R-1")

    assert "R-1: 3 jobs to come back (1 refused)." in begun.out
    assert "jobledger recovery abort R-1" in begun.out
    assert "Nobody dispatches this folder now" in begun.out
    assert "jobledger serve" in begun.out
    assert "under way" in listed
    assert "lifted" in listed
    assert "rate_limited" in listed
    assert "3: 1 resumed, 2 left, 1 refused by the plan" in shown
    assert "Tripped again  0; gives up never" in shown
    assert all(f"digest {number}" in shown for number in range(3))
    assert "R-1: stopped; 2 jobs left as they are." in stopped.out
    assert "R-1 had ended before: aborted. Nothing was changed." in again.out
    past = shell.ok("recovery", "show", "R-1", "--as-of", begun_at(shell)).out
    assert "3 left" in past
    assert "by recovery R-1" in shell.ok("history", "digest 0").out
    assert "R-1: 3 jobs, 1 refused, 600 a minute" in shell.ok("audit").out


def test_how_it_ended_is_shown_with_who_and_why_and_the_way_on(shell: Shell) -> None:
    shell.ok("recovery", "start", "--failure-class", "rate_limited")
    shell.ok("recovery", "abort", "R-1", "--reason", "enough")

    ended = shell.ok("recovery", "show", "R-1").out

    assert "aborted: admin stopped it" in ended
    assert "by admin, because: enough" in ended
    assert "jobledger recovery start --failure-class rate_limited --dry-run" in ended
    assert "Stay as they are (1):" in ended
    assert "is disabled" in ended


def test_one_job_is_one_job_in_the_audit(shell: Shell) -> None:
    shell.ok("recovery", "start", "digest 0")
    shell.ok("recovery", "abort", "R-1")

    told = shell.ok("audit").out

    assert "R-1: 1 job, 10 a minute" in told
    assert "R-1: asked, 1 job left as they are" in told


def begun_at(shell: Shell) -> str:
    words = ("audit", "--topic", "recovery.planned", "--json")
    return str(shell.ok(*words).document["events"][0]["position"])


def test_nobody_to_bring_back_is_said(shell: Shell) -> None:
    dry = shell.ok("recovery", "start", "digest 3", "--dry-run")
    live = shell.type("recovery", "start", "digest 3")
    nobody = shell.type("recovery", "start", "--tag", "nope")

    assert "Nobody would come back." in dry.out
    none = shell.ok("recovery", "start", "--tag", "nope", "--dry-run").out
    assert none.strip() == "Nobody would come back: no failed job fits."
    assert "is disabled" in dry.out
    assert "type" not in dry.out
    assert (live.code, "nothing_to_resume" in live.err) == (1, True)
    assert "is disabled and would never fire" in live.err
    assert nobody.err.strip().endswith("no failed job fits.")
    assert "No recoveries." in shell.ok("recovery", "list").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("recovery", "start"), 2, "Say whom"),
        (("recovery", "start", "nobody at all"), 3, "no job"),
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
def test_what_cannot_be_meant_is_refused_and_nothing_happens(
    shell: Shell, words: tuple[str, ...], code: int, said: str
) -> None:
    typed = shell.type(*words)

    assert (typed.code, said in typed.err) == (code, True), typed
    assert count(shell) == 0


@pytest.mark.parametrize(("answer", "code", "begun"), [("n", 1, 0), ("y", 0, 1)])
def test_on_a_terminal_the_plan_is_shown_and_asked_about(
    shell: Shell, answer: str, code: int, begun: int
) -> None:
    ended, shown = on_terminal(
        shell.data, "recovery", "start", "digest 0", "digest 1", answer=answer
    )

    assert ended == code
    assert shown.index("This plan") < shown.index("Bring back 2 jobs like this? [y/N]")
    assert count(shell) == begun


def test_with_yes_nothing_is_asked(shell: Shell) -> None:
    code, shown = on_terminal(shell.data, "recovery", "start", "digest 0", "--yes")

    assert code == 0
    assert "[y/N]" not in shown
    assert count(shell) == 1
