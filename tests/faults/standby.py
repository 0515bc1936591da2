"""A standby of a PostgreSQL server, made with `pg_basebackup`, that streams from it and takes over.
Synchronous: a commit that was answered is on the standby's disk too.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from api.demo.waiting import wait_for
from tests.contract.postgres_server import NOBODY, TestServer, _demoted, _free_port

NAME = "standby"
PATIENCE_SECONDS = 60.0
_STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


@contextmanager
def a_standby(primary: TestServer) -> Iterator[TestServer]:
    """A second server that streams from `primary`, which answers no commit without it any more.
    Gone afterwards, and `primary` is its own again if it still runs.
    """
    standby = _copied(primary)
    standby.start()
    try:
        with psycopg.connect(primary.tcp_dsn, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'".encode())
            connection.execute("SELECT pg_reload_conf()")
            wait_for(
                "A synchronous standby",
                lambda: connection.execute(_STREAMS).fetchone() == (1,),
                seconds=PATIENCE_SECONDS,
            )
        yield standby
    finally:
        standby.stop()


def promote(standby: TestServer) -> None:
    """Make the standby the primary, on which may be written when this returns."""
    with psycopg.connect(standby.tcp_dsn, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("SELECT pg_promote(true, 60)")


def either(one: TestServer, other: TestServer) -> str:
    """The connection string that leads to whichever of the two may be written."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in (one, other))
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


def _copied(primary: TestServer) -> TestServer:
    folder = primary.folder / NAME
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    standby = replace(primary, folder=folder, port=_free_port(), process=None)
    source = f"{primary.tcp_dsn}?application_name={NAME}"
    options = ("-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
    command = [str(standby.bin / "pg_basebackup"), "-D", str(folder / "data"), *options]
    subprocess.run(command, check=True, capture_output=True, **_demoted(folder))
    return standby
