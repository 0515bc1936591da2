"""The contract of `EventStore.append` on every database: gapless, whole or not at all, in one
transaction.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytest import raises

from ledger.domain.job.job import Job, ResumeOptions
from ledger.domain.streams.idempotency import Answered, IdempotencyKey, request_stream
from ledger.domain.streams.names import Name, name_stream
from ledger.errors import InvalidField
from ledger.store.event_reader import EventReader
from ledger.store.records import Committed, TokenRow, VersionConflict
from tests.contract.stores import NOW, StoreHarness, append, append_decided, batch_of
from tests.support.builders import NOON, a_context, a_job, an_id, clone, failed, running, tripped

TOKEN = TokenRow("t-1", "olga", "admin", "user", b"\x01" * 32, None, None)
SECOND = 1_000_000


def a_name(name: str, job: Job) -> Name:
    stream = Name.blank(name_stream(name))
    stream.reserve(name, job.id, a_context(NOON))
    return stream


def edited(job: Job, *tags: str) -> Job:
    """The job with one more event for each tag."""
    for tag in tags:
        job.amend({"tags": [tag]}, a_context(NOON))
    return job


# -- positions ----------------------------------------------------------------------------------


def test_the_tail_of_an_empty_store_is_position_0(harness: StoreHarness) -> None:
    tail = harness.event_store.tail()

    assert (tail.position, tail.recorded_at, harness.event_store.tail_position()) == (0, 0, 0)


def test_positions_are_gapless_from_one_across_batches(harness: StoreHarness) -> None:
    batches = [batch_of(harness, edited(a_job(number=n), "a", "b")) for n in range(1, 5)]

    outcomes = append(harness, *batches)

    assert outcomes == [Committed(tuple(range(3 * n + 1, 3 * n + 4))) for n in range(4)]
    assert harness.event_store.tail_position() == 12


def test_the_next_append_continues_after_the_last_position(harness: StoreHarness) -> None:
    append_decided(harness, a_job(number=1))

    assert append_decided(harness, edited(a_job(number=2), "a")) == (2, 3)


def test_a_reopened_store_continues_after_the_last_position(harness: StoreHarness) -> None:
    append_decided(harness, a_job(number=1))
    before, ledger_id = harness.event_store.tail(), harness.event_store.ledger_id

    harness.reopen()

    assert (harness.event_store.tail(), harness.event_store.ledger_id) == (before, ledger_id)
    assert append_decided(harness, a_job(number=2)) == (2,)


def test_events_of_several_streams_in_one_batch_are_consecutive(harness: StoreHarness) -> None:
    job = a_job()

    positions = append_decided(harness, job, a_name("report", job))

    read = harness.event_store.read(after=0, limit=10)
    assert positions == (1, 2)
    assert [item.topic for item in read] == ["job.scheduled", "name.reserved"]


def test_two_batches_may_build_on_each_other_in_one_append(harness: StoreHarness) -> None:
    job = a_job()
    first = batch_of(harness, job)
    second = batch_of(harness, edited(job, "a"))

    outcomes = append(harness, first, second)

    assert outcomes == [Committed((1,)), Committed((2,))]


def test_stored_events_fold_to_the_decided_state(harness: StoreHarness) -> None:
    job = a_job(tripped(2), running(), description="d", tags=["a"])

    append_decided(harness, job)

    folded = EventReader(harness.event_store, harness.mapper).fold(Job.blank(job.id))
    assert (folded.status, folded.version, folded.tags) == (job.status, job.version, job.tags)
    assert folded.last_run == job.last_run


# -- superseded ---------------------------------------------------------------------------------


def superseded(harness: StoreHarness) -> tuple[Job, Job]:
    """A stored job as a command saw it, and as another has changed it meanwhile."""
    job = a_job()
    append_decided(harness, job)
    mine = clone(job)
    append_decided(harness, edited(job, "theirs"))
    return mine, job


def test_a_conflicting_batch_is_rejected_without_affecting_the_others(
    harness: StoreHarness,
) -> None:
    mine, job = superseded(harness)
    late = batch_of(harness, edited(mine, "mine"))

    outcomes = append(harness, late, batch_of(harness, a_job(number=2)))

    assert outcomes == [VersionConflict(job.id, expected=1, actual=2), Committed((3,))]
    assert harness.event_store.tail_position() == 3


def test_a_conflicting_batch_appends_nothing_to_its_other_streams(harness: StoreHarness) -> None:
    job = a_job(description="described")
    mine = clone(job)
    append_decided(harness, job)
    mine.amend({"task": "other"}, a_context(NOON))
    name = a_name("new name", mine)
    mine._version = 1
    mine.amend({"task": "yet another"}, a_context(NOON))
    late = batch_of(harness, name, mine, beside=[TOKEN])

    [outcome] = append(harness, late)

    assert isinstance(outcome, VersionConflict)
    assert harness.event_store.stream(name.id, after=0, upto=None, limit=9) == []
    assert harness.event_store.tokens() == []
    assert harness.execute_directly("SELECT COUNT(*) FROM texts") == [(2,)]


def test_a_batch_that_builds_on_a_conflicting_one_is_rejected_with_it(
    harness: StoreHarness,
) -> None:
    mine, job = superseded(harness)
    first = batch_of(harness, edited(mine, "mine"))
    second = batch_of(harness, edited(mine, "mine too"))

    outcomes = append(harness, first, second, batch_of(harness, a_job(number=2)))

    assert [type(outcome) for outcome in outcomes] == [VersionConflict, VersionConflict, Committed]
    assert len(harness.event_store.stream(job.id, after=0, upto=None, limit=9)) == 2


def test_no_stream_gets_a_gap_when_the_batch_before_conflicts(harness: StoreHarness) -> None:
    """The second batch builds on a stream that only the conflicting one would have begun."""
    mine, _ = superseded(harness)
    name = a_name("new", mine)
    first = batch_of(harness, edited(mine, "mine"), name)
    name.release("new", mine.id, a_context(NOON))
    second = batch_of(harness, name)

    outcomes = append(harness, first, second)

    assert [type(outcome) for outcome in outcomes] == [VersionConflict, VersionConflict]
    assert harness.event_store.stream(name.id, after=0, upto=None, limit=9) == []


def test_the_same_batch_twice_is_appended_once(harness: StoreHarness) -> None:
    batch = batch_of(harness, a_job())

    outcomes = append(harness, batch) + append(harness, batch)

    assert [type(outcome) for outcome in outcomes] == [Committed, VersionConflict]
    assert harness.event_store.tail_position() == 1


# -- beside the events --------------------------------------------------------------------------


def test_texts_are_stored_beside_their_events_and_not_in_them(harness: StoreHarness) -> None:
    job = a_job(task="the secret task", description="the secret words")

    append_decided(harness, job)

    [item] = harness.event_store.read(after=0, limit=1)
    [event] = harness.mapper.to_recorded_events([item])
    assert b"secret" not in item.state
    assert event.data["task"] == "the secret task"
    assert event.data["description"] == "the secret words"


def test_an_erased_text_reads_as_forgotten(harness: StoreHarness) -> None:
    append_decided(harness, a_job(task="the secret task"))

    harness.execute_directly("DELETE FROM texts")

    [event] = harness.mapper.to_recorded_events(harness.event_store.read(after=0, limit=1))
    assert event.data["task"] == "[forgotten]"


def test_many_texts_are_looked_up_at_once(harness: StoreHarness) -> None:
    jobs = [a_job(number=n, task=f"task {n}") for n in range(1, 1201)]
    append(harness, *(batch_of(harness, job) for job in jobs))

    events = harness.mapper.to_recorded_events(harness.event_store.read(after=0, limit=2000))

    assert [event.data["task"] for event in events] == [f"task {n}" for n in range(1, 1201)]


def test_tokens_are_stored_with_their_batch_and_revoked_in_place(harness: StoreHarness) -> None:
    append(harness, batch_of(harness, a_job(number=1), beside=[TOKEN]))
    revoked = replace(TOKEN, revoked_at=NOW)

    append(harness, batch_of(harness, a_job(number=2), beside=[revoked]))

    assert harness.event_store.tokens() == [revoked]


def test_positions_mentioned_in_events_are_filled_in_by_the_append(harness: StoreHarness) -> None:
    append_decided(harness, a_job(number=9))
    job = a_job(tripped(2), policy={"trip_after": 2})
    job.resume(ResumeOptions(force=True), a_context(NOON))
    request = IdempotencyKey.blank(request_stream("olga", "POST", "/v1/jobs", "key"))
    request.answer(Answered("f", 201, job.id, 7, (1, 3)), a_context(NOON))

    append_decided(harness, job, request)

    stored = harness.event_store.read(after=1, limit=99)
    events = {event.topic: event for event in harness.mapper.to_recorded_events(stored)}
    first_failure, trip = 4, events["job.circuit_tripped"].position
    assert events["job.circuit_tripped"].data["first_error_position"] == first_failure
    assert events["job.force_resumed"].data["trip_position"] == trip
    assert events["request.answered"].data["positions"] == [2, 4]


# -- time ---------------------------------------------------------------------------------------


def test_recorded_at_never_goes_back_although_now_does(harness: StoreHarness) -> None:
    for number, now in enumerate((NOW, NOW - 5 * SECOND, NOW + SECOND, NOW - 3600 * SECOND), 1):
        append_decided(harness, a_job(number=number), now=now)

    times = [item.recorded_at for item in harness.event_store.read(after=0, limit=9)]
    assert times == [NOW, NOW, NOW + SECOND, NOW + SECOND]


# -- looking up ---------------------------------------------------------------------------------


def test_an_unknown_append_is_looked_up_by_stream_and_version(harness: StoreHarness) -> None:
    job = a_job(running(), failed())
    append_decided(harness, job)

    kept = harness.event_store.command_at(job.id, 2)

    assert kept == harness.event_store.read(after=1, limit=1)[0].state
    assert harness.event_store.command_at(job.id, 4) is None
    assert harness.event_store.command_at(an_id(99), 1) is None


# -- what cannot be kept ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**64, -(2**63) - 1, "\ud800"])
def test_a_value_that_would_not_be_read_back_equal_is_refused_before_the_append(
    harness: StoreHarness, value: object
) -> None:
    job = a_job()
    job.amend({"delivery": {"channel": "x", "target": value}}, a_context(NOON))

    with raises(InvalidField):
        batch_of(harness, job)


# -- P10 ----------------------------------------------------------------------------------------


CHANGES = (
    "UPDATE events SET topic = 'job.deleted' WHERE position = 1",
    "UPDATE events SET recorded_at = recorded_at",
    "DELETE FROM events WHERE position = 2",
    "DELETE FROM events",
    "UPDATE events SET position = 9 WHERE position = 2",
)


def test_the_database_itself_refuses_to_change_or_delete_events(harness: StoreHarness) -> None:
    append_decided(harness, edited(a_job(), "a"))
    before = harness.event_store.read(after=0, limit=9)

    for statement in (*CHANGES, *harness.ways_around):
        with raises(harness.refusals):
            harness.execute_directly(statement)

    assert harness.event_store.read(after=0, limit=9) == before


# -- snapshots ----------------------------------------------------------------------------------


def test_snapshots_are_saved_replaced_and_dropped(harness: StoreHarness) -> None:
    one, two = an_id(1), an_id(2)
    harness.event_store.save_snapshots([(one, 1, b"first"), (two, 1, b"other")], position=4)

    harness.event_store.save_snapshots([(one, 2, b"second"), (two, 1, None)], position=None)

    assert list(harness.event_store.load_snapshots()) == [(one, 2, b"second")]
    assert harness.event_store.snapshots_position() == 4


def test_a_reopened_store_has_its_saved_snapshots(harness: StoreHarness) -> None:
    harness.event_store.save_snapshots([(an_id(1), 3, b"state")], position=17)

    harness.reopen()

    assert list(harness.event_store.load_snapshots()) == [(an_id(1), 3, b"state")]
    assert harness.event_store.snapshots_position() == 17


def test_a_store_without_snapshots_reports_position_none(harness: StoreHarness) -> None:
    append_decided(harness, a_job())

    assert list(harness.event_store.load_snapshots()) == []
    assert harness.event_store.snapshots_position() == 0
