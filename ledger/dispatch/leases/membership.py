"""Who runs jobs beside this node, and which nodes are no more.

A node's lease is renewed by a thread of its own, so that neither long batches nor slow targets
cost it its life. After a stretch in which the database could not be asked nobody is given up
for a lease's time: the others could not renew theirs either.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from ledger.background_loop import BackgroundLoop
from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.store.cluster import NodeRegistry

LEASE_SECONDS = 15.0
"""How long a node lives without renewing its lease."""
RENEW_SECONDS = 3.0
BREAK_SECONDS = 2 * RENEW_SECONDS
"""After so long without a renewal a node has been out of touch, and others may have been, too."""

log = logging.getLogger(__name__)


class Membership(Protocol):
    """This node's place among the nodes of its ledger."""

    name: str
    """What this node's runs are claimed under."""
    stretch: int
    """Counts the times since which this node has been in touch without a break."""

    def start(self) -> None: ...

    def close(self) -> None: ...

    def look(self) -> None:
        """Learn anew which nodes are gone; to be called after the runs in question were listed."""
        ...

    def lost_cause(self, node: str) -> str | None:
        """Why the runs of another node are nobody's any more (a cause of `run_lost`);
        None while it lives.
        """
        ...

    def is_first_for(self, job_id: UUID) -> bool:
        """Whether a job is this node's to claim at once; the others wait a little."""
        ...

    def may_claim(self) -> bool:
        """Whether runs that are claimed now would live."""
        ...

    def lease_age_seconds(self) -> float | None:
        """How long ago this node's lease was renewed; None where it needs none."""
        ...


class SingleNode:
    """The place of a ledger's only process: its file lock proves that every former owner
    is dead.
    """

    stretch = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> None:
        """Nothing to do: the lock is held already."""

    def close(self) -> None:
        """The lock is given back by the ledger."""

    def look(self) -> None:
        """There is nobody to look for."""

    def lost_cause(self, node: str) -> str | None:
        return None if node == self.name else "owner_restarted"

    def is_first_for(self, job_id: UUID) -> bool:  # noqa: ARG002  every job is
        return True

    def may_claim(self) -> bool:
        return True

    def lease_age_seconds(self) -> float | None:
        return None


class ClusterNode:
    """A node among others: it lives by a row that it renews."""

    def __init__(self, table: NodeRegistry, clock: Clock, new_name: Callable[[], str]) -> None:
        self.name = new_name()
        self.stretch = 0
        self._table = table
        self._clock = clock
        self._new_name = new_name
        self._is_member = False
        self._began = self._renewed = -LEASE_SECONDS
        self._living: frozenset[str] = frozenset()
        self._asking = threading.Lock()
        self._loop = BackgroundLoop("membership", self._step, retry_seconds=RENEW_SECONDS)

    def start(self) -> None:
        """Join, and renew the lease from now on. Raises Unavailable when that cannot be."""
        self.renew()
        self._loop.start()

    def close(self) -> None:
        """Leave: what this node has left open is nobody's any more."""
        self._loop.close()
        with suppress(LedgerError):
            self._table.leave(self.name)
        self._table.close()

    def renew(self) -> None:
        """Live on; under a new name when this node was given up meanwhile."""
        with self._asking:
            asked = self._clock.elapsed()
            if not self._is_member or not self._table.renew(self.name, LEASE_SECONDS):
                self._join()
            if asked - self._renewed >= BREAK_SECONDS:
                self.stretch += 1
                self._began = asked
            self._renewed = asked
            self._living = frozenset(self._table.living())

    def look(self) -> None:
        """See `Membership.look`. Nobody is given up before this node was in touch for a
        whole lease.
        """
        with self._asking:
            if self._is_settled():
                self._table.remove_expired()
            self._living = frozenset(self._table.living())

    def lost_cause(self, node: str) -> str | None:
        is_alive = node == self.name or node in self._living
        return None if is_alive or not self._is_settled() else "lease_expired"

    def is_first_for(self, job_id: UUID) -> bool:
        """By rendezvous hashing: when a node comes or goes, only its own jobs change hands."""
        return self.name == max({*self._living, self.name}, key=lambda node: _weight(node, job_id))

    def may_claim(self) -> bool:
        return self._is_member and self.lease_age_seconds() < LEASE_SECONDS

    def lease_age_seconds(self) -> float:
        return self._clock.elapsed() - self._renewed

    def _join(self) -> None:
        if self._is_member:
            log.warning("this node was given up while it was silent; it goes on under a new name")
            self.name = self._new_name()
        self._table.join(self.name, LEASE_SECONDS)
        self._is_member = True

    def _is_settled(self) -> bool:
        return self._clock.elapsed() - self._began >= LEASE_SECONDS

    def _step(self) -> float:
        self._loop.pause(RENEW_SECONDS)
        if not self._loop.is_closing:
            self.renew()
        return 0.0


def _weight(node: str, job_id: UUID) -> bytes:
    return blake2b(job_id.bytes, key=node.encode()[:64], digest_size=8).digest()
