"""Makes the fleet's ledger: the real dispatcher, round by round, on simulated time.

The writer is asked and waited for step by step, so a seed always gives the same events.
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
from tests.storm.fates import Fates
from tests.storm.fleet import Member, fleet
from tests.storm.operators import OF_TEAM, Operators
from tests.storm.weather import Stretch, Trouble, weather
from tests.support.builders import NOON, ManualClock, open_ledger
from tests.support.fake_pool import TimedRuns

TICK = timedelta(seconds=10)
"""How often the dispatcher looks, at most: runs that end meanwhile are recorded together."""
CONCURRENCY = 500
AT_A_TICK = 5
"""Jobs that are scheduled at one instant."""
PLANTED = "planted.json"


@dataclass(frozen=True)
class Size:
    """How large a fleet, over how many days (2 at least)."""

    jobs: int = 400
    days: float = 30


class Making:
    """One fleet in the making. The ledger is in `data` of the folder, what was planted beside
    it.
    """

    def __init__(self, folder: Path, seed: int, size: Size) -> None:
        self._folder = folder
        self._seed = seed
        self._size = size
        self._chance = Random(seed)
        self._clock = ManualClock(NOON)
        self._tick = 0
        self._weather = weather(NOON, size.days)
        self._members: dict[UUID, Member] = {}
        self._silenced: list[str] = []
        self._open()

    def make(self) -> dict[str, Any]:
        """Let the fleet live; gives what was planted, which is also written down."""
        self._schedule_all()
        self._operators = Operators(self._chance, self._weather, self._members, self._size.days)
        self._live(self._weather.silence.begins_at)
        self._fall_silent()
        self._live(NOON + timedelta(days=self._size.days))
        self._wind_down()
        planted = self._planted()
        self._ledger.close()
        told = orjson.dumps(planted, option=orjson.OPT_INDENT_2)
        (self._folder / PLANTED).write_bytes(told)
        return planted

    def _open(self) -> None:
        """Start a node. What it makes can be made again, so it does not wait for the disk."""
        self._ledger: Ledger = open_ledger(
            self._folder, self._clock, seed=self._chance.randrange(2**32)
        )
        cast(SQLiteEventStore, self._ledger.event_store)._writer.execute("PRAGMA synchronous = OFF")
        fates = Fates(self._clock, self._chance, self._weather, self._members)
        self._work = TimedRuns(self._clock, fates.of)
        self._dispatcher = Dispatcher(self._ledger, self._work, concurrency=CONCURRENCY)

    def _schedule_all(self) -> None:
        for member in fleet(self._chance, self._size.jobs, NOON, self._size.days):
            if member.number % AT_A_TICK == 0:
                self._go_to(self._clock.now())
                self._dispatcher.run_once()
            call = self._ledger.context("moved here", actor=OF_TEAM[member.team], source="cli")
            answer = self._ledger.schedule(member.spec, context=call)
            self._members[answer.job_id] = member

    def _live(self, until: datetime) -> None:
        """Go from one instant at which something is to be done to the next."""
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
        """To the first tick that is neither before `at` nor the present one, and some
        milliseconds.
        """
        self._tick = max(self._tick + 1, -((NOON - at) // TICK))
        late = timedelta(microseconds=self._chance.randrange(1_000, 900_000))
        target = NOON + self._tick * TICK + late
        self._clock.advance(target - self._clock.now())

    def _fall_silent(self) -> None:
        """The node dies as it stands, with runs open, and comes back after hours."""
        self._silenced = [run.run_id for _, run in self._ledger.job_cache.runs.open_runs()]
        self._ledger.close()
        self._go_to(self._weather.silence.ends_at)
        self._open()
        self._dispatcher.run_once()

    def _wind_down(self) -> None:
        """Claim nothing more, and see every run to its end."""
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
            "storms": [self._told(storm) for storm in self._weather.storms],
            "credential": self._told(self._weather.credential),
            "flapping": self._told(self._weather.flapping),
            "silence": {**_stretch(self._weather.silence), "lost_runs": self._silenced},
            **asdict(self._operators.noted),
        }

    def _told(self, trouble: Trouble) -> dict[str, Any]:
        of_target = [
            str(job) for job, member in self._members.items() if member.target == trouble.target
        ]
        return {
            **_stretch(trouble.when),
            "target": trouble.target,
            "failure_class": trouble.failure_class,
            "jobs": of_target,
        }


def _stretch(when: Stretch) -> dict[str, str]:
    return {"begins_at": rfc3339(when.begins_at), "ends_at": rfc3339(when.ends_at)}
