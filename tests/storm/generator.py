"""Generates a ledger: the real dispatcher, cycle by cycle, on simulated time.

Each command waits for the one before, so a seed always gives the same events.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast
from uuid import UUID

import orjson

from ledger import Dispatcher, Ledger
from ledger.clock import rfc3339
from ledger.store.sqlite.store import SQLiteEventStore
from tests.storm.fleet import Member, fleet
from tests.storm.operators import OF_TEAM, Operators
from tests.storm.outages import Interval, Outage, outages
from tests.storm.outcomes import RunOutcomes
from tests.support.builders import NOON, ManualClock, open_ledger
from tests.support.fake_pool import TimedPool

TICK = timedelta(seconds=10)
"""The shortest time between cycles: runs that end in it are recorded together."""
CONCURRENCY = 500
AT_A_TICK = 5
"""Jobs that are scheduled at one instant."""
PLANTED = "planted.json"


@dataclass(frozen=True)
class Size:
    """How many jobs, over how many days (2 at least)."""

    jobs: int = 400
    days: float = 30


class FleetGenerator:
    """Generates one ledger, in `data` of the folder, and beside it a file of what was planted."""

    def __init__(self, folder: Path, seed: int, size: Size) -> None:
        self._folder = folder
        self._seed = seed
        self._size = size
        self._chance = Random(seed)
        self._clock = ManualClock(NOON)
        self._tick = 0
        self._outages = outages(NOON, size.days)
        self._members: dict[UUID, Member] = {}
        self._open_at_downtime: list[str] = []
        self._open()

    def generate(self) -> dict[str, Any]:
        """Run it all; what was planted, which is also written to a file."""
        self._schedule_all()
        self._operators = Operators(self._chance, self._outages, self._members, self._size.days)
        self._run_until(self._outages.downtime.begins_at)
        self._go_down()
        self._run_until(NOON + timedelta(days=self._size.days))
        self._finish_runs()
        planted = self._planted()
        self._ledger.close()
        text = orjson.dumps(planted, option=orjson.OPT_INDENT_2)
        (self._folder / PLANTED).write_bytes(text)
        return planted

    def _open(self) -> None:
        """Start a node. It need not wait for the disk: its ledger can be generated again."""
        self._ledger: Ledger = open_ledger(
            self._folder, self._clock, seed=self._chance.randrange(2**32)
        )
        cast(SQLiteEventStore, self._ledger.event_store)._writer.execute("PRAGMA synchronous = OFF")
        outcomes = RunOutcomes(self._clock, self._chance, self._outages, self._members)
        self._work = TimedPool(self._clock, outcomes.for_run)
        self._dispatcher = Dispatcher(self._ledger, self._work, concurrency=CONCURRENCY)

    def _schedule_all(self) -> None:
        for member in fleet(self._chance, self._size.jobs, NOON, self._size.days):
            if member.number % AT_A_TICK == 0:
                self._go_to(self._clock.now())
                self._dispatcher.run_once()
            context = self._ledger.context("moved here", actor=OF_TEAM[member.team], source="cli")
            answer = self._ledger.schedule(member.spec, context=context)
            self._members[answer.job_id] = member

    def _run_until(self, until: datetime) -> None:
        """Advance from one instant with something to do to the next."""
        while (at := self._next_at()) is not None and at < until:
            self._go_to(at)
            if self._clock.now() >= until:
                return
            self._operators.act(self._ledger)
            self._dispatcher.run_once()

    def _next_at(self) -> datetime | None:
        instants = (
            self._ledger.job_cache.due.next_at(),
            self._work.next_end(),
            self._dispatcher._cycle.next_release_at(),
            self._operators.next_at(),
        )
        return min((at for at in instants if at is not None), default=None)

    def _go_to(self, at: datetime) -> None:
        """Advance to the first later tick that is not before `at`, and some milliseconds."""
        self._tick = max(self._tick + 1, -((NOON - at) // TICK))
        late = timedelta(microseconds=self._chance.randrange(1_000, 900_000))
        target = NOON + self._tick * TICK + late
        self._clock.advance(target - self._clock.now())

    def _go_down(self) -> None:
        """Stop the node while runs are open, and start it again hours later."""
        self._open_at_downtime = [run.run_id for _, run in self._ledger.job_cache.runs.open_runs()]
        self._ledger.close()
        self._go_to(self._outages.downtime.ends_at)
        self._open()
        self._dispatcher.run_once()

    def _finish_runs(self) -> None:
        """Claim nothing more, and wait for the end of every run."""
        self._dispatcher.drain(0)
        while (at := self._work.next_end()) is not None:
            self._go_to(at)
            self._dispatcher.run_once()

    # -- what was planted -----------------------------------------------------------------------

    def _planted(self) -> dict[str, Any]:
        return {
            "seed": self._seed,
            "jobs": self._size.jobs,
            "days": self._size.days,
            "began_at": rfc3339(NOON),
            "ended_at": rfc3339(self._clock.now()),
            "events": self._ledger.writer.position,
            "storms": [self._outage_view(storm) for storm in self._outages.storms],
            "credential": self._outage_view(self._outages.credential),
            "flapping": self._outage_view(self._outages.flapping),
            "downtime": {
                **_interval_view(self._outages.downtime),
                "lost_runs": self._open_at_downtime,
            },
            **asdict(self._operators.actions),
        }

    def _outage_view(self, outage: Outage) -> dict[str, Any]:
        of_target = [
            str(job) for job, member in self._members.items() if member.target == outage.target
        ]
        return {
            **_interval_view(outage.interval),
            "target": outage.target,
            "failure_class": outage.failure_class,
            "jobs": of_target,
        }


def _interval_view(interval: Interval) -> dict[str, str]:
    return {"begins_at": rfc3339(interval.begins_at), "ends_at": rfc3339(interval.ends_at)}
