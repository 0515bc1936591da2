"""A disk that is really full: a tmpfs of a few MiB, as a tablespace of a PostgreSQL server, with a
ballast file that takes the free space. Only root may mount one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.servers.postgres_server import NOBODY, TestServer

SIZE_MIB = 48
PAGE_BYTES = 8192
BALLAST_BYTES = 65_536


class SmallDisk:
    """A tablespace that `fill` fills and `free` empties again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, *, but_pages: int = 0) -> None:
        """Take all free space but so many pages of a table."""
        self.free()
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"\0" * BALLAST_BYTES)
            except OSError:
                size = ballast.tell()
            ballast.truncate(max(0, size - but_pages * PAGE_BYTES))

    def free(self) -> None:
        """Release the space."""
        self._ballast.unlink(missing_ok=True)


def may_mount() -> bool:
    """Whether this process may mount a file system."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"]).returncode == 0


@contextmanager
def a_small_disk(server: TestServer, name: str) -> Iterator[SmallDisk]:
    """A tablespace `name` of the server on a disk of its own. The server must run, and the
    tablespace be empty, when this ends.
    """
    folder = server.folder / name
    folder.mkdir()
    options = f"size={SIZE_MIB}m,uid={NOBODY},gid={NOBODY},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        with psycopg.connect(server.tcp_dsn, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'".encode())
            connection.execute(f"GRANT CREATE ON TABLESPACE {name} TO PUBLIC".encode())
        yield SmallDisk(folder)
        with psycopg.connect(server.tcp_dsn, autocommit=True) as connection:
            connection.execute(f"DROP TABLESPACE {name}".encode())
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
