"""Dispatchers of a ledger on PostgreSQL, as processes of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT


def dispatchers(
    dsn: str, folder: Path, count: int, closing: ExitStack, *, first: int = 0
) -> list[subprocess.Popen[bytes]]:
    """So many `jobledger dispatch`, numbered from `first`, ended afterwards whatever happened."""
    environment = {**ENVIRONMENT, "JOBLEDGER_DSN": dsn, "JOBLEDGER_DATA": str(folder / "data")}
    started = []
    for number in range(first, first + count):
        log = closing.enter_context((folder / f"work-{number}.log").open("wb"))
        process = subprocess.Popen(
            [*PROGRAM, "dispatch"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        closing.callback(process.wait)
        closing.callback(process.kill)
        started.append(process)
    return started


def ended(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Stop them, and wait: their exit codes."""
    for process in processes:
        process.terminate()
    return [process.wait(60) for process in processes]
