"""worker: a process that claims runs of a queue and executes a program for each."""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import suppress
from typing import Annotated

from api.cli.connection.credentials import token_for
from api.cli.connection.folder_owner import is_owned
from api.cli.exit_codes import Misused
from api.cli.options import DataFolder, argument, flag
from api.cli.output.terminal import say
from api.settings import inherited, load_settings
from api.worker import LEASE_SECONDS, Worker
from ledger.clock import SystemClock
from ledger.dispatch.executors.command import CommandExecutor
from ledger.store.sqlite.folder import Folder

Queue = Annotated[str, flag("--queue", "NAME", "Queue to take runs from.")]
Argv = Annotated[list[str], argument("COMMAND", "After --: the program and its arguments.")]
Concurrency = Annotated[int, flag("--concurrency", "N", "Concurrent runs.", min=1)]
Lease = Annotated[
    float, flag("--lease", "SECONDS", "Lease of a run, renewed while it is executed.", min=1)
]


def worker(
    argv: Argv,
    queue: Queue,
    concurrency: Concurrency = 1,
    lease: Lease = LEASE_SECONDS,
    data: DataFolder = None,
) -> None:
    """Execute a program for each run of a queue.

    The program reads the task from its standard input.
    """
    if shutil.which(argv[0]) is None:
        raise Misused(f"There is no program {argv[0]}: every run of the queue would fail.")
    settings = load_settings(overrides={"data": data})
    folder = Folder(settings.data)
    url = settings.url or (folder.owner().get("url") if is_owned(folder) else None)
    if not isinstance(url, str):
        raise Misused("No server found: set JOBLEDGER_URL and JOBLEDGER_TOKEN.")
    token = token_for(settings, url)
    say(f"Executing runs of the queue {queue} of {url}.")
    one = Worker(url, token, queue=queue, concurrency=concurrency, lease_seconds=lease)
    asyncio.run(_until_stopped(one, argv))
    say("The worker has stopped.")


async def _until_stopped(one: Worker, argv: list[str]) -> None:
    """Work until a signal. The first one lets open runs end; a second one kills their processes,
    and these runs are lost when their leases expire.
    """
    loop = asyncio.get_running_loop()
    executor = CommandExecutor(clock=SystemClock(), environment=inherited())
    work = loop.create_task(one.serve(executor, {"kind": CommandExecutor.kind, "argv": argv}))

    def stop() -> None:
        if one.is_stopping:
            work.cancel()
        one.stop()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    with suppress(asyncio.CancelledError):
        await work
