"""Commands that are really executed, and their outcomes."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from ledger.clock import SystemClock
from ledger.dispatch.executors.command import CommandExecutor
from ledger.dispatch.executors.outcomes import Outcome, RunTicket
from ledger.domain.job.outcomes import Failure, Success
from tests.support.run_tickets import PLENTY_SECONDS, a_run_ticket

TINY_SECONDS = 0.2
SHORT_GRACE_SECONDS = 0.1

RUNS = itertools.count()
NAMESPACE = UUID("6f1f3d0e-8c56-5f43-9a55-0b6a52c7d001")


def a_ticket(
    argv: Sequence[str], *, task: str = "", seconds: float = PLENTY_SECONDS, **extra: Any
) -> RunTicket:
    executor = {"kind": "command", "argv": list(argv), **extra}
    run_id = str(uuid5(NAMESPACE, f"{os.getpid()}-{next(RUNS)}"))
    return a_run_ticket(executor, run_id=run_id, task=task, seconds=seconds)


def shell(script: str, **more: Any) -> RunTicket:
    return a_ticket(["sh", "-c", script], **more)


def python(code: str, *arguments: str, **more: Any) -> RunTicket:
    return a_ticket([sys.executable, "-c", code, *arguments], **more)


async def execute(ticket: RunTicket, *, grace_seconds: float = SHORT_GRACE_SECONDS) -> Outcome:
    executor = CommandExecutor(clock=SystemClock(), grace_seconds=grace_seconds)
    try:
        return await executor.execute(ticket)
    finally:
        await executor.aclose()


def success_of(ticket: RunTicket) -> Success:
    outcome = asyncio.run(execute(ticket))
    assert isinstance(outcome, Success), outcome
    return outcome


def failure_of(ticket: RunTicket) -> Failure:
    outcome = asyncio.run(execute(ticket))
    assert isinstance(outcome, Failure), outcome
    return outcome
