"""Dispatchers whose connection to the database is cut repeatedly: no slot is missed, no run is
repeated, and every skip is recorded (X9).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Event as Pause
from urllib.parse import urlsplit

import pytest

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.clock import SystemClock, from_microseconds, rfc3339
from ledger.domain.job.job import Job
from ledger.maintenance.verify import verify_event_store
from tests.checker.matching import Event, Grid, Report, check
from tests.checker.target import Log, a_target
from tests.contract.stores import own_name
from tests.faults.causes.proxy import Proxy, a_proxy
from tests.support.builders import a_spec
from tests.support.dispatchers import dispatchers, ended
from tests.support.servers.databases import a_database

NODES = 3
JOBS = 200
STORM_SECONDS = 300.0
CUT_SECONDS = (5.0, 60.0)
PEACE_SECONDS = (1.0, 10.0)
STEPS_SECONDS = (5, 7, 10, 15, 20, 30, 60)
CALM_LIMIT_SECONDS = 300.0
"""How long all due slots may take once every connection works; a hang fails by this."""
SEED = 9


def schedule_all(ledger: Ledger, target: str) -> list[Grid]:
    """Jobs that each have a grid of their own."""
    first = ledger.clock.now().replace(microsecond=0) + timedelta(seconds=10)
    grids = []
    for number in range(JOBS):
        step = STEPS_SECONDS[number % len(STEPS_SECONDS)]
        schedule = {"kind": "every", "interval_seconds": step, "anchor": "grid"}
        answer = ledger.schedule(
            a_spec(
                name=f"job {number}",
                schedule={**schedule, "anchor_at": rfc3339(first)},
                executor={"kind": "http", "url": target},
            )
        )
        grids.append(Grid(str(answer.job_id), first, timedelta(seconds=step)))
    return grids


def storm(roads: Sequence[Proxy], seconds: float, seed: int) -> None:
    """Cut connections, one or several at a time, and let them heal."""
    random, clock = Random(seed), SystemClock()
    end = clock.elapsed() + seconds
    while clock.elapsed() < end:
        hit = random.sample(list(roads), random.randint(1, len(roads)))
        for road in hit:
            road.cut(stalls=random.random() < 0.5)
        Pause().wait(min(random.uniform(*CUT_SECONDS), end - clock.elapsed()))
        for road in hit:
            road.heal()
        Pause().wait(random.uniform(*PEACE_SECONDS))


def events_of(ledger: Ledger) -> list[Event]:
    found: list[Event] = []
    after = 0
    while page := ledger.event_store.read(after=after, limit=5000):
        for event in ledger.mapper.to_recorded_events(page):
            at = from_microseconds(event.recorded_at)
            found.append(Event(event.topic, str(event.stream), at, event.data))
        after = page[-1].id
    return found


def is_settled(ledger: Ledger, upto: datetime) -> bool:
    """Whether no job has an unserved slot before an instant."""
    ledger.submit(()).result()
    return all(_is_beyond(job, upto) for job in ledger.job_cache.snapshot())


def _is_beyond(job: Job, upto: datetime) -> bool:
    if job.open_run is not None:
        return job.open_run.scheduled_for > upto
    return job.next_run_at is not None and job.next_run_at > upto


def are_members(ledger: Ledger) -> bool:
    table = ledger.event_store.node_registry()
    return table is not None and len(table.living()) == NODES


def checked(dsn: str, folder: Path, *, seconds: float, seed: int) -> Report:
    """The report of the checker after a storm of cuts."""
    log = Log(folder / "target.log")
    with ExitStack() as closing:
        closing.callback(log.close)
        target = closing.enter_context(a_target(log))
        ledger = closing.enter_context(Ledger.open(dsn))
        grids = schedule_all(ledger, target)
        port = urlsplit(dsn).port or 0
        roads = [closing.enter_context(a_proxy(port)) for _ in range(NODES)]
        nodes = [
            node
            for number, road in enumerate(roads)
            for node in dispatchers(road.leading_to(dsn), folder, 1, closing, first=number)
        ]
        wait_for("Every node", lambda: are_members(ledger), seconds=CALM_LIMIT_SECONDS)
        storm(roads, seconds, seed)
        upto = datetime.now(UTC)
        wait_for(
            "The end of what was owed", lambda: is_settled(ledger, upto), seconds=CALM_LIMIT_SECONDS
        )
        codes = ended(nodes)
        assert codes == [0] * NODES
        assert verify_event_store(ledger.event_store).is_sound
        return check(grids, events_of(ledger), log.entries(), upto=upto)


@pytest.mark.proof
def test_five_minutes_of_network_cuts_miss_no_slot_and_run_none_twice(
    postgres_dsns: tuple[str, str], tmp_path: Path
) -> None:
    with a_database(postgres_dsns[1], own_name()) as dsn:
        report = checked(dsn, tmp_path, seconds=STORM_SECONDS, seed=SEED)

    print(report)
    assert not report.wrong
    assert report.lost > 0
    assert report.skipped > 0
