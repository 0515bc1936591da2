"""Chooses where a command is answered: at a server, in this process, or read-only."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from api.cli.connection.client import ApiClient
from api.cli.connection.credentials import token_for
from api.cli.connection.folder_owner import (
    is_owned,
    owned_by_other,
    require_event_store,
    wait_for_short_owner,
    when_free,
)
from api.settings import Settings, load_settings
from ledger.store.sqlite.folder import Folder


class Intent(Enum):
    """What a command is about to do."""

    READ = "read"
    CHANGE = "change"
    BEGIN = "begin"
    """A change that may create the ledger."""


def connect(intent: Intent, data: Path | None = None) -> ApiClient:
    """The client for one command: of the server at JOBLEDGER_URL, else of the ledger on PostgreSQL,
    else of the server that owns the folder, else of the folder itself. Raises Stop, StartRefused.
    """
    settings = load_settings(overrides={"data": data})
    if settings.url is not None:
        return ApiClient(settings.url, token_for(settings, settings.url))
    if settings.address is not None:
        return _as_node(settings)
    folder = Folder(settings.data)
    if intent is not Intent.READ:
        wait_for_short_owner(folder)
    if not is_owned(folder):
        return _as_owner(settings, intent)
    owner = folder.owner()
    if isinstance(owner.get("url"), str):
        return ApiClient(owner["url"], token_for(settings, owner["url"]))
    return _read_only(settings, intent)


# The application is slow to import, and most commands find a server: so not at the top.


def _as_node(settings: Settings) -> ApiClient:
    from api.cli.connection import in_process

    return in_process.open_shared(settings)


def _as_owner(settings: Settings, intent: Intent) -> ApiClient:
    from api.cli.connection import in_process

    folder = Folder(settings.data)
    if intent is not Intent.BEGIN:
        require_event_store(folder)
    return when_free(folder, lambda: in_process.open_owned(settings))


def _read_only(settings: Settings, intent: Intent) -> ApiClient:
    from api.cli.connection import in_process

    if intent is not Intent.READ:
        raise owned_by_other(Folder(settings.data))
    return in_process.open_read_only(settings)
