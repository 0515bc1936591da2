"""The ledger as the `eventsourcing` library's own classes see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Tracking
from eventsourcing.projection import ApplicationSubscription
from eventsourcing.system import NotificationLogReader, ProcessApplication
from pytest import raises

from ledger import Ledger
from ledger.application.eventsourcing_adapter import LedgerApplication, WritesAreCommands
from ledger.domain.events import ForceResumed, Paused, Scheduled
from ledger.domain.job.job import Job
from tests.support.builders import a_spec, open_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(tmp_path) as ledger:
        yield ledger


def test_the_repository_returns_an_aggregate_at_its_last_or_an_earlier_version(
    ledger: Ledger,
) -> None:
    job_id = ledger.schedule(a_spec(name="a")).job_id
    ledger.pause(job_id)
    repository = LedgerApplication(ledger).repository

    now: Job = repository.get(job_id)
    before: Job = repository.get(job_id, version=1)

    assert (now.status, now.version) == ("paused", 2)
    assert (before.status, before.version) == ("active", 1)
    assert job_id in repository
    with raises(AggregateNotFoundError):
        repository.get(uuid4())


def test_the_notification_log_pages_every_event(ledger: Ledger) -> None:
    ids = [ledger.schedule(a_spec(name=f"job {n}")).job_id for n in range(7)]
    log = LedgerApplication(ledger).notification_log

    first = log.select(1, 5)
    second = log.select(6, 1000)

    assert [item.id for item in (*first, *second)] == list(range(1, 15))
    assert {item.originator_id for item in (*first, *second)} >= set(ids)


def test_topics_are_selected_before_the_limit(ledger: Ledger) -> None:
    """A follower takes an empty page for the end: pages of one topic must be full ones."""
    ids = [ledger.schedule(a_spec(name=f"job {n}")).job_id for n in range(7)]
    ledger.pause(ids[6])
    log = LedgerApplication(ledger).notification_log

    page = log.select(1, 3, topics=["job.paused"])
    pages = [log.select(1, 3, topics=["job.scheduled"])]
    while pages[-1]:
        start = pages[-1][-1].id
        pages.append(log.select(start, 3, topics=["job.scheduled"], inclusive_of_start=False))

    assert [item.topic for item in page] == ["job.paused"]
    assert [len(page) for page in pages] == [3, 3, 1, 0]


def test_the_notification_log_reader_of_the_library_reads_it_to_the_end(ledger: Ledger) -> None:
    for number in range(7):
        ledger.schedule(a_spec(name=f"job {number}"))
    reader = NotificationLogReader(LedgerApplication(ledger).notification_log, section_size=4)

    assert [item.id for item in reader.read(start=1)] == list(range(1, 15))


class PauseCount(ProcessApplication[UUID]):
    """A follower as the library's users write one."""

    def __init__(self) -> None:
        super().__init__()
        self.paused: list[UUID] = []

    @singledispatchmethod
    def policy(self, domain_event: DomainEventProtocol[UUID], processing_event: Any) -> None:
        """Other events are ignored."""

    @policy.register
    def _(self, domain_event: Paused, _: Any) -> None:
        self.paused.append(domain_event.originator_id)


def test_a_follower_of_the_library_follows_the_ledger(ledger: Ledger) -> None:
    job_id = ledger.schedule(a_spec()).job_id
    ledger.pause(job_id)
    application, follower = LedgerApplication(ledger), PauseCount()
    follower.follow(application.name, application.notification_log)
    follower.mappers[application.name] = application.mapper

    follower.pull_and_process(application.name)
    ledger.resume(job_id)
    ledger.pause(job_id)
    follower.pull_and_process(application.name)

    assert follower.paused == [job_id, job_id]
    assert follower.recorder.max_tracking_id(application.name) == ledger.writer.position


def test_a_subscription_of_the_library_gets_later_commits(ledger: Ledger) -> None:
    job_id = ledger.schedule(a_spec()).job_id
    application = LedgerApplication(ledger)

    topics = ["job.scheduled", "job.paused"]
    with ApplicationSubscription(application, gt=0, topics=topics) as events:
        first = next(events)
        position = ledger.pause(job_id).position
        second = next(events)

    assert (type(first[0]), first[1]) == (Scheduled, Tracking("jobledger", 1))
    assert (type(second[0]), second[1]) == (Paused, Tracking("jobledger", position))
    assert ledger.writer.listeners == []


def test_writing_without_a_command_is_refused_and_the_message_names_the_alternative(
    ledger: Ledger,
) -> None:
    job_id = ledger.schedule(a_spec()).job_id
    application = LedgerApplication(ledger)
    job: Job = application.repository.get(job_id)
    job.pause(None, ledger.context())
    before = ledger.writer.position

    for write in (lambda: application.save(job), lambda: application.take_snapshot(job_id)):
        with raises(WritesAreCommands, match=r"use ledger\.execute"):
            write()

    assert ledger.writer.position == before
    assert ledger.job(job_id)["status"] == "active"
    assert ForceResumed.TOPIC not in {event["topic"] for event in ledger.history(job_id)}
