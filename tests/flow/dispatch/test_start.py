"""Wrong storage stops the start with one clear line (D8), and leaves what it found."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pytest import raises

from ledger import Ledger
from ledger.errors import StartRefused
from tests.support.builders import a_spec, open_ledger

ROOT = Path(__file__).parents[3]
Wrong = Callable[[Path], None]
NOBODY = 65_534


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """An empty data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def sqlite_file(path: Path, *statements: str) -> None:
    """Another program's database, private to its owner."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(";".join(statements))
    path.chmod(0o600)


def no_database(data: Path) -> None:
    (data / "ledger.db").write_bytes(b"Dear diary, " * 500)
    (data / "ledger.db").chmod(0o600)


def cut_off(data: Path) -> None:
    open_ledger(data.parent).close()
    content = (data / "ledger.db").read_bytes()
    (data / "ledger.db").write_bytes(content[:200])


def marked_by_another_program(data: Path) -> None:
    sqlite_file(data / "ledger.db", "PRAGMA application_id=42", "CREATE TABLE a (b)")


def unmarked_tables(data: Path) -> None:
    """Most programs never set the application id: Phantom's own scheduler, for one."""
    sqlite_file(data / "ledger.db", "CREATE TABLE scheduled_jobs (id TEXT)")


def a_newer_schema(data: Path) -> None:
    open_ledger(data.parent).close()
    sqlite_file(data / "ledger.db", "UPDATE meta SET value = '99' WHERE key = 'schema'")


def readable_by_others(data: Path) -> None:
    open_ledger(data.parent).close()
    (data / "ledger.db").chmod(0o644)


def writable_by_the_group(data: Path) -> None:
    open_ledger(data.parent).close()
    (data / "ledger.db").chmod(0o660)


def a_folder_for_a_file(data: Path) -> None:
    (data / "ledger.db").mkdir(mode=0o700)


def a_folder_for_a_lock(data: Path) -> None:
    (data / "ledger.lock").mkdir()


def a_file_for_a_folder(data: Path) -> None:
    data.rmdir()
    data.write_text("")


def a_dangling_link(data: Path) -> None:
    (data / "ledger.db").symlink_to(data / "nowhere" / "ledger.db")


WRONGS: list[tuple[Wrong, str]] = [
    (no_database, "not a database"),
    (cut_off, r"ledger\.db"),
    (marked_by_another_program, "another program's database"),
    (unmarked_tables, "another program's database"),
    (a_newer_schema, "has schema 99"),
    (readable_by_others, "mode 0644.*chmod 600"),
    (writable_by_the_group, "mode 0660.*chmod 600"),
    (a_folder_for_a_file, "cannot be opened"),
    (a_folder_for_a_lock, r"ledger\.lock cannot be opened"),
    (a_file_for_a_folder, "cannot be created"),
    (a_dangling_link, "cannot be opened"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONGS, ids=[wrong.__name__ for wrong, _ in WRONGS])
def test_wrong_storage_stops_the_start_with_one_line(
    data: Path, wrong: Wrong, message: str
) -> None:
    wrong(data)

    with raises(StartRefused, match=message) as refusal:
        open_ledger(data.parent)

    assert "\n" not in refusal.value.message


@pytest.mark.slow
def test_a_database_with_an_exclusive_lock_stops_the_start(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "data" / "ledger.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")

        with raises(StartRefused, match="locked"):
            open_ledger(tmp_path)

    open_ledger(tmp_path, seed=1).close()


def test_another_programs_database_is_left_as_it_was(data: Path) -> None:
    unmarked_tables(data)

    with raises(StartRefused):
        open_ledger(data.parent)

    with closing(sqlite3.connect(data / "ledger.db")) as connection:
        names = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert names == [("scheduled_jobs",)]


def test_a_half_created_ledger_is_completed(data: Path) -> None:
    """Killed between its first statements: marked as ours, and without tables yet."""
    sqlite_file(data / "ledger.db", f"PRAGMA application_id={0x4A4C4447}")

    with open_ledger(data.parent) as ledger:
        assert ledger.schedule(a_spec()).changed


def test_the_files_of_a_ledger_are_private_to_their_owner(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.schedule(a_spec())

        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}

    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert modes["ledger.db"] == 0o600
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("wrong", [no_database, a_newer_schema, readable_by_others])
def test_a_reader_is_refused_as_a_writer_is(data: Path, wrong: Wrong) -> None:
    wrong(data)

    with raises(StartRefused) as refusal:
        Ledger.open_read_only(data)

    assert "\n" not in refusal.value.message


def test_a_reader_creates_no_files(tmp_path: Path) -> None:
    with raises(StartRefused):
        Ledger.open_read_only(tmp_path / "nowhere")

    assert list(tmp_path.iterdir()) == []


def test_a_reader_is_refused_by_a_journal_that_cannot_be_shared(data: Path) -> None:
    """Without WAL a reader would block the writer; only the owner may change that."""
    open_ledger(data.parent).close()
    sqlite_file(data / "ledger.db", "PRAGMA journal_mode=DELETE")

    with raises(StartRefused, match="journal_mode=delete"):
        Ledger.open_read_only(data)


def test_an_owner_that_is_another_process_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "data")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"

        with raises(StartRefused, match=f"owned by process {owner.pid}"):
            open_ledger(tmp_path)

        owner.kill()
    open_ledger(tmp_path).close()


HOLDS = """
import sys
from ledger import Ledger
Ledger.open(sys.argv[1])
print("open", flush=True)
input()
"""
OPENS = """
import os, sys
from ledger import Ledger
from ledger.errors import StartRefused
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
try:
    Ledger.open(sys.argv[1])
except StartRefused as refusal:
    print(refusal.message)
"""


@pytest.mark.parametrize("has_event_store", [False, True])
@pytest.mark.skipif(os.getuid() != 0, reason="gives up root's rights to be held to permissions")
def test_a_folder_that_cannot_be_written_stops_the_start(has_event_store: bool) -> None:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        if has_event_store:
            open_ledger(folder).close()
            for path in (folder / "data").iterdir():
                os.chown(path, NOBODY, NOBODY)
        else:
            (folder / "data").mkdir()
        (folder / "data").chmod(0o555)

        command = [sys.executable, "-c", OPENS, str(folder / "data"), str(NOBODY)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        shutil.rmtree(folder)

    assert ended.stderr == ""
    assert ended.stdout.count("\n") == 1
    assert "data" in ended.stdout
