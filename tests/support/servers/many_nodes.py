"""Several nodes of one ledger in one process, on a clock that they share and that a test moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from ledger import Dispatcher, Ledger
from ledger.application.command_context import CommandContext
from ledger.application.commands import runs as run_commands
from ledger.application.commands.jobs import ScheduleJob
from ledger.dispatch.executors.registry import ExecutorSettings
from ledger.dispatch.leases.membership import LEASE_SECONDS, ClusterNode
from ledger.domain.event_context import Actor
from ledger.domain.job.runs import Claim
from ledger.domain.job.state import OpenRun
from tests.contract.stores import PostgresStoreHarness
from tests.support.builders import ManualClock, SeededChance, a_spec

GPU = {"kind": "worker", "queue": "gpu"}
SECOND = timedelta(seconds=1)
A_LEASE = timedelta(seconds=LEASE_SECONDS)
OTHERS_TURN = 2 * SECOND
"""After this time a node claims what was another's to claim first."""


@dataclass
class Node:
    """One node: its ledger, and a dispatcher that is driven step by step."""

    ledger: Ledger
    dispatcher: Dispatcher

    @property
    def member(self) -> ClusterNode:
        assert isinstance(self.dispatcher.nodes, ClusterNode)
        return self.dispatcher.nodes

    def settle(self) -> None:
        """Read what the others have appended."""
        self.ledger.submit(()).result()

    def hear_nothing(self) -> None:
        """From now on it reads the others' events only when a test says so."""
        follower = self.ledger._listener
        assert follower is not None
        follower.close()

    def step(self) -> None:
        """Cycle after cycle until there is nothing to do."""
        self.settle()
        while self.dispatcher.run_once():
            pass

    def call(self) -> CommandContext:
        now = self.ledger.clock.now()
        return self.ledger.context(actor=Actor("wendy", "worker"), source="http", now=now)

    def claim(self, job_id: UUID) -> OpenRun:
        """The run of a due job, claimed by this node and not executed."""
        claim = run_commands.ClaimRun(job_id, self.call(), node=self.dispatcher.node, is_late=False)
        claimed = self.ledger.execute(claim)
        assert claimed is not None
        return claimed.run

    def take_all(self, jobs: Sequence[UUID], seconds: float = 10) -> None:
        """The runs of due jobs, claimed by workers through this node in one append."""
        claim = Claim(self.dispatcher.node, lease_seconds=seconds)
        some = [run_commands.HandOutRun(job_id, "gpu", claim, self.call()) for job_id in jobs]
        assert all(self.ledger.submit(some).result())

    def hand_out(self, job_id: UUID, seconds: float = 10) -> OpenRun:
        """The run of a due job, claimed by a worker through this node."""
        self.take_all([job_id], seconds)
        return self.open_run(job_id)

    def open_run(self, job_id: UUID) -> OpenRun:
        [run] = [run for job, run in self.ledger.job_cache.runs.open_runs() if job == job_id]
        return run

    def topics(self, job_id: UUID) -> list[str]:
        return [str(event["topic"]) for event in self.ledger.history(job_id)]


class Fleet:
    """Nodes of one ledger, all of them members."""

    def __init__(
        self, harness: PostgresStoreHarness, clock: ManualClock, nodes: Sequence[Node]
    ) -> None:
        self.harness = harness
        self.clock = clock
        self.nodes = nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def schedule(self, count: int, **fields: Any) -> list[UUID]:
        """Jobs that are due in a minute, known to every node."""
        first = self.nodes[0].ledger
        call = first.context()
        some = [
            ScheduleJob(first.chance.new_id(), a_spec(name=f"job {number}", **fields), call)
            for number in range(count)
        ]
        answers = first.submit(some).result()
        for node in self.nodes:
            node.settle()
        return [answer.job_id for answer in answers]

    def live_on(self, step: timedelta, *, without: Sequence[Node] = ()) -> None:
        """Let time pass; living nodes renew their leases meanwhile."""
        while step > timedelta():
            self.clock.advance(min(step, A_LEASE / 3))
            step -= A_LEASE / 3
            for node in self.nodes:
                if node not in without:
                    node.member.renew()

    def run_out(self, node: Node) -> None:
        """Let a node's lease expire, by the database's clock."""
        name = node.dispatcher.node
        self.harness.execute_directly("UPDATE nodes SET expires_at = 0 WHERE node = ?", [name])

    def together(self) -> None:
        """All nodes step at once."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Node.step, self.nodes))


@contextmanager
def a_fleet(harness: PostgresStoreHarness, count: int) -> Iterator[Fleet]:
    """So many nodes on a store, closed afterwards."""
    clock = ManualClock()
    with ExitStack() as closing:
        nodes = []
        for seed in range(count):
            ledger = Ledger.open(harness.address, clock=clock, chance=SeededChance(seed))
            closing.callback(ledger.close)
            dispatcher = Dispatcher(ledger, ExecutorSettings.of_this_process())
            closing.callback(dispatcher.drain, 0)
            nodes.append(Node(ledger, dispatcher))
        for node in (*nodes, *nodes):  # twice: each reads of those that joined after it
            node.member.renew()
        yield Fleet(harness, clock, nodes)
