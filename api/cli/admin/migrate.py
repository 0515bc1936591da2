"""migrate: the schema on PostgreSQL, brought up to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from api.cli.options import AsJson, DataFolder
from api.cli.output.render import write_document
from api.cli.output.terminal import say
from api.config import parsers as values
from api.settings import load_settings
from ledger.chance import SystemChance
from ledger.errors import StartRefused
from ledger.store.postgres.dsn import PostgresDsn

if TYPE_CHECKING:
    from ledger.store.postgres.migrations import Migrated


def migrate(as_json: AsJson = False, data: DataFolder = None) -> None:
    """Migrate the PostgreSQL schema to this version.

    The database is the one in JOBLEDGER_DSN.
    """
    from ledger.store.postgres.migrations import migrate as bring_up  # the driver is slow to import

    dsn = load_settings(overrides={"data": data}).dsn
    if dsn is None or dsn.startswith(values.SQLITE):
        raise StartRefused(
            "Only a ledger on PostgreSQL is migrated: set JOBLEDGER_DSN to postgresql://…"
        )
    address = PostgresDsn(dsn)
    done = bring_up(address, new_id=SystemChance().new_id())
    if as_json:
        answer = {"before": done.before, "after": done.after, "remarks": list(done.remarks)}
        write_document(orjson.dumps(answer).decode())
        return
    say(_told(address, done))
    for remark in done.remarks:
        say(f"But {remark}.")


def _told(address: PostgresDsn, done: Migrated) -> str:
    if done.before == done.after:
        return f"{address.place} has schema {done.after} already: nothing to do."
    if done.before == 0:
        return f"{address.place} now has schema {done.after}, and a new ledger in it."
    return f"{address.place} went from schema {done.before} to {done.after}."
