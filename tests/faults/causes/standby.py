"""A streaming standby beside a test's PostgreSQL server: it confirms every commit, and can take
over.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from api.demo.waiting import wait_for
from tests.support.servers.postgres_server import TestServer, demoted, free_port, running_server

NAME = "standby"
PATIENCE_SECONDS = 60.0
_CONFIRMS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


@contextmanager
def a_pair() -> Iterator[tuple[TestServer, TestServer]]:
    """A primary whose commits wait for its standby, and that standby."""
    with running_server() as primary:
        folder = Path(tempfile.mkdtemp(prefix="jl-pg-"))
        try:
            standby = _standby_of(primary, folder)
            try:
                _demand_confirmation(primary)
                yield primary, standby
            finally:
                standby.stop()
        finally:
            shutil.rmtree(folder)


def address_of(*servers: TestServer) -> str:
    """One address that leads to whichever of them accepts writes."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


def promote(standby: TestServer) -> None:
    """Promote the standby; returns when it accepts writes."""
    with psycopg.connect(standby.tcp_dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_promote(true, 60)")


def _standby_of(primary: TestServer, folder: Path) -> TestServer:
    standby = TestServer(folder, primary.bin, free_port())
    shutil.chown(folder, *_owner(primary))
    source = f"{primary.tcp_dsn}?application_name={NAME}"
    command = [str(primary.bin / "pg_basebackup"), "-D", str(folder / "data"), "-d", source]
    subprocess.run(
        [*command, "-R", "-X", "stream", "-c", "fast"],
        check=True,
        capture_output=True,
        **demoted(folder),
    )
    standby.start()
    return standby


def _owner(primary: TestServer) -> tuple[int, int]:
    found = primary.folder.stat()
    return found.st_uid, found.st_gid


def _demand_confirmation(primary: TestServer) -> None:
    with psycopg.connect(primary.tcp_dsn, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'".encode())
        connection.execute("SELECT pg_reload_conf()")
        wait_for(
            "A synchronous standby",
            lambda: connection.execute(_CONFIRMS).fetchone() == (1,),
            seconds=PATIENCE_SECONDS,
        )
