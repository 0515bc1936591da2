"""Nodes that share the work: each fire is claimed once, and each run of a dead node is ended
once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from pytest import raises

from ledger.application.commands import runs as run_commands
from ledger.application.commands.deliveries import SaveCheckpoint
from ledger.dispatch.leases.leases import GRACE
from ledger.dispatch.queues.worker_queues import WorkerQueueFeeder
from ledger.domain.job.job import Job
from ledger.domain.job.state import OpenRun
from ledger.errors import RunSuperseded, Unavailable
from ledger.maintenance.verify import verify_event_store
from tests.contract.stores import PostgresStoreHarness
from tests.support.builders import MINUTE, SUCCESS
from tests.support.servers.many_nodes import A_LEASE, GPU, OTHERS_TURN, SECOND, Fleet, Node, a_fleet

RACERS = 8
FIRES = 2000
LEASES = 1000
NOOP = {"kind": "noop"}


def claimed_by(node: Node, fleet: Fleet) -> UUID:
    """A job whose run a node has claimed and not executed."""
    [job_id] = fleet.schedule(1)
    fleet.clock.advance(MINUTE)
    node.claim(job_id)
    return job_id


def handed_out_by(node: Node, fleet: Fleet) -> tuple[UUID, OpenRun]:
    """A job whose run a worker has claimed through a node."""
    [job_id] = fleet.schedule(1, executor=GPU)
    fleet.clock.advance(MINUTE)
    return job_id, node.hand_out(job_id)


@pytest.fixture
def pair(postgres_harness: PostgresStoreHarness) -> Iterator[Fleet]:
    with a_fleet(postgres_harness, 2) as fleet:
        yield fleet


def starts_of(fleet: Fleet) -> Counter[tuple[UUID, str]]:
    """How often each slot of each job was started."""
    counts: Counter[tuple[UUID, str]] = Counter()
    ledger = fleet[0].ledger
    for event in ledger.mapper.to_recorded_events(ledger.event_store.read(after=0, limit=100_000)):
        if event.topic == "job.run_started":
            counts[event.stream, str(event.data["scheduled_for"])] += 1
    return counts


def test_of_eight_nodes_exactly_one_starts_each_due_fire(
    postgres_harness: PostgresStoreHarness,
) -> None:
    """X1."""
    with a_fleet(postgres_harness, RACERS) as fleet:
        once = {"kind": "at", "at": "2026-03-02T12:01:00Z"}
        fleet.schedule(FIRES, schedule=once, executor=NOOP)

        fleet.live_on(MINUTE)
        fleet.together()
        fleet.live_on(OTHERS_TURN)
        fleet.together()
        fleet.together()

        started = starts_of(fleet)
        assert (len(started), set(started.values())) == (FIRES, {1})
        topics = fleet[0].ledger.event_store.topic_counts(after=0, upto=10**9)
        assert topics["job.run_succeeded"] == FIRES
        assert verify_event_store(fleet[0].ledger.event_store).is_sound
        assert len({node.dispatcher.node for node in fleet}) == RACERS


def test_of_eight_nodes_exactly_one_ends_each_run_with_an_expired_lease(
    postgres_harness: PostgresStoreHarness,
) -> None:
    """X5."""
    with a_fleet(postgres_harness, RACERS) as fleet:
        jobs = fleet.schedule(LEASES, executor=GPU)
        fleet.clock.advance(MINUTE)
        for node in fleet:
            node.settle()
        for number, node in enumerate(fleet):
            node.take_all(jobs[number::RACERS])
        for node in fleet:
            node.settle()

        fleet.live_on(MINUTE)
        fleet.together()
        fleet.together()

        topics = fleet[0].ledger.event_store.topic_counts(after=0, upto=10**9)
        assert topics["job.run_lost"] == LEASES
        assert all(node.ledger.job_cache.runs.leases == {} for node in fleet)
        assert fleet[0].ledger.event_store.leases().rows == ()


def test_the_runs_of_a_dead_node_are_lost_and_its_late_report_is_refused(pair: Fleet) -> None:
    """X6."""
    dead, alive = pair
    [job_id] = pair.schedule(1)
    pair.clock.advance(MINUTE)
    run = dead.claim(job_id)
    pair.live_on(A_LEASE, without=[dead])
    pair.run_out(dead)

    pair.clock.advance(10 * SECOND)
    alive.step()

    assert alive.ledger.history(job_id)[-1]["data"]["cause"] == "lease_expired"
    report = run_commands.RecordOutcome(job_id, run.run_id, SUCCESS, dead.call())
    with raises(RunSuperseded):
        dead.ledger.execute(report)
    assert dead.topics(job_id)[-1] == "job.run_lost"


def test_the_runs_of_a_living_node_are_left_alone(pair: Fleet) -> None:
    one, other = pair
    job_id = claimed_by(one, pair)

    pair.live_on(2 * A_LEASE)
    pair.clock.advance(10 * SECOND)
    other.step()

    assert other.topics(job_id)[-1] == "job.run_started"


def test_a_removed_node_continues_under_another_name(pair: Fleet) -> None:
    dead, alive = pair
    before = dead.dispatcher.node
    pair.live_on(A_LEASE, without=[dead])
    pair.run_out(dead)
    alive.member.refresh()
    assert not dead.member.may_claim()

    dead.member.renew()

    assert dead.member.may_claim()
    assert dead.dispatcher.node != before
    alive.member.refresh()
    assert alive.member.lost_cause(dead.dispatcher.node) is None
    assert alive.member.lost_cause(before) == "lease_expired"


def test_a_node_that_was_disconnected_itself_removes_no_other(pair: Fleet) -> None:
    """During an outage of the database no node could renew: the first to reconnect must not remove
    the others.
    """
    one, other = pair
    job_id = claimed_by(one, pair)
    pair.live_on(A_LEASE)
    pair.run_out(one)
    pair.clock.advance(2 * A_LEASE)

    other.member.renew()
    other.step()

    assert other.topics(job_id)[-1] == "job.run_started"
    one.member.renew()
    assert one.member.lost_cause(other.dispatcher.node) is None


def test_a_node_without_a_valid_lease_claims_nothing(pair: Fleet) -> None:
    one, _ = pair
    [job_id] = pair.schedule(1, executor=NOOP)

    pair.clock.advance(MINUTE)
    one.step()

    assert one.topics(job_id) == ["job.scheduled"]


def test_a_job_is_claimed_at_once_by_its_own_node_and_by_another_a_second_later(
    pair: Fleet,
) -> None:
    jobs = pair.schedule(40, executor=NOOP)
    pair.live_on(MINUTE)
    own = {job_id for job_id in jobs if pair[0].member.is_first_for(job_id)}

    pair[0].step()
    at_once = {job_id for job_id, _ in starts_of(pair)}
    pair.live_on(OTHERS_TURN)
    pair[0].step()

    assert 0 < len(own) < len(jobs)
    assert at_once == own
    assert {job_id for job_id, _ in starts_of(pair)} == set(jobs)


def test_when_a_node_leaves_only_its_own_jobs_move(postgres_harness: PostgresStoreHarness) -> None:
    with a_fleet(postgres_harness, 3) as fleet:
        jobs = fleet.schedule(60)
        before = {job: [node.member.is_first_for(job) for node in fleet] for job in jobs}
        assert all(sum(owners) == 1 for owners in before.values())

        fleet[2].member.close()
        for node in fleet.nodes[:2]:
            node.member.renew()

        after = {job: [node.member.is_first_for(job) for node in fleet.nodes[:2]] for job in jobs}
        assert all(sum(owners) == 1 for owners in after.values())
        kept = [job for job in jobs if not before[job][2]]
        assert all(after[job] == before[job][:2] for job in kept)


def test_a_heartbeat_through_one_node_protects_the_run_from_the_others_reaper(pair: Fleet) -> None:
    one, other = pair
    job_id, run = handed_out_by(one, pair)
    pair.live_on(GRACE)

    until = other.ledger.execute(run_commands.ExtendLease(job_id, run.run_id, 20, other.call()))
    one.step()

    assert until == pair.clock.now() + 20 * SECOND
    assert one.topics(job_id)[-1] == "job.run_started"
    pair.live_on(21 * SECOND)
    one.step()
    assert one.topics(job_id)[-1] == "job.run_lost"


def test_a_run_that_ends_on_one_node_leaves_no_lease_on_another(pair: Fleet) -> None:
    one, other = pair
    job_id, run = handed_out_by(one, pair)
    other.settle()
    assert run.run_id in other.ledger.job_cache.runs.leases

    one.ledger.execute(run_commands.RecordOutcome(job_id, run.run_id, SUCCESS, one.call()))
    other.settle()

    assert other.ledger.job_cache.runs.leases == {}


def test_a_node_without_a_dispatcher_hands_out_due_runs_to_workers(pair: Fleet) -> None:
    [job_id] = pair.schedule(1, executor=GPU)
    feeder = WorkerQueueFeeder(pair[1].ledger)
    pair.clock.advance(MINUTE)

    feeder.route()
    due = feeder.queues.take("gpu")

    assert due is not None
    assert due.item.job_id == job_id
    assert not due.is_late


def test_a_manual_run_requested_on_one_node_is_executed_once_by_either(pair: Fleet) -> None:
    [job_id] = pair.schedule(1, executor=NOOP)
    pair[0].ledger.run(job_id)

    for _ in range(2):
        pair.together()
        pair.clock.advance(timedelta(seconds=2))
    pair.together()

    assert pair[0].topics(job_id).count("job.run_started") == 1


def test_a_lease_that_is_seen_before_the_start_of_its_run_counts(pair: Fleet) -> None:
    """A node reads events first and leases after: a run may start in between."""
    one, other = pair
    [job_id] = pair.schedule(1, executor=GPU)
    pair.live_on(MINUTE)
    other.hear_nothing()
    run = one.hand_out(job_id, seconds=300)

    other.ledger.job_cache.runs.follow_leases(other.ledger.event_store)
    other.settle()

    assert run.run_id in other.ledger.job_cache.runs.leases


def test_an_outage_of_the_database_shorter_than_a_lease_removes_no_node(pair: Fleet) -> None:
    one, other = pair
    [job_id] = pair.schedule(1)
    pair.live_on(MINUTE)
    one.claim(job_id)
    pair.run_out(one)
    pair.clock.advance(A_LEASE - SECOND)

    other.member.renew()
    other.step()

    assert other.topics(job_id)[-1] == "job.run_started"


def test_due_items_of_workers_are_given_back_when_the_store_cannot_be_read(pair: Fleet) -> None:
    jobs = pair.schedule(3, executor=GPU)
    node = pair[1]
    feeder = WorkerQueueFeeder(node.ledger)
    pair.live_on(MINUTE)
    node.ledger.job_cache.forget(jobs[1])
    fold = node.ledger.fold
    node.ledger.fold = _away  # type: ignore[method-assign]  # the database, for one question

    with raises(Unavailable):
        feeder.route()
    node.ledger.fold = fold  # type: ignore[method-assign]
    feeder.route()

    assert len(feeder.queues) == 3


def _away(*_: object, **__: object) -> Job:
    raise Unavailable("The database is away.")


def test_a_checkpoint_never_goes_back(pair: Fleet) -> None:
    """A notifier that was overtaken may still save an older one."""
    one, other = pair
    one.ledger.execute(SaveCheckpoint("notifier", 7))

    other.ledger.execute(SaveCheckpoint("notifier", 5))

    assert one.ledger.event_store.checkpoint("notifier") == 7
