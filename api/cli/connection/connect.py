"""Which way a command goes: to a server, into the folder, or into a folder that is only read."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from api.cli.connection.client import ApiClient
from api.cli.connection.credentials import token_for
from api.cli.connection.folder_owner import (
    is_owned,
    not_ours,
    require_event_store,
    wait_while_passing,
    when_free,
)
from api.settings import Settings, load_settings
from ledger.store.sqlite.folder import Folder


class Intent(Enum):
    """What a command is about to do."""

    READ = "read"
    CHANGE = "change"
    BEGIN = "begin"
    """A change that makes sense in a folder that holds no ledger yet."""


def connect(intent: Intent, data: Path | None = None) -> ApiClient:
    """The door for one command: JOBLEDGER_URL, else the ledger on PostgreSQL, else the server that
    owns the folder, else the folder itself.
    """
    settings = load_settings(overrides={"data": data})
    if settings.url is not None:
        return ApiClient(settings.url, token_for(settings, settings.url))
    if settings.address is not None:
        return _joined(settings)
    folder = Folder(settings.data)
    if intent is not Intent.READ:
        wait_while_passing(folder)
    if not is_owned(folder):
        return _inside(settings, intent)
    owner = folder.owner()
    if isinstance(owner.get("url"), str):
        return ApiClient(owner["url"], token_for(settings, owner["url"]))
    return _beside(settings, intent)


def _joined(settings: Settings) -> ApiClient:
    """On PostgreSQL nobody owns the ledger: a command is one more node while it lasts."""
    from api.cli.connection import in_process as inside

    return inside.open_joined(settings)


def _inside(settings: Settings, intent: Intent) -> ApiClient:
    from api.cli.connection import (
        in_process as inside,
    )  # slow to import, and most commands find a server

    folder = Folder(settings.data)
    if intent is not Intent.BEGIN:
        require_event_store(folder)
    return when_free(folder, lambda: inside.open_owned(settings))


def _beside(settings: Settings, intent: Intent) -> ApiClient:
    from api.cli.connection import in_process as inside

    if intent is not Intent.READ:
        raise not_ours(Folder(settings.data))
    return inside.open_reading(settings)
