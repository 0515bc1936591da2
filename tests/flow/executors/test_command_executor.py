"""The command executor against real processes: what reaches them and what their end means."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ledger.dispatch.executors.command import DEFAULT_ENVIRONMENT
from ledger.dispatch.executors.outcomes import Blocked, RunTicket
from ledger.dispatch.executors.output import HEAD_BYTES
from tests.support.command_runs import (
    TINY_SECONDS,
    a_ticket,
    execute,
    failure_of,
    python,
    shell,
    success_of,
)
from tests.support.run_tickets import a_run_ticket

# -- what reaches the command -------------------------------------------------------------------

METACHARACTERS = [
    "$(id)", "`id`", ";id", "|id", "&id", "&&id", "||id", ">x", "<x", ">>x", "2>&1", "$HOME",
    "${IFS}", "~", "*", "?", "[a-z]", "{a,b}", "'", '"', "\\", "\n", "\t", " ", "#", "!", "!!",
    "%s", "%n", "^", "=", "-", "--", "-c", "--help", "", ".", "/", "\r", "\x1b[31m", "\x07", "\x7f",
    "é", "\u202e", "\U0001f600", "\ufeff", "\u2028", "\x01",
]  # fmt: skip


def test_two_hundred_metacharacter_arguments_arrive_byte_equal() -> None:
    pairs = (one + other for one, other in itertools.product(METACHARACTERS, repeat=2))
    arguments = list(dict.fromkeys([*METACHARACTERS, *pairs]))[:200]
    code = "import os,sys; sys.stdout.buffer.write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))"

    outcome = success_of(python(code, *arguments))

    assert len(arguments) == 200
    sent = b"\0".join(argument.encode() for argument in arguments)
    assert outcome.output_bytes == len(sent)
    assert outcome.output_sha256 == hashlib.sha256(sent).hexdigest()


def test_the_task_is_standard_input() -> None:
    assert success_of(a_ticket(["cat", "/dev/stdin"], task="tell\nme ü")).output == "tell\nme ü"


def test_a_command_that_never_reads_its_task_is_not_blocked() -> None:
    assert success_of(a_ticket(["true"], task="x" * 1_000_000)).output == ""


def test_the_environment_is_minimal_and_identifies_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "x")
    ticket = a_ticket(["env", "-0"], env={"MINE": "a b\nc", "LANG": "C"})

    outcome = success_of(ticket)

    expected = dict(DEFAULT_ENVIRONMENT) | {
        "MINE": "a b\nc",
        "LANG": "C",
        "JOBLEDGER_RUN_ID": ticket.run_id,
        "JOBLEDGER_JOB_ID": ticket.job_id,
        "JOBLEDGER_ATTEMPT": "2",
        "JOBLEDGER_FENCE": "17",
        "JOBLEDGER_SCHEDULED_FOR": "2026-03-01T12:00:00Z",
    }
    lines = (f"{name}={value}\0" for name, value in expected.items())
    assert outcome.output_bytes == len("".join(lines))
    for name, value in expected.items():
        assert f"{name}={value}" in outcome.output


def test_a_command_runs_in_the_given_folder(tmp_path: Path) -> None:
    assert success_of(a_ticket(["pwd"], cwd=str(tmp_path))).output == f"{tmp_path}\n"


# -- what its end means -------------------------------------------------------------------------


def test_exit_code_zero_is_a_success_and_standard_output_is_the_output() -> None:
    outcome = success_of(shell("echo out; echo err >&2"))

    assert outcome.output == "out\n"
    assert outcome.output_sha256 == hashlib.sha256(b"out\n").hexdigest()


def test_another_exit_code_is_a_crash_that_quotes_the_end_of_standard_error() -> None:
    outcome = failure_of(
        shell("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done >&2; exit 3")
    )

    assert outcome.failure_class == "crashed"
    assert outcome.error.startswith("exit code 3: ")
    assert outcome.error.endswith("line 4999")
    assert len(outcome.error) < HEAD_BYTES
    assert outcome.target == "sh"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_a_death_by_signal_is_named(name: str) -> None:
    outcome = failure_of(shell(f"kill -{signal.Signals[name].value} $$"))

    assert outcome.failure_class == "crashed"
    assert outcome.error == f"killed by {name}"


@pytest.mark.parametrize(
    ("ticket", "cause"),
    [
        (a_ticket(["no-such-program-anywhere"]), "no-such-program-anywhere"),
        (a_ticket(["true"], cwd="/nowhere"), "/nowhere"),
        (a_ticket([__file__]), __file__),
    ],
    ids=["a missing program", "a missing folder", "a file without execute permission"],
)
def test_a_command_that_cannot_be_started_blocks_the_run(ticket: RunTicket, cause: str) -> None:
    outcome = asyncio.run(execute(ticket))

    assert isinstance(outcome, Blocked)
    assert cause in outcome.cause


@pytest.mark.parametrize(
    "executor", [None, {}, {"kind": "noop"}, {"kind": "command", "argv": "id"}]
)
def test_an_invalid_command_blocks_the_run(executor: dict[str, Any] | None) -> None:
    assert isinstance(asyncio.run(execute(a_run_ticket(executor))), Blocked)


def test_the_dispatchers_loop_may_live_in_a_thread_of_its_own() -> None:
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(success_of, shell("echo hi")).result()

    assert outcome.output == "hi\n"


# -- bounded memory -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_gigabyte_of_output_takes_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    outcome = success_of(a_ticket(["head", "-c", str(2**30), "/dev/zero"]))

    grown_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert outcome.output_bytes == 2**30
    assert outcome.output == ""
    assert grown_kilobytes < 64 * 1024


def test_endless_output_ends_at_the_deadline() -> None:
    assert failure_of(a_ticket(["yes"], seconds=TINY_SECONDS)).failure_class == "timeout"
