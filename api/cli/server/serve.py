"""serve, dispatch: the server processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from api.app import STATUS_ROUTERS
from api.bootstrap import ServerParts, open_server_parts, secrets_of
from api.cli.connection.credentials import ADMIN_FILE
from api.cli.connection.folder_owner import when_free
from api.cli.options import DataFolder, flag, switch
from api.cli.output.logs import log_to_stderr
from api.cli.output.terminal import say
from api.cli.server import server
from api.cli.server.sandbox import sandbox_of
from api.config.gc_tuning import tune_garbage_collector
from api.settings import Settings, load_settings
from ledger.clock import SetClock
from ledger.store.sqlite.folder import Folder

POLL_SECONDS = 0.5
"""How long a signal to stop may stay unnoticed."""

Host = Annotated[
    str | None,
    flag("--host", "ADDRESS", "Listen address.", show_default="JOBLEDGER_HOST, 127.0.0.1"),
]
Port = Annotated[
    int | None,
    flag("--port", "N", "Port; 0 takes a free one.", min=0, max=65_535, show_default="8321"),
]
Concurrency = Annotated[
    int | None, flag("--concurrency", "N", "Most concurrent runs.", min=1, show_default="32")
]
StatusPort = Annotated[
    int | None,
    flag(
        "--port",
        "N",
        "Serve /healthz, /readyz and /metrics on this port; 0 takes a free one.",
        min=0,
        max=65_535,
    ),
]
NoDispatch = Annotated[bool, switch("--no-dispatch", "Serve the API only; run nothing.")]
InSandbox = Annotated[
    Path | None, flag("--sandbox", "FILE", "Open a fork: runs end as recorded, nothing is stored.")
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
    settings = _settings(host=host, port=port, data=data, concurrency=concurrency)
    dispatches = not no_dispatch
    if sandbox is None:
        _serve(settings, partial(open_server_parts, settings, dispatches=dispatches))
        return
    with sandbox_of(sandbox, settings) as box:
        say(f"Sandbox of {sandbox}: nothing is executed, sent or stored.")
        open_parts = partial(
            open_server_parts,
            box.settings,
            dispatches=dispatches,
            clock=box.clock,
            sandbox=box.fork,
        )
        _serve(box.settings, open_parts, box.clock)


def dispatch(
    data: DataFolder = None, concurrency: Concurrency = None, port: StatusPort = None
) -> None:
    """Run the dispatcher without the HTTP API.

    On SQLite it owns the data folder; on PostgreSQL it is one node of many.
    """
    settings = _settings(data=data, concurrency=concurrency, port=port)
    parts = _opened(settings, lambda: open_server_parts(settings))
    tune_garbage_collector()
    try:
        say(f"jobledger dispatches the runs of {settings.location}; Ctrl+C stops it.")
        if port is None:
            _run_until_stopped(parts)
        else:
            _serve_status_until_stopped(parts, settings)
    finally:
        parts.close()
    say("jobledger has stopped.")


def _settings(**overrides: object) -> Settings:
    """The settings; from now on logs go to stderr, without secrets."""
    settings = load_settings(overrides=overrides)
    log_to_stderr(secrets_of(settings).redact)
    return settings


def _serve(
    settings: Settings, open_parts: Callable[[], ServerParts], sandbox_clock: SetClock | None = None
) -> None:
    parts = _opened(settings, open_parts)
    tune_garbage_collector()
    try:
        with server.bind(settings) as listener:
            url = server.url_of(listener)
            server.publish_url(parts, url)
            _greet(parts, settings, url)
            _print_access(settings, url, is_sandbox=sandbox_clock is not None)
            if sandbox_clock is not None:
                sandbox_clock.start()
            server.serve_until_stopped(parts, settings, listener)
    finally:
        parts.close()
    say("jobledger has stopped.")


def _run_until_stopped(parts: ServerParts) -> None:
    end = threading.Event()
    with server.on_first_signal(end.set):
        parts.start()
        while not end.wait(POLL_SECONDS):
            pass  # a signal may reach another thread: its handler runs once this one wakes
        say("Stopping: waiting for open runs. Press Ctrl+C again to stop at once.")


def _serve_status_until_stopped(parts: ServerParts, settings: Settings) -> None:
    with server.bind(settings) as listener:
        say(f"Status: {server.url_of(listener)}/readyz and /metrics")
        server.serve_until_stopped(parts, settings, listener, STATUS_ROUTERS)


def _opened(settings: Settings, open_parts: Callable[[], ServerParts]) -> ServerParts:
    """On SQLite another command may own the folder briefly; on PostgreSQL there is no owner."""
    if settings.address is not None:
        return open_parts()
    return when_free(Folder(settings.data), open_parts)


def _greet(parts: ServerParts, settings: Settings, url: str) -> None:
    """Print the address, and a link to log in."""
    say(f"jobledger listens on {url}, with its ledger in {settings.location}")
    if parts.dispatcher is None:
        say("No runs are started here (--no-dispatch).")
    link = server.login_link(parts, url)
    if link is not None:
        say(f"Log in once, within 15 minutes: {link}")


def _print_access(settings: Settings, url: str, *, is_sandbox: bool) -> None:
    """How commands reach this server. Commands for a sandbox need its address: without it they use
    the ledger of the folder they are typed in.
    """
    token = settings.data / ADMIN_FILE
    if not is_sandbox:
        say(f"The admin's token is in {token}; commands on this machine find it themselves.")
        return
    say("Commands use your own ledger, not the sandbox, unless you type first:")
    say(f"  export JOBLEDGER_URL={url} JOBLEDGER_TOKEN=$(cat {token})")
