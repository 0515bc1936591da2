"""No process outlives its run (E1): background, setsid, nohup, daemons, ones that ignore
signals.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import SystemClock
from ledger.dispatch.executors.command import CommandExecutor
from ledger.dispatch.executors.outcomes import Outcome
from ledger.domain.job.outcomes import Failure
from tests.support.command_runs import (
    SHORT_GRACE_SECONDS,
    TINY_SECONDS,
    execute,
    failure_of,
    shell,
    success_of,
)
from tests.support.run_tickets import PLENTY_SECONDS

DAEMON = """
import os, sys
if os.fork(): os.wait(); sys.exit()
os.setsid()
if os.fork(): os._exit(0)
null = os.open(os.devnull, os.O_RDWR)
for number in range(3): os.dup2(null, number)
os.closerange(3, 256)
open(sys.argv[2], 'w').write('ready')
os.execvp('sleep', ['sleep', sys.argv[1]])
"""

SHAPES = {
    "a background process": "sleep {token} & echo ready > {fifo}; wait",
    "a foreground process": "echo ready > {fifo}; sleep {token}",
    "setsid": "setsid sleep {token} & echo ready > {fifo}; wait",
    "nohup": "nohup setsid sleep {token} > /dev/null 2>&1 & echo ready > {fifo}; wait",
    "a double fork": (
        "(setsid sh -c 'sleep {token} & sleep {token}' < /dev/null > /dev/null 2>&1 &);"
        "echo ready > {fifo}; sleep {token}"
    ),
    "deaf to SIGTERM": (
        "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; sleep {token}' &"
        "echo ready > {fifo}; wait; sleep {token}"
    ),
    "an empty environment": (
        "env -i setsid sleep {token} & (env -i setsid sleep {token} &) ; echo ready > {fifo}; wait"
    ),
    "an orphan in the session": (
        "(env -i sleep {token} > /dev/null 2>&1 &); echo ready > {fifo}; sleep {token}"
    ),
    "a daemon": "{python} -c '{daemon}' {token} {fifo}; sleep {token}",
}
TOKENS = itertools.count(31_000_000_000 + os.getpid() * 10_000)


def living(token: str) -> int:
    """How many processes name the token in their arguments; zombies name nothing."""
    count = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                count += token.encode() in (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return count


def script_of(shape: str, token: str, fifo: Path) -> str:
    return SHAPES[shape].format(
        token=token, fifo=fifo, python=sys.executable, daemon=DAEMON.replace("'", '"')
    )


async def until_ready(run: asyncio.Future[Outcome], fifo: Path) -> None:
    """Wait for the script's output; a run that ends before it fails the test."""
    reading = asyncio.ensure_future(asyncio.to_thread(fifo.read_text))
    either: set[asyncio.Future[Any]] = {run, reading}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not reading.done():
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    said = await reading
    assert said.strip() == "ready", f"it ended unready: {run}"


async def a_ready_run(
    shape: str, token: str, folder: Path, executor: CommandExecutor
) -> asyncio.Future[Outcome]:
    fifo = folder / token
    os.mkfifo(fifo)
    run = asyncio.ensure_future(executor.execute(shell(script_of(shape, token, fifo))))
    await until_ready(run, fifo)
    return run


async def cancelled_when_ready(
    shape: str, folder: Path, executor: CommandExecutor
) -> tuple[int, int]:
    """How many of the run's processes lived before and after it was cancelled."""
    token = str(next(TOKENS))
    run = await a_ready_run(shape, token, folder, executor)
    before = living(token)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    return before, living(token)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_no_descendant_survives_the_end_of_a_run(shape: str, tmp_path: Path) -> None:
    async def five_times_five() -> list[tuple[int, int]]:
        executor = CommandExecutor(clock=SystemClock(), grace_seconds=SHORT_GRACE_SECONDS)
        found = []
        for _ in range(5):
            runs = (cancelled_when_ready(shape, tmp_path, executor) for _ in range(5))
            found += await asyncio.gather(*runs)
        await executor.aclose()
        return found

    found = asyncio.run(five_times_five())

    assert len(found) * len(SHAPES) >= 200
    assert all(before > 0 for before, _ in found)
    assert [after for _, after in found] == [0] * len(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_descendant_survives_a_timeout(shape: str, tmp_path: Path) -> None:
    token = str(next(TOKENS))
    script = script_of(shape, token, tmp_path / "ready")

    outcome = failure_of(shell(script, seconds=TINY_SECONDS))

    assert outcome.failure_class == "timeout"
    assert living(token) == 0


@pytest.mark.parametrize(
    "left",
    [
        "sleep {token} &",
        "(setsid sleep {token} &);",
        "(setsid sleep {token} > /dev/null 2>&1 &);",
        "(env -i sleep {token} > /dev/null 2>&1 &);",
        "(env -i setsid sleep {token} &);",
    ],
)
def test_processes_that_a_command_left_behind_end_with_it_without_a_wait(left: str) -> None:
    token = str(next(TOKENS))

    outcome = success_of(shell(f"{left.format(token=token)} echo done"))

    assert outcome.output == "done\n"
    assert living(token) == 0


def test_a_command_may_clean_up_after_sigterm() -> None:
    script = "trap 'echo goodbye >&2; exit 0' TERM; while :; do sleep 0.01; done"

    outcome = asyncio.run(
        execute(shell(script, seconds=TINY_SECONDS), grace_seconds=PLENTY_SECONDS)
    )

    assert isinstance(outcome, Failure)
    assert outcome.failure_class == "timeout"
    assert outcome.error.endswith("goodbye")


def test_a_second_cancellation_leaves_no_process_behind(tmp_path: Path) -> None:
    async def scenario(token: str) -> None:
        executor = CommandExecutor(clock=SystemClock(), grace_seconds=SHORT_GRACE_SECONDS)
        run = await a_ready_run("deaf to SIGTERM", token, tmp_path, executor)
        while not run.done():
            run.cancel()
            await asyncio.wait({run}, timeout=0.01)

    token = str(next(TOKENS))
    asyncio.run(scenario(token))

    assert living(token) == 0


def test_a_loop_that_is_shut_down_ends_its_commands_first(tmp_path: Path) -> None:
    async def scenario(token: str) -> None:
        executor = CommandExecutor(clock=SystemClock(), grace_seconds=SHORT_GRACE_SECONDS)
        await a_ready_run("setsid", token, tmp_path, executor)

    token = str(next(TOKENS))
    asyncio.run(scenario(token))

    assert living(token) == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
def test_a_loop_that_is_shut_down_while_a_command_starts_ends_it(
    turns: int, tmp_path: Path
) -> None:
    """Leaving between the start of the process and the reading of its pipes left it behind."""
    token, fifo = str(next(TOKENS)), tmp_path / "fifo"
    os.mkfifo(fifo)

    async def scenario() -> asyncio.Future[Outcome]:
        executor = CommandExecutor(clock=SystemClock(), grace_seconds=SHORT_GRACE_SECONDS)
        script = script_of("setsid", token, fifo)
        run = asyncio.ensure_future(executor.execute(shell(script)))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns > 1:  # the process is there: let it get as far as its own children
            fifo.read_text()
        return run

    asyncio.run(scenario())

    assert living(token) == 0


def test_processes_of_another_run_are_left_alone(tmp_path: Path) -> None:
    async def scenario(one: str, other: str) -> tuple[int, int]:
        executor = CommandExecutor(clock=SystemClock(), grace_seconds=SHORT_GRACE_SECONDS)
        runs = [await a_ready_run("setsid", token, tmp_path, executor) for token in (one, other)]
        runs[0].cancel()
        await asyncio.wait({runs[0]})
        counts = living(one), living(other)
        runs[1].cancel()
        await asyncio.wait({runs[1]})
        await executor.aclose()
        return counts

    gone, alive = asyncio.run(scenario(str(next(TOKENS)), str(next(TOKENS))))

    assert gone == 0
    assert alive > 0
