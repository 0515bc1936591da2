"""The real commands as processes: a server, and commands typed beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import api
from api.cli.connection.client import ApiClient
from api.cli.connection.credentials import ADMIN_FILE
from api.cli.output.terminal import console, say
from api.demo.waiting import Broken, wait_for
from ledger.store.sqlite.folder import Folder

START_SECONDS = 20.0
STOP_SECONDS = 20.0
COMMAND_SECONDS = 30.0
LOG_LINES = 15
"""Lines of the server's log that are shown when a step fails."""

ROOT = Path(str(api.__file__)).resolve().parent.parent
PROGRAM = (sys.executable, "-m", "api.cli")
ENVIRONMENT = {"JOBLEDGER_HTTP_ALLOW": "127.0.0.1", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}
"""The whole environment, so that outer settings do not change the demonstration."""


class DemoServer:
    """`jobledger serve` on a free port, in a folder of its own."""

    def __init__(self, data: Path, process: subprocess.Popen[bytes]) -> None:
        self.data = data
        self.process = process
        self.url = wait_for("The start of the server", self._look, seconds=START_SECONDS)

    def client(self, token: str | None = None) -> ApiClient:
        """A client of its API, as the admin unless there is another token."""
        return ApiClient(self.url, token or (self.data / ADMIN_FILE).read_text().strip())

    def stop(self) -> int:
        """Stop it; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Broken(f"The server did not stop within {STOP_SECONDS:g} s.") from None

    def _look(self) -> str | None:
        if self.process.poll() is not None:
            raise Broken(f"The server ended early, with exit code {self.process.returncode}.")
        owner = Folder(self.data).owner()
        is_ours = owner.get("pid") == self.process.pid  # a killed server leaves its address behind
        return str(owner["url"]) if is_ours and "url" in owner else None


@contextmanager
def a_server(folder: Path, *flags: str) -> Iterator[DemoServer]:
    """A server that always ends with the context; if a step fails, its log is shown."""
    log = folder / "server.log"
    data = folder / "data"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", "0", "--data", str(data), *flags],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield DemoServer(data, process)
        except Broken:
            say("\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:]), style="dim")
            raise
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def type_command(data: Path, *words: str) -> None:
    """Run a command and show its output. Raises Broken unless it exits with 0."""
    screen = console()
    shown = " ".join(f"'{word}'" if " " in word else word for word in words)
    say(f"  $ jobledger {shown}", style="bold")
    sys.stdout.flush()
    done = subprocess.run(
        [*PROGRAM, *words, "--data", str(data)],
        cwd=ROOT,
        env={**ENVIRONMENT, "TERM": "xterm-256color" if screen.color_system else "dumb"},
        capture_output=not screen.is_terminal,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if not screen.is_terminal:
        say((done.stdout + done.stderr).decode(errors="replace").rstrip())
    if done.returncode != 0:
        raise Broken(f"jobledger {shown} exited with {done.returncode}.")
