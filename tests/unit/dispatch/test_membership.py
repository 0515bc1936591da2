"""A node among others, and how soon it renews its lease."""

from __future__ import annotations

import threading
from typing import Any, cast

from ledger.dispatch.leases.membership import RENEW_SECONDS, ClusterNode
from ledger.errors import Unavailable
from ledger.store.cluster import NodeRegistry
from tests.support.builders import ManualClock


class NoAnswer:
    """A registry whose database is away."""

    def __getattr__(self, name: str) -> Any:
        raise Unavailable("the database is away")


class RecordedWaits(threading.Event):
    """Waits for nothing, and records for how long it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) >= 6:
            self.set()
        return self.is_set()


def test_a_renewal_that_failed_is_tried_again_after_one_period() -> None:
    """Two failures in a row must not cost a node its lease."""
    node = ClusterNode(cast(NodeRegistry, NoAnswer()), ManualClock(), lambda: "node-1")
    waits = RecordedWaits()
    node._loop._closing = waits

    node._loop._run()

    assert sum(seconds or 0.0 for seconds in waits.seconds) == 3 * RENEW_SECONDS
