"""Clients that schedule jobs one after the other and remember the answers, and what the store must
contain then.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

from ledger import Ledger
from ledger.application.snapshots import dump_job
from ledger.errors import LedgerError, OutcomeUnknown, Unavailable
from ledger.maintenance.verify import verify_event_store
from ledger.store.records import RecordedEvent
from tests.support.ad_hoc_command import AdHoc
from tests.support.builders import a_spec

PAGE = 10**6


class Client:
    """Schedules jobs, each under a name of its own. `wrong` has what no fault explains."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.ledger = ledger
        self.number = number
        self.kept: list[UUID] = []
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.wrong: list[LedgerError] = []

    def ask_until(self, is_over: threading.Event) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            self._schedule(f"{self.number}-{count}")

    def _schedule(self, name: str) -> None:
        try:
            answer = self.ledger.schedule(a_spec(name=name))
        except OutcomeUnknown:
            self.unknown.add(name)
        except Unavailable:
            self.refused.add(name)
        except LedgerError as error:
            self.wrong.append(error)
        else:
            self.kept.append(answer.job_id)


@contextmanager
def clients_running(askers: Sequence[Client]) -> Iterator[None]:
    """Meanwhile the clients schedule, each in a thread."""
    is_over = threading.Event()
    with ThreadPoolExecutor(len(askers)) as pool:
        under_way = [pool.submit(asker.ask_until, is_over) for asker in askers]
        try:
            yield
        finally:
            is_over.set()
        for one in under_way:
            one.result()


def answered_count(askers: Sequence[Client]) -> int:
    """How many jobs were answered as scheduled."""
    return sum(len(asker.kept) for asker in askers)


def more_answered(askers: Sequence[Client], count: int = 1) -> Callable[[], bool]:
    """Returns a check for so many more answers since now."""
    before = answered_count(askers)
    return lambda: answered_count(askers) >= before + count


def require_truth(ledger: Ledger, askers: Sequence[Client]) -> None:
    """Every answered job is stored, nothing is stored twice, nothing refused is stored, and unknown
    outcomes explain the rest.
    """
    events = [event for event in all_events_of(ledger) if event.topic == "job.scheduled"]
    names = Counter(event.data["name"] for event in events if "-" in event.data["name"])
    kept = {job_id for asker in askers for job_id in asker.kept}
    refused = {name for asker in askers for name in asker.refused}
    unknown = {name for asker in askers for name in asker.unknown}
    print(f"kept {len(kept)}, refused {len(refused)}, unknown {len(unknown)}")
    assert [error for asker in askers for error in asker.wrong] == []
    assert max(names.values()) == 1
    assert kept <= {event.stream for event in events}
    assert not refused & set(names)
    assert names.total() - len(kept) <= len(unknown)
    assert verify_event_store(ledger.event_store).is_sound


def require_cached_jobs_are_folds(ledger: Ledger) -> None:
    """The cached jobs equal the folds of their events. Compared in the writer's thread, where no
    job changes meanwhile.
    """
    job_cache = ledger.execute(
        AdHoc(
            lambda _: [(job.id, job.version, dump_job(job)) for job in ledger.job_cache.snapshot()]
        )
    )
    for job_id, version, saved in job_cache:
        assert saved == dump_job(ledger.fold(job_id, upto=version))


def all_events_of(ledger: Ledger) -> list[RecordedEvent]:
    """Every event in the store."""
    return list(ledger.mapper.to_recorded_events(ledger.event_store.read(after=0, limit=PAGE)))
