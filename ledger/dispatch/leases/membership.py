"""Which other nodes run jobs, and which nodes are gone.

A node's lease is renewed by a thread of its own, so that neither long batches nor slow targets
delay it. After a period in which the database could not be reached no node is removed for an
expired lease: the others could not renew theirs either.
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
"""After so long without a renewal a node was disconnected, and others may have been, too."""

log = logging.getLogger(__name__)


class Membership(Protocol):
    """This node's membership among the nodes of its ledger."""

    name: str
    """The name under which this node claims runs."""
    stretch: int
    """Counts the periods in which this node was connected without interruption."""

    def start(self) -> None: ...

    def close(self) -> None: ...

    def refresh(self) -> None:
        """Read anew which nodes are gone; to be called after the runs in question were listed."""

    def lost_cause(self, node: str) -> str | None:
        """Why the runs of another node are abandoned (a cause of `run_lost`); None while it
        lives.
        """

    def is_first_for(self, job_id: UUID) -> bool:
        """Whether this node claims a job's runs at once; other nodes wait a little."""

    def may_claim(self) -> bool:
        """Whether this node's lease is valid for new claims."""

    def lease_age_seconds(self) -> float | None:
        """How long ago this node's lease was renewed; None where it needs none."""


class SingleNode:
    """The membership of a ledger's only process: its file lock proves that every former owner is
    dead.
    """

    stretch = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def start(self) -> None:
        """Nothing to do: the lock was acquired with the folder."""

    def close(self) -> None:
        """Nothing to do: closing the ledger releases the lock."""

    def refresh(self) -> None:
        """There are no other nodes."""

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
        self._loop = BackgroundLoop("renewal of this node's lease", self._step, retry_seconds=0.0)

    def start(self) -> None:
        """Join, and renew the lease from now on. Raises Unavailable when that fails."""
        self.renew()
        self._loop.start()

    def close(self) -> None:
        """Leave: runs that this node has left open are abandoned."""
        self._loop.close()
        with suppress(LedgerError):
            self._table.leave(self.name)
        self._table.close()

    def renew(self) -> None:
        """Renew the lease; join under a new name when this node was removed meanwhile."""
        with self._asking:
            asked = self._clock.elapsed()
            if not self._is_member or not self._table.renew(self.name, LEASE_SECONDS):
                self._join()
            if asked - self._renewed >= BREAK_SECONDS:
                self.stretch += 1
                self._began = asked
            self._renewed = asked
            self._living = frozenset(self._table.living())

    def refresh(self) -> None:
        """See `Membership.refresh`. No node is removed before this one was connected for a whole
        lease.
        """
        with self._asking:
            if self._is_settled():
                self._table.remove_expired()
            self._living = frozenset(self._table.living())

    def lost_cause(self, node: str) -> str | None:
        is_alive = node == self.name or node in self._living
        return None if is_alive or not self._is_settled() else "lease_expired"

    def is_first_for(self, job_id: UUID) -> bool:
        """By rendezvous hashing: when a node joins or leaves, only its own jobs move."""
        return self.name == max({*self._living, self.name}, key=lambda node: _weight(node, job_id))

    def may_claim(self) -> bool:
        return self._is_member and self.lease_age_seconds() < LEASE_SECONDS

    def lease_age_seconds(self) -> float:
        return self._clock.elapsed() - self._renewed

    def _join(self) -> None:
        if self._is_member:
            log.warning("this node was removed while it was silent; it continues under a new name")
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
