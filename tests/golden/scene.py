"""The world of a transcript: a folder, and a clock that a step moves.

Commands make their own clock and their own chance, so these are replaced where the ledger reads
them. Everything else that a machine could add to an output is taken from the environment.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from shutil import copyfile
from types import SimpleNamespace
from uuid import UUID

import pytest

from api.cli.output.times import read_duration
from ledger import Ledger
from ledger.application.commands.runs import Claimed
from ledger.clock import SystemClock
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.domain.job.outcomes import Failure, Success
from ledger.store.sqlite.folder import EVENT_STORE_FILE, READ_MODELS_FILE
from tests.golden.stand_ins import HOME, StandIns
from tests.support import runs
from tests.support.builders import ManualClock, SeededChance
from tests.support.typed_commands import Shell, Typed

FILES = Path(__file__).parent / "cli" / "files"
"""Files that commands of transcripts read."""
ENVIRONMENT = {
    "PATH": os.defpath,
    "HOME": HOME,
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
    "COLUMNS": "80",
}
SUCCESS = Success("12 rows\n", 8, "a" * 64, 1500)
FAILURE = Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 700)
DATA = Path("data")


class Scene:
    """One folder in which commands are typed, and what happens there between them."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.stand_ins = StandIns(folder)
        self._chance = SeededChance(7)
        self._owner = ExitStack()

    def new_id(self) -> UUID:
        """An id that the ledger asked for."""
        made = self._chance.new_id()
        self.stand_ins.issued.append(str(made))
        return made

    def random_bytes(self, count: int) -> bytes:
        """Bytes that the ledger asked for."""
        return self._chance.random_bytes(count)

    def type(self, words: list[str], given: bytes | None, environment: dict[str, str]) -> Typed:
        """Type a command, with that standard input."""
        return Shell(Path(), **environment).type(*words, given=given)

    def happen(self, sentence: str) -> None:
        """Let happen what a step says."""
        for pattern, action in STEPS.items():
            found = re.fullmatch(pattern, sentence)
            if found is not None:
                try:
                    return action(self, *found.groups())
                except AssertionError as problem:
                    raise AssertionError(f"% {sentence}: {problem}") from problem
        raise AssertionError(f"There is no step {sentence!r}; there are:\n" + "\n".join(STEPS))

    def close(self) -> None:
        """End the other process, if there is one."""
        self._owner.close()

    # -- steps ----------------------------------------------------------------------------------

    def pass_time(self, span: str) -> None:
        self.clock.advance(timedelta(seconds=read_duration(span, "a step")))

    def succeed(self, name: str) -> None:
        with self._ledger() as ledger:
            self._run(ledger, name, SUCCESS)

    def fail(self, name: str, times: str | None) -> None:
        with self._ledger() as ledger:
            for _ in range(int(times or 1)):
                self._run(ledger, name, FAILURE)

    def start(self, name: str) -> None:
        with self._ledger() as ledger:
            self._claim(ledger, name)

    def step_recovery(self) -> None:
        with self._ledger() as ledger:
            driver = RecoveryDriver(ledger)
            if driver.run_once() == 0:  # this node has just begun to lead, and waits a period
                self.clock.advance(timedelta(seconds=driver.wait_seconds() or 0))
                assert driver.run_once() == 1, "no recovery is running"
            driver.close()

    def be_owned(self) -> None:
        self._owner.enter_context(self._ledger())

    def tamper(self, position: str, file: str) -> None:
        edit = f"UPDATE events SET actor = 'mallory' WHERE position = {int(position)}"
        _execute(Path(file), "DROP TRIGGER events_are_never_changed", edit)

    def forge_jobs(self) -> None:
        name = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'jobs%'"
        with closing(sqlite3.connect(DATA / READ_MODELS_FILE)) as connection:
            [[table]] = connection.execute(name).fetchall()
        _execute(DATA / READ_MODELS_FILE, f"UPDATE {table} SET name = 'forged'")

    def forge_cached_jobs(self) -> None:
        edit = "UPDATE snapshots SET state = replace(state, '\"active\"', '\"paused\"')"
        _execute(DATA / EVENT_STORE_FILE, edit)

    def overwrite(self, name: str) -> None:
        (DATA / name).write_bytes(b"not a database at all, " * 100)

    def permit(self, name: str) -> None:
        (DATA / name).chmod(0o644)

    def _ledger(self) -> Ledger:
        return Ledger.open(DATA, clock=self.clock)

    def _claim(self, ledger: Ledger, name: str) -> Claimed:
        """Start the next run of a job, at its time."""
        [job] = [one for one in ledger.job_cache.snapshot() if one.name == name]
        runs.wait_until_due(ledger, job.id)
        return runs.claim(ledger, job.id)

    def _run(self, ledger: Ledger, name: str, outcome: Success | Failure) -> None:
        claimed = self._claim(ledger, name)
        self.clock.advance(timedelta(milliseconds=outcome.duration_ms))
        runs.end(ledger, claimed, outcome)


STEPS: dict[str, Callable[..., None]] = {
    r"(\w+) later": Scene.pass_time,
    r"(.+) runs": Scene.succeed,
    r"(.+) is running": Scene.start,
    r"(.+) fails(?: (\d+) times)?": Scene.fail,
    r"the recovery resumes one job": Scene.step_recovery,
    r"another process owns the folder": Scene.be_owned,
    r"that process ends": Scene.close,
    r"event (\d+) of (\S+) is tampered with": Scene.tamper,
    r"the jobs are forged": Scene.forge_jobs,
    r"the cached jobs are forged": Scene.forge_cached_jobs,
    r"(\S+) is overwritten": Scene.overwrite,
    r"(\S+) may be read by others": Scene.permit,
}
"""What can happen between two commands."""


@contextmanager
def a_scene(folder: Path) -> Iterator[Scene]:
    """A scene in an empty folder, whatever machine it is on."""
    scene = Scene(folder)
    for file in FILES.iterdir():
        copyfile(file, folder / file.name)
    with pytest.MonkeyPatch.context() as patched, closing(scene):
        for name in tuple(os.environ):
            patched.delenv(name)
        for name, value in ENVIRONMENT.items():
            patched.setenv(name, value)
        patched.chdir(folder)
        patched.setattr(SystemClock, "now", lambda _: scene.clock.now())
        patched.setattr("ledger.chance.uuid4", scene.new_id)
        patched.setattr("ledger.chance.secrets", SimpleNamespace(token_bytes=scene.random_bytes))
        patched.setattr("typer.rich_utils.FORCE_TERMINAL", False)
        patched.setattr("api.cli.connection.folder_owner.WAIT_SECONDS", 0.0)
        yield scene


def _execute(file: Path, *statements: str) -> None:
    """Change a file behind the ledger's back, as a user with access to the disk could."""
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
