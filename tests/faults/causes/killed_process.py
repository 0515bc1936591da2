"""A process that is going to be killed: `python -m tests.faults.causes.killed_process FOLDER SEED`.

It opens a ledger, runs jobs and gives commands in several threads. What it writes to its standard
output (each line one write, so that the pipe delivers it whole whatever happens next) is what it
promised: `tried` before a command is given, `answered` after, `launched` before a run is executed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from random import Random
from typing import Any

from ledger import Ledger
from ledger.application.command_context import CommandContext
from ledger.application.commands.runs import Claimed
from ledger.application.ledger import CommandResult
from ledger.dispatch.dispatcher import Dispatcher
from ledger.dispatch.executors.outcomes import Outcome
from ledger.domain.job.outcomes import Failure, Success
from ledger.errors import LedgerError
from projections.read_models import ReadModels
from tests.support.fake_pool import FakePool

THREADS = 4
KINDS = ("schedule", "amend", "pause", "resume", "run", "run", "delete")
OUTCOMES: tuple[Outcome, ...] = (
    Success("done", 4, "0" * 64, 1),
    Failure("Error: 429", "rate_limited", "api.example.com", None, 1),
)


def tell(what: str, **facts: Any) -> None:
    """One line, in one write."""
    os.write(1, json.dumps({"what": what, **facts}).encode() + b"\n")


class Work(FakePool):
    """Runs end at once, with success or failure; those of `slow` jobs continue until the process
    dies.
    """

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance

    def launch(self, claimed: Claimed) -> None:
        tell("launched", run_id=claimed.run.run_id)
        super().launch(claimed)
        if claimed.task != "slow":
            self.end(claimed, self._chance.choice(OUTCOMES))


class Operator:
    """An operator who gives commands without end."""

    def __init__(self, ledger: Ledger, seed: str) -> None:
        self._ledger = ledger
        self._chance = Random(seed)
        self._jobs = [job.id for job in ledger.job_cache.snapshot()]

    def work(self) -> None:
        while True:
            self.give_one()

    def give_one(self) -> None:
        """One command: reported before, and again with its answer."""
        call = self._ledger.context("because")
        kind = self._chance.choice(KINDS) if self._jobs else "schedule"
        tell("tried", command_id=call.command_id, kind=kind)
        try:
            answer = self._give(kind, call)
        except LedgerError as error:
            tell("refused", command_id=call.command_id, code=error.code)
            return
        tell(
            "answered",
            command_id=call.command_id,
            job_id=str(answer.job_id),
            version=answer.version,
            position=answer.position,
            changed=answer.changed,
        )

    def _give(self, kind: str, call: CommandContext) -> CommandResult:
        if kind == "schedule" and len(self._jobs) < 200:
            answer = self._ledger.schedule(self._spec(), context=call)
            self._jobs.append(answer.job_id)
            return answer
        job_id = self._chance.choice(self._jobs)
        match kind:
            case "amend" | "schedule":
                patch = {"description": f"{self._chance.random()}"}
                return self._ledger.amend(job_id, patch, context=call)
            case "pause":
                return self._ledger.pause(job_id, context=call)
            case "resume":
                return self._ledger.resume(job_id, force=True, context=call)
            case "run":
                return self._ledger.run(job_id, context=call)
        return self._ledger.delete(job_id, context=call)

    def _spec(self) -> dict[str, Any]:
        return {
            "name": f"job {self._chance.getrandbits(64)}",
            "schedule": {"kind": "every", "interval_seconds": 1},
            "task": self._chance.choice(("quick", "quick", "slow")),
            "policy": {"trip_after": 2, "backoff_seconds": [0.1]},
        }


def main(folder: Path, seed: str) -> None:
    """Run until killed."""
    tell("born", pid=os.getpid())
    ledger = Ledger.open(folder)
    read_models = ReadModels.open(ledger, folder / "projections.db")
    read_models.start()
    Dispatcher(ledger, Work(Random(seed)), concurrency=8).start()
    operators = [Operator(ledger, f"{seed}/{number}") for number in range(THREADS)]
    for operator in operators[1:]:
        threading.Thread(target=operator.work, daemon=True).start()
    operators[0].work()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
