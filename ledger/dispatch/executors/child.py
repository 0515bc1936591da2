"""The first process of a command: its pipes, its output, its exit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from ledger.dispatch.executors.outcomes import RunTicket
from ledger.dispatch.executors.output import Output, OutputTail, Redact
from ledger.dispatch.executors.processes import ProcessMark

RUN_VARIABLE = "JOBLEDGER_RUN_ID"
"""Set in the environment of a command and of everything it starts; identifies the processes of a
run.
"""


class Child:
    """A started command. Nothing is awaited between its start and its process mark, so that no
    cancellation can lose it (asyncio's own `subprocess_exec` leaves such a gap).
    """

    def __init__(
        self, process: subprocess.Popen[bytes], run_id: str, redact: Redact | None
    ) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.output = Output(redact=redact)
        self.errors = OutputTail(redact)
        self._pipes = [
            _Pipe(file, sink, self._loop.create_future())
            for file, sink in ((process.stdout, self.output), (process.stderr, self.errors))
            if file is not None
        ]
        self.mark = ProcessMark(
            leader=process.pid,
            variable=f"{RUN_VARIABLE}={run_id}".encode(),
            pipes=frozenset(pipe.name for pipe in self._pipes),
        )

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        ticket: RunTicket,
        *,
        task: IO[bytes],
        environment: Mapping[str, str],
        cwd: str | None,
    ) -> Child:
        """Raises OSError when the program or the folder is missing or not permitted."""
        process = subprocess.Popen(
            [word.encode() for word in argv],
            stdin=task,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={name.encode(): value.encode() for name, value in environment.items()},
            cwd=cwd,
            start_new_session=True,
        )
        child = cls(process, ticket.run_id, ticket.redact)
        threading.Thread(target=child._await_exit, name=f"command-{process.pid}").start()
        return child

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.returncode

    async def read(self) -> None:
        """Read its output as it arrives, so that its amount costs no memory."""
        for pipe in self._pipes:
            await self._loop.connect_read_pipe(lambda pipe=pipe: pipe, pipe.file)  # type: ignore[misc]

    async def wait_for_output(self) -> None:
        """Wait until it has exited and every pipe that is being read is closed."""
        await asyncio.wait({self.exited, *(p.closed for p in self._pipes if p.is_read)})

    def close(self) -> None:
        """Close the pipes, whatever processes have their other ends open."""
        for pipe in self._pipes:
            pipe.close()

    def _await_exit(self) -> None:
        self._process.wait()
        with suppress(RuntimeError):  # the loop has closed, so there is no waiter
            self._loop.call_soon_threadsafe(self.exited.set_result, None)


class _Pipe(asyncio.Protocol):
    """One of the command's pipes, read into `sink`."""

    def __init__(
        self, file: IO[bytes], sink: Output | OutputTail, closed: asyncio.Future[None]
    ) -> None:
        self.file = file
        self.name = f"pipe:[{os.fstat(file.fileno()).st_ino}]"
        self.closed = closed
        self._sink = sink
        self._transport: asyncio.BaseTransport | None = None

    @property
    def is_read(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._sink.take(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.closed.set_result(None)

    def close(self) -> None:
        (self._transport or self.file).close()
