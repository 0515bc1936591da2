"""A small disk that PostgreSQL keeps a ledger's events on; it really gets full, and grows."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.contract.postgres_server import NOBODY


class SmallDisk:
    """A file system of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kib: int) -> None:
        """From now on so much fits."""
        self._mount(f"remount,size={kib}k")

    def fill(self) -> None:
        """Leave no room for anything more."""
        self.resize(max(4, self._used_kib()))

    def hold_events(self, dsn: str, schema: str) -> None:
        """Have the server keep the events of a ledger here."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{self.folder}'".encode())
            connection.execute(f"ALTER TABLE {schema}.events SET TABLESPACE small".encode())

    def _used_kib(self) -> int:
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize // 1024

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def a_small_disk(kib: int) -> Iterator[SmallDisk]:
    """A disk that is gone afterwards. PermissionError where nothing may be mounted."""
    if os.geteuid() != 0:
        raise PermissionError("Only root may mount a file system.")
    folder = Path(tempfile.mkdtemp(prefix="jl-disk-"))
    disk = SmallDisk(folder)
    try:
        try:
            disk._mount(f"size={kib}k")
        except subprocess.CalledProcessError as error:
            raise PermissionError(error.stderr.decode()) from error
        os.chown(folder, NOBODY, NOBODY)
        try:
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()
