"""serve and work: the processes that stay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.connection.credentials import ADMIN_FILE
from api.cli.connection.folder_owner import when_free
from api.cli.options import DataFolder
from api.cli.output.terminal import say
from api.settings import Settings, load_settings
from ledger.clock import SetClock
from ledger.store.sqlite.folder import Folder

if TYPE_CHECKING:
    from api.bootstrap import ServerParts

LOOK_SECONDS = 0.5
"""How long a signal to end may stay unnoticed."""

Host = Annotated[
    str | None,
    typer.Option("--host", metavar="ADDRESS", help="Listen there [JOBLEDGER_HOST, 127.0.0.1]."),
]
Port = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=0, max=65_535, help="0 takes a free one [8321]."),
]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", metavar="N", min=1, help="Runs under way at once [32]."),
]
StatusPort = Annotated[
    int | None,
    typer.Option(
        "--port",
        metavar="N",
        min=0,
        max=65_535,
        help="Answer /healthz, /readyz and /metrics there; 0 takes a free one.",
    ),
]
NoDispatch = Annotated[
    bool, typer.Option("--no-dispatch", help="Answer only; nothing that is due is run.")
]
InSandbox = Annotated[
    Path | None,
    typer.Option(
        "--sandbox", metavar="FILE", help="Open a fork: runs end as recorded, nothing is kept."
    ),
]


def serve(
    host: Host = None,
    port: Port = None,
    data: DataFolder = None,
    no_dispatch: NoDispatch = False,
    concurrency: Concurrency = None,
    sandbox: InSandbox = None,
) -> None:
    """Run the HTTP API, the status page and the dispatcher.

    The dispatcher executes due runs; --no-dispatch leaves them to other processes.
    """
    from api.bootstrap import (  # the whole application: only servers need it
        open_server_parts,
        secrets_of,
    )
    from api.cli.output import logs
    from api.cli.server.sandbox import sandbox_of

    overrides = {"host": host, "port": port, "data": data, "concurrency": concurrency}
    settings = load_settings(overrides=overrides)
    logs.log_to_stderr(secrets_of(settings).redact)
    if sandbox is None:
        _serve(settings, partial(open_server_parts, settings, dispatches=not no_dispatch))
        return
    with sandbox_of(sandbox, settings) as box:
        say(f"A sandbox of {sandbox}: nothing is executed, nobody is told, nothing is kept.")
        open_it = partial(
            open_server_parts,
            box.settings,
            dispatches=not no_dispatch,
            clock=box.clock,
            sandbox=box.fork,
        )
        _serve(box.settings, open_it, box.clock)


def _serve(
    settings: Settings, open_it: Callable[[], ServerParts], sandbox_clock: SetClock | None = None
) -> None:
    from api.cli.server import server
    from api.config.gc_tuning import tune_garbage_collector

    parts = _opened(settings, open_it)
    tune_garbage_collector()
    try:
        with server.bind(settings) as listener:
            url = server.url_of(listener)
            server.leave_note(parts, url)
            dispatches = parts.dispatcher is not None
            _greet(settings, url, server.login_link(parts, url), dispatches=dispatches)
            _say_way(settings, url, is_sandbox=sandbox_clock is not None)
            if sandbox_clock is not None:
                sandbox_clock.start()
            server.serve_until_asked(parts, settings, listener)
    finally:
        parts.close()
    say("jobledger has stopped.")


def dispatch(
    data: DataFolder = None,
    concurrency: Concurrency = None,
    port: StatusPort = None,
) -> None:
    """Run the dispatcher without the HTTP API.

    On SQLite it owns the data folder; on PostgreSQL it is one node of many.
    """
    from api.bootstrap import open_server_parts, secrets_of
    from api.cli.output import logs
    from api.config.gc_tuning import tune_garbage_collector

    overrides = {"data": data, "concurrency": concurrency, "port": port}
    settings = load_settings(overrides=overrides)
    logs.log_to_stderr(secrets_of(settings).redact)
    parts = _opened(settings, lambda: open_server_parts(settings))
    tune_garbage_collector()
    try:
        say(f"jobledger runs what is due in {settings.location}; Ctrl+C ends it.")
        if port is None:
            _until_asked(parts)
        else:
            _until_asked_with_status(parts, settings)
    finally:
        parts.close()
    say("jobledger has stopped.")


def _until_asked(parts: ServerParts) -> None:
    from api.cli.server import server

    end = threading.Event()
    with server.on_first_signal(end.set):
        parts.start()
        while not end.wait(LOOK_SECONDS):
            pass  # a signal may reach another thread: its handler runs once this one wakes
        say("Stopping: runs under way may end. Again to stop at once.")


def _until_asked_with_status(parts: ServerParts, settings: Settings) -> None:
    from api.app import STATUS_ROUTERS
    from api.cli.server import server

    with server.bind(settings) as listener:
        say(f"How it is: {server.url_of(listener)}/readyz and /metrics")
        server.serve_until_asked(parts, settings, listener, STATUS_ROUTERS)


def _opened(settings: Settings, open_parts: Callable[[], ServerParts]) -> ServerParts:
    """On SQLite the folder may be somebody's for a moment; on PostgreSQL nobody owns anything."""
    if settings.address is not None:
        return open_parts()
    return when_free(Folder(settings.data), open_parts)


def _greet(settings: Settings, url: str, link: str | None, *, dispatches: bool) -> None:
    """Where it is, and how to get in."""
    say(f"jobledger listens on {url}, with its ledger in {settings.location}")
    if not dispatches:
        say("Nothing that is due is run here (--no-dispatch).")
    if link is not None:
        say(f"Log in once, within 15 minutes: {link}")


def _say_way(settings: Settings, url: str, *, is_sandbox: bool) -> None:
    """How commands get there. Those of a sandbox must be sent: by themselves they go to the ledger
    of the folder they are typed in.
    """
    token = settings.data / ADMIN_FILE
    if not is_sandbox:
        say(f"The admin's token is in {token}; commands here find it themselves.")
        return
    say("Commands go to your own ledger, and not here, unless you type first:")
    say(f"  export JOBLEDGER_URL={url} JOBLEDGER_TOKEN=$(cat {token})")
