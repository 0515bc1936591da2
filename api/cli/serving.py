"""serve and work: the processes that stay."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from api.cli.keys import ADMIN_FILE
from api.cli.options import DataFolder
from api.cli.owners import when_free
from api.cli.screen import say
from api.settings import Settings, load_settings
from ledger.store.files import Folder

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
NoDispatch = Annotated[
    bool, typer.Option("--no-dispatch", help="Answer only; nothing that is due is run.")
]


def serve(
    host: Host = None,
    port: Port = None,
    data: DataFolder = None,
    no_dispatch: NoDispatch = False,
    concurrency: Concurrency = None,
) -> None:
    """Start the server: the HTTP API, the page, and the dispatcher that runs what is due."""
    from api.bootstrap import (  # the whole application: only servers need it
        open_server_parts,
        secrets_of,
    )
    from api.cli import logs, server
    from api.collector import settle_collector

    overrides = {"host": host, "port": port, "data": data, "concurrency": concurrency}
    settings = load_settings(overrides=overrides)
    logs.log_to_stderr(secrets_of(settings).redact)
    parts = when_free(
        Folder(settings.data), lambda: open_server_parts(settings, dispatches=not no_dispatch)
    )
    settle_collector()
    try:
        with server.bind(settings) as listener:
            url = server.url_of(listener)
            server.leave_note(parts, url)
            _greet(settings, url, server.login_link(parts, url), dispatches=not no_dispatch)
            server.serve_until_asked(parts, settings, listener)
    finally:
        parts.close()
    say("jobledger has stopped.")


def work(data: DataFolder = None, concurrency: Concurrency = None) -> None:
    """Run what is due, without HTTP. On SQLite it owns the folder: no server beside it."""
    from api.bootstrap import open_server_parts, secrets_of
    from api.cli import logs, server
    from api.collector import settle_collector

    settings = load_settings(overrides={"data": data, "concurrency": concurrency})
    logs.log_to_stderr(secrets_of(settings).redact)
    parts = when_free(Folder(settings.data), lambda: open_server_parts(settings))
    settle_collector()
    try:
        end = threading.Event()
        with server.on_first_signal(end.set):
            parts.start()
            say(f"jobledger runs what is due in {settings.data}; Ctrl+C ends it.")
            end.wait()
            say("Stopping: runs under way may end. Again to stop at once.")
    finally:
        parts.close()
    say("jobledger has stopped.")


def _greet(settings: Settings, url: str, link: str | None, *, dispatches: bool) -> None:
    """Where it is, how to get in, where the token is."""
    say(f"jobledger listens on {url}, with its ledger in {settings.data}")
    if not dispatches:
        say("Nothing that is due is run here (--no-dispatch).")
    if link is not None:
        say(f"Log in once, within 15 minutes: {link}")
    say(f"The admin's token is in {settings.data / ADMIN_FILE}; commands here find it themselves.")
