"""Commands on a terminal of their own, as an operator types them."""

from __future__ import annotations

import os
import pty
import select
import subprocess
from pathlib import Path

from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT

LIMIT_SECONDS = 60.0
"""A hang fails by this name; nothing is measured by it."""
CHUNK = 4096


def on_terminal(data: Path, *words: str, answer: str = "", **environment: str) -> tuple[int, str]:
    """Type a command on a terminal of its own and answer its question; exit code and output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *words, "--data", str(data)],
        cwd=ROOT,
        env={**ENVIRONMENT, "TERM": "xterm-256color", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        if answer:
            os.write(ours, f"{answer}\n".encode())
        shown = _everything(ours)
        return process.wait(LIMIT_SECONDS), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _everything(terminal: int) -> str:
    """All output until the process has closed the terminal."""
    shown = b""
    while select.select([terminal], [], [], LIMIT_SECONDS)[0]:
        try:
            piece = os.read(terminal, CHUNK)
        except OSError:  # how Linux reports that the other side is closed
            return shown.decode()
        if not piece:
            return shown.decode()
        shown += piece
    raise AssertionError(f"The command went on for {LIMIT_SECONDS:g} s.")
