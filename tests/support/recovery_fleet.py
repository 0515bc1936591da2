"""A fleet that tripped, on simulated time: the real dispatcher and the real driver of recoveries,
step by step, and targets that a test breaks and repairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from ledger import Dispatcher, Ledger
from ledger.application.commands.runs import Claimed
from ledger.clock import parse_rfc3339
from ledger.dispatch.executors.outcomes import Outcome
from ledger.dispatch.leases.membership import ClusterNode
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.domain.job.outcomes import Failure, Success
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.selection import Selector
from ledger.store.audit_query import AuditQuery
from ledger.store.postgres.dsn import PostgresDsn
from tests.support.builders import ManualClock, SeededChance, a_spec
from tests.support.fake_pool import TimedPool

HOURLY = {"kind": "cron", "expr": "0 * * * *"}
RATE_LIMITED = Selector(failure_class="rate_limited")
TOOK = timedelta(seconds=2)
A_MOMENT = timedelta(milliseconds=10)
LIMITED = Failure("429 Too Many Requests", "rate_limited", "api.example.com", None, 5)
DONE = Success("", 0, "0" * 64, 5)

_seeds = count(1)
Meets = Callable[[Claimed], bool]


class RecoveryFleet:
    """One node with its dispatcher and its driver. `location` is a folder, or a database."""

    def __init__(self, place: Path | PostgresDsn, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.fails: Meets = lambda _: True
        self._place = place
        self._open()

    def _open(self) -> None:
        chance = SeededChance(next(_seeds))
        self.ledger = Ledger.open(self._place, clock=self.clock, chance=chance)
        self.work = TimedPool(self.clock, self._fate)
        self.dispatcher = Dispatcher(self.ledger, self.work, concurrency=500)
        self.driver = RecoveryDriver(self.ledger)

    def _fate(self, claimed: Claimed) -> tuple[timedelta, Outcome]:
        """Each run takes two seconds, and fails if `fails` says so."""
        return TOOK, LIMITED if self.fails(claimed) else DONE

    def close(self) -> None:
        self.driver.close()
        self.dispatcher.drain(0)
        self.ledger.close()

    def die(self) -> None:
        """The process is killed; the next one starts where its events end."""
        self.driver._leader_lock.close()
        if isinstance(self.dispatcher.nodes, ClusterNode):
            self.dispatcher.nodes._table.close()
        self.ledger.close()
        self._open()

    # -- a fleet --------------------------------------------------------------------------------

    def trip(self, how_many: int, schedule: dict[str, Any] = HOURLY, **fields: Any) -> list[UUID]:
        """So many jobs of one schedule that all tripped when they were due."""
        policy = {"trip_after": 1, **fields.pop("policy", {})}
        name = fields.pop("name", "job")
        ids = [
            self.ledger.schedule(
                a_spec(name=f"{name} {number:03}", schedule=schedule, policy=policy, **fields)
            ).job_id
            for number in range(how_many)
        ]
        self.fails = lambda _: True
        while any(self.ledger.job_cache.jobs[job_id].status != "failed" for job_id in ids):
            self.step()
        self.fails = lambda _: False
        return ids

    def start(self, *named: UUID, reason: str | None = None, **terms: Any) -> dict[str, Any]:
        """Start a recovery of these jobs, or of all that a rate limit tripped."""
        selector = Selector(job_ids=named) if named else RATE_LIMITED
        return self.ledger.start_recovery(selector, Terms(**terms), reason=reason)

    # -- time -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do everything that is due now, without letting time pass."""
        if isinstance(self.dispatcher.nodes, ClusterNode):
            self.dispatcher.nodes.renew()
        while self.dispatcher.run_once() or self.driver.run_once():
            pass

    def step(self) -> None:
        """To the next instant at which something is due, and do whatever is due then."""
        self.settle()
        self.clock.advance(max(self._until_next(), A_MOMENT))
        self.settle()

    def live(self, span: timedelta) -> None:
        """Let time pass."""
        end = self.clock.now() + span
        self.settle()
        while (step := max(self._until_next(), A_MOMENT)) < end - self.clock.now():
            self.clock.advance(step)
            self.settle()
        self.clock.advance(max(end - self.clock.now(), timedelta()))
        self.settle()

    def live_until_ended(self, recovery_id: str, longest: timedelta) -> dict[str, Any]:
        """Let time pass until a recovery has ended; how it ended."""
        end = self.clock.now() + longest
        while self.shown(recovery_id)["ended_at"] is None:
            assert self.clock.now() < end, self.shown(recovery_id)
            self.step()
        return self.shown(recovery_id)

    def _until_next(self) -> timedelta:
        now, wait = self.clock.now(), self.driver.wait_seconds()
        instants = [
            self.ledger.job_cache.due.next_at(),
            self.work.next_end(),
            self.dispatcher._cycle.next_release_at(),
            now + timedelta(seconds=wait) if wait is not None else None,
        ]
        return min((at - now for at in instants if at is not None), default=timedelta(minutes=1))

    # -- what happened --------------------------------------------------------------------------

    def shown(self, recovery_id: str) -> dict[str, Any]:
        return self.ledger.recoveries.one(recovery_id)

    def steps(self) -> list[dict[str, Any]]:
        """What the steps recorded."""
        return [event["data"] for event in self.events("recovery.stepped")]

    def statuses(self, ids: Sequence[UUID]) -> list[str]:
        return [str(self.ledger.job(job_id)["status"]) for job_id in ids]

    def events(self, *topics: str) -> list[dict[str, Any]]:
        return list(self.ledger.queries.export(AuditQuery(topics=topics)))

    def starts_per_minute(self, since: datetime) -> Counter[datetime]:
        """How many runs started in which minute."""
        return Counter(
            at.replace(second=0, microsecond=0)
            for event in self.events("job.run_started")
            if (at := parse_rfc3339(event["timestamp"])) >= since
        )


@contextmanager
def a_recovery_fleet(place: Path | PostgresDsn) -> Iterator[RecoveryFleet]:
    """A simulated fleet, closed afterwards."""
    fleet = RecoveryFleet(place)
    try:
        yield fleet
    finally:
        fleet.close()
