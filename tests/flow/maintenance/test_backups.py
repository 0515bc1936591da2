"""Backups taken while the ledger is written: each restores to a prefix, positions unchanged
(D9).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Semaphore, Thread
from typing import Any

import pytest
from pytest import raises

from ledger import Ledger
from ledger.errors import StartRefused
from ledger.maintenance import backup as backups
from ledger.maintenance.backup import Backup, back_up, check
from ledger.store.sqlite.folder import Folder
from tests.support.builders import a_spec, open_ledger

SMALL_PAGES = 4
WRITES_PER_BACKUP = 3


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "PAGES_AT_ONCE", SMALL_PAGES)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in use, with some history."""
    with open_ledger(tmp_path) as opened:
        write(opened, "old", 60)
        yield opened


def write(ledger: Ledger, prefix: str, jobs: int) -> None:
    for number in range(jobs):
        job_id = ledger.schedule(a_spec(name=f"{prefix} {number}", task="x" * 300)).job_id
        ledger.pause(job_id, reason="because")


def quietly(step: str, done: int, total: int) -> None:
    """Ignores progress."""


def event_store_of(ledger: Ledger) -> Path:
    return Path(ledger.event_store.file.path)  # type: ignore[attr-defined]


def rows(file: Path, upto: int) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(
            "SELECT * FROM events WHERE position <= ? ORDER BY position", (upto,)
        ).fetchall()


def require_prefix(made: Backup, event_store: Path) -> None:
    """It verifies, and its events are those of the ledger, each at its own position."""
    assert made.verdict.is_sound
    kept = rows(made.file, 2**60)
    assert len(kept) == made.verdict.verified
    assert kept == rows(event_store, made.verdict.verified)
    assert [row[0] for row in kept] == list(range(1, len(kept) + 1))


@contextmanager
def busy_writer(ledger: Ledger) -> Iterator[Semaphore]:
    """Another thread that writes a job for each permit that it is given."""
    permits, is_over = Semaphore(0), Event()

    def go_on() -> None:
        for number in count():
            permits.acquire()
            if is_over.is_set():
                return
            write(ledger, f"busy {number}", 1)

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield permits
    finally:
        is_over.set()
        permits.release()
        thread.join()


# -- D9 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(20))
def test_a_backup_has_the_state_of_its_start_whatever_is_written_meanwhile(
    ledger: Ledger, tmp_path: Path, number: int
) -> None:
    steps: list[str] = []

    def grow(step: str, done: int, total: int) -> None:
        if step == "copied pages" and len(steps) % (1 + number % 4) == 0:
            write(ledger, f"{number} {len(steps)}", 1 + number % 3)
        steps.append(step)

    write(ledger, f"before {number}", number)
    position = ledger.event_store.tail_position()

    made = back_up(event_store_of(ledger), tmp_path / "backup.db", grow)

    assert made.verdict.verified == position < ledger.event_store.tail_position()
    assert steps.count("copied pages") > 3
    require_prefix(made, event_store_of(ledger))


@pytest.mark.parametrize("backup_count", [4, pytest.param(500, marks=pytest.mark.proof)])
def test_backups_beside_a_busy_writer_restore_to_prefixes(
    ledger: Ledger, tmp_path: Path, backup_count: int
) -> None:
    ends = []
    with busy_writer(ledger) as permits:
        for number in range(backup_count):
            permits.release(WRITES_PER_BACKUP)
            made = back_up(event_store_of(ledger), tmp_path / f"{number}.db", quietly)
            require_prefix(made, event_store_of(ledger))
            ends.append(made.verdict.verified)
            made.file.unlink()

    assert ends == sorted(ends)
    print(f"backups: {len(ends)}, up to positions {ends[0]} to {ends[-1]}")


# -- what it leaves -----------------------------------------------------------------------------


def test_a_restored_backup_is_a_working_ledger(ledger: Ledger, tmp_path: Path) -> None:
    jobs = len(ledger.job_cache.snapshot())
    restored = Folder(tmp_path / "restored" / "data")
    restored.create()
    made = back_up(event_store_of(ledger), restored.event_store_file, quietly)

    with open_ledger(tmp_path / "restored", seed=1) as again:
        assert len(again.job_cache.snapshot()) == jobs
        write(again, "after", 2)
        assert again.event_store.ledger_id == ledger.event_store.ledger_id
        assert again.event_store.tail_position() == made.verdict.verified + 6


def test_only_its_owner_may_read_a_backup_and_no_other_file_is_left(
    ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()

    made = back_up(event_store_of(ledger), folder / "one.db", quietly)
    check(made.file, quietly)

    assert list(folder.iterdir()) == [made.file]
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600


def test_a_backup_never_overwrites(ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.write_text("mine")

    with raises(StartRefused, match="exists already: name a new file"):
        back_up(event_store_of(ledger), out, quietly)

    assert out.read_text() == "mine"


def test_a_backup_to_a_missing_folder_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with raises(StartRefused, match="cannot be created: No such file or directory"):
        back_up(event_store_of(ledger), tmp_path / "nowhere" / "one.db", quietly)


def test_a_file_that_is_not_a_ledger_is_neither_backed_up_nor_verified(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (x)")

    with raises(StartRefused, match="is not a jobledger database"):
        back_up(other, tmp_path / "one.db", quietly)
    with raises(StartRefused, match="is not a jobledger database"):
        check(other, quietly)
    assert not (tmp_path / "one.db").exists()


def test_a_tampered_ledger_gives_no_backup(ledger: Ledger, tmp_path: Path) -> None:
    event_store = event_store_of(ledger)
    with closing(sqlite3.connect(event_store, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER events_are_never_changed")
        connection.execute("UPDATE events SET actor = 'nobody' WHERE position = 17")

    made = back_up(event_store, tmp_path / "one.db", quietly)

    assert made.verdict.finding is not None
    assert made.verdict.finding.position == 17
    assert not list(tmp_path.glob("*one.db*"))


def test_a_killed_backup_leaves_no_file_that_looks_like_one(ledger: Ledger, tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from ledger.maintenance import backup as backups
backups.PAGES_AT_ONCE = {SMALL_PAGES}
def die(step, done, total):
    os.kill(os.getpid(), signal.SIGKILL)
backups.back_up(Path({str(event_store_of(ledger))!r}), Path({str(tmp_path / "one.db")!r}), die)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "one.db").stat().st_size == 0
    with raises(StartRefused, match="is not a jobledger database"):
        check(tmp_path / "one.db", quietly)
