"""Commands as they are typed, in this process: words in, exit code and both outputs out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from typer.testing import CliRunner

from api.cli.program import build
from api.settings import SETTINGS
from ledger import Ledger
from ledger.clock import SystemClock
from tests.support.builders import FAILURE, ManualClock, a_spec
from tests.support.runs import run

UNSET: dict[str, str | None] = {setting.name: None for setting in SETTINGS}


@dataclass(frozen=True)
class Typed:
    """The exit code of a command, and its output."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its output as one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Shell:
    """A shell whose environment has one data folder and no other setting of jobledger."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.data = folder / "data"
        self._environment = {**UNSET, "JOBLEDGER_DATA": str(self.data), **environment}
        self._program = build()

    def type(self, *words: str, given: str | bytes | None = None) -> Typed:
        """Type a command. `given` is its standard input, which is not a terminal."""
        done = CliRunner().invoke(
            self._program, words, input=given, env=self._environment, prog_name="jobledger"
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Typed(done.exit_code, done.stdout, done.stderr)

    def ok(self, *words: str, given: str | bytes | None = None) -> Typed:
        """A command that must succeed."""
        typed = self.type(*words, given=given)
        assert typed.code == 0, (words, typed)
        return typed

    def schedule(self, name: str, *more: str) -> dict[str, Any]:
        """A job that fires every hour and does nothing."""
        words = ("schedule", name, "--every", "1h", "--noop", *more, "--json")
        job: dict[str, Any] = self.ok(*words).document["job"]
        return job

    def topics(self, name: str) -> list[str]:
        """The topics of a job's events."""
        events = self.ok("history", name, "--json").document["events"]
        return [event["topic"] for event in events]


@contextmanager
def library(data: Path) -> Iterator[Ledger]:
    """A ledger that owns the folder without a server, two days ago."""
    clock = ManualClock(SystemClock().now() - timedelta(days=2))
    with Ledger.open(data, clock=clock) as ledger:
        yield ledger


def tripped_job(data: Path, name: str = "broken", **fields: Any) -> str:
    """The id of a new job whose breaker tripped at its first error."""
    with library(data) as ledger:
        spec = a_spec(name=name, policy={"trip_after": 1}, **fields)
        job_id = str(ledger.schedule(spec).job_id)
        assert isinstance(ledger.clock, ManualClock)
        ledger.clock.advance(timedelta(hours=1))
        run(ledger, UUID(job_id), FAILURE)
    return job_id
