"""A ledger on SQLite that the version before wrote."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pytest import raises

from ledger import Ledger
from ledger.application.commands.deliveries import SaveCheckpoint
from ledger.errors import StartRefused
from ledger.maintenance.verify import verify_event_store
from tests.support.builders import a_spec, open_ledger

AS_VERSION_1 = """
ALTER TABLE snapshots RENAME TO heads;
UPDATE meta SET key = 'heads_position' WHERE key = 'snapshots_position';
UPDATE meta SET key = 'mark:courier' WHERE key = 'checkpoint:notifier';
UPDATE meta SET key = 'mark:storms' WHERE key = 'checkpoint:storms';
UPDATE meta SET value = '1' WHERE key = 'schema';
"""
"""Gives the tables and keys the names that they had in version 1."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The parent of the data folder of a ledger of version 1, with jobs, snapshots, checkpoints."""
    with open_ledger(tmp_path) as ledger:
        job_id = ledger.schedule(a_spec(name="a")).job_id
        ledger.pause(job_id)
        ledger.execute(SaveCheckpoint("notifier", 2))
        ledger.execute(SaveCheckpoint("storms", 3))
    with closing(sqlite3.connect(tmp_path / "data" / "ledger.db")) as connection:
        connection.executescript(AS_VERSION_1)
    return tmp_path


def test_opening_an_older_ledger_upgrades_it_and_keeps_what_it_holds(old: Path) -> None:
    with open_ledger(old, seed=1) as ledger:
        snapshots = list(ledger.event_store.load_snapshots())
        checkpoints = [ledger.event_store.checkpoint(name) for name in ("notifier", "storms")]
        [job] = ledger.job_cache.snapshot()
        verdict = verify_event_store(ledger.event_store)

    assert (job.name, job.status) == ("a", "paused")
    assert [version for _, version, _ in snapshots] == [2]
    assert checkpoints == [2, 3]
    assert verdict.is_sound


def test_an_upgraded_ledger_opens_again(old: Path) -> None:
    open_ledger(old, seed=1).close()

    with open_ledger(old, seed=2) as ledger:
        assert ledger.schedule(a_spec(name="b")).changed


def test_reading_an_older_ledger_without_owning_it_says_what_to_do(old: Path) -> None:
    with raises(StartRefused, match="run jobledger list once on its data folder"):
        Ledger.open_read_only(old / "data")


def test_snapshots_of_which_only_some_have_the_present_format_are_all_folded_anew(
    tmp_path: Path,
) -> None:
    """An upgrade that is killed half-way leaves some snapshots in the old format."""
    with open_ledger(tmp_path) as ledger:
        for name in "ab":
            ledger.schedule(a_spec(name=name))
    with closing(sqlite3.connect(tmp_path / "data" / "ledger.db")) as connection, connection:
        connection.execute(
            "UPDATE snapshots SET state = ? WHERE job = (SELECT MIN(job) FROM snapshots)",
            (b'{"format": 0, "state": {}}',),
        )

    with open_ledger(tmp_path, seed=1) as ledger:
        assert sorted(job.name for job in ledger.job_cache.snapshot()) == ["a", "b"]
