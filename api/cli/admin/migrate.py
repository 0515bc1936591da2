"""migrate: bring the schema on PostgreSQL to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.cli.options import AsJson, DataFolder
from api.cli.output.render import write_json
from api.cli.output.terminal import say
from api.config import parsers
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
    from ledger.store.postgres.migrations import (
        migrate as migrate_schema,  # imports the driver, slow
    )

    dsn = load_settings(overrides={"data": data}).dsn
    if dsn is None or dsn.startswith(parsers.SQLITE):
        raise StartRefused("Only PostgreSQL needs migrations: set JOBLEDGER_DSN to postgresql://…")
    address = PostgresDsn(dsn)
    done = migrate_schema(address, new_id=SystemChance().new_id())
    if as_json:
        write_json({"before": done.before, "after": done.after, "remarks": list(done.remarks)})
        return
    say(_sentence(address, done))
    for remark in done.remarks:
        say(f"Note: {remark}.")


def _sentence(address: PostgresDsn, done: Migrated) -> str:
    if done.before == done.after:
        return f"{address.location} already has schema {done.after}: nothing to do."
    if done.before == 0:
        return f"{address.location} now has schema {done.after} and a new ledger."
    return f"{address.location} went from schema {done.before} to {done.after}."
