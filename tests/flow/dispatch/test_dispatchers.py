"""Four dispatcher processes on one PostgreSQL, while one of them is killed and one stopped."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.application.commands.jobs import ScheduleJob
from ledger.maintenance.verify import verify_event_store
from ledger.store.records import RecordedEvent
from tests.contract.stores import own_name
from tests.support.builders import a_spec
from tests.support.dispatchers import dispatchers, ended
from tests.support.servers.databases import a_database

FIRES = 20_000
LOT = 1000
DUE_IN = timedelta(seconds=20)
LIMIT_SECONDS = 600.0
"""A hang fails by this; nothing is measured by it."""
ENDS = ("job.run_succeeded", "job.run_failed", "job.run_lost", "job.run_blocked")


@dataclass
class FireHistory:
    """The fires in the store."""

    starts: Counter[tuple[UUID, str]] = field(default_factory=Counter)
    """How often each slot was started by its schedule."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How often each run ended."""
    runs: set[str] = field(default_factory=set)
    nodes: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)

    def take(self, event: RecordedEvent) -> None:
        self.topics[event.topic] += 1
        if event.topic == "job.run_started":
            self.runs.add(event.data["run_id"])
            self.nodes[event.data["node"]] += 1
            if event.data["trigger"] == "schedule":
                self.starts[event.stream, event.data["scheduled_for"]] += 1
        elif event.topic in ENDS:
            self.outcomes[event.data["run_id"]] += 1


def history_of(ledger: Ledger) -> FireHistory:
    history, after = FireHistory(), 0
    while page := ledger.event_store.read(after=after, limit=5000):
        for event in ledger.mapper.to_recorded_events(page):
            history.take(event)
        after = page[-1].id
    return history


def count_of(ledger: Ledger, topic: str) -> int:
    return ledger.event_store.topic_counts(after=0, upto=2**62).get(topic, 0)


@pytest.fixture
def dsn(postgres_dsns: tuple[str, str]) -> Iterator[str]:
    with a_database(postgres_dsns[1], own_name()) as address:
        yield address


def schedule_all(ledger: Ledger, count: int) -> None:
    at = (ledger.clock.now() + DUE_IN).isoformat()
    for first in range(0, count, LOT):
        call = ledger.context()
        specs = (
            a_spec(
                name=f"fire {number}", schedule={"kind": "at", "at": at}, executor={"kind": "noop"}
            )
            for number in range(first, first + LOT)
        )
        answers = ledger.submit(
            [ScheduleJob(ledger.chance.new_id(), spec, call) for spec in specs]
        ).result()
        assert not [one for one in answers if isinstance(one, BaseException)]


@pytest.mark.proof
def test_twenty_thousand_fires_are_started_once_each_though_one_node_dies_and_one_hangs(
    dsn: str, tmp_path: Path
) -> None:
    with ExitStack() as closing:
        ledger = closing.enter_context(Ledger.open(dsn))
        schedule_all(ledger, FIRES)
        killed, stopped, *others = dispatchers(dsn, tmp_path, 4, closing)

        def begun(count: int) -> bool:
            return count_of(ledger, "job.run_started") >= count

        wait_for("A tenth of the fires", lambda: begun(FIRES // 10), seconds=LIMIT_SECONDS)
        killed.kill()
        wait_for("A third of the fires", lambda: begun(FIRES // 3), seconds=LIMIT_SECONDS)
        os.kill(stopped.pid, signal.SIGSTOP)
        wait_for(
            "An end of every fire",
            lambda: count_of(ledger, "job.completed") >= FIRES,
            seconds=LIMIT_SECONDS,
        )
        os.kill(stopped.pid, signal.SIGCONT)
        codes = ended([stopped, *others])

        history = history_of(ledger)
        print({name: count for name, count in history.topics.items() if name.startswith("job.")})
        print("claims by node:", sorted(history.nodes.values(), reverse=True))
        assert (len(history.starts), set(history.starts.values())) == (FIRES, {1})
        assert set(history.outcomes) == history.runs
        assert set(history.outcomes.values()) == {1}
        assert codes == [0, 0, 0]
        assert verify_event_store(ledger.event_store).is_sound
