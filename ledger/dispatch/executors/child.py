"""The first process of a command, as asyncio sees it: its pipes, its output, its end."""

from __future__ import annotations

import asyncio
import os
from typing import cast

from ledger.dispatch.executors.output import Output, Tail
from ledger.dispatch.executors.processes import Mark

RUN_VARIABLE = "JOBLEDGER_RUN_ID"
"""Set in the environment of a command and of everything it starts; a run's processes are known by
it.
"""


class Child(asyncio.SubprocessProtocol):
    """The command's first process and its pipes. Data is taken as it comes, so its amount costs no
    memory.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, run_id: str) -> None:
        self.output = Output()
        self.errors = Tail()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._run_id = run_id

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by inheritance, so this is not asked for.
        self._transport = cast(asyncio.SubprocessTransport, transport)
        pipes = (_pipe_name(self._transport, number) for number in (1, 2))
        self.mark = Mark(
            leader=self._transport.get_pid(),
            variable=f"{RUN_VARIABLE}={self._run_id}".encode(),
            pipes=frozenset(filter(None, pipes)),
        )

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._transport.get_returncode()

    def close(self) -> None:
        """Let go of the pipes, whoever may still hold their other ends."""
        self._transport.close()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        (self.output if fd == 1 else self.errors).take(data)

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.closed.set_result(None)


def _pipe_name(transport: asyncio.SubprocessTransport, number: int) -> str | None:
    """As /proc shows it; None for a pipe that everybody has closed already, or that the event loop
    (uvloop) does not show.
    """
    pipe = transport.get_pipe_transport(number)
    file = pipe.get_extra_info("pipe") if pipe else None
    try:
        return f"pipe:[{os.fstat(file.fileno()).st_ino}]" if file else None
    except ValueError:
        return None
