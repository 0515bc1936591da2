"""What every store does with the events of an append: version checks, positions, rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from ledger.store.hash_chain import chain_of, columns_of, leaf_of
from ledger.store.records import AppendOutcome, Committed, EventBatch, PendingEvent, VersionConflict


class VersionCheck:
    """Which batches of one append have the expected versions, each checked after the ones before
    it. `version_of` gives the last version of a stream in the store.
    """

    def __init__(self, version_of: Callable[[UUID], int]) -> None:
        self._version_of = version_of
        self._accepted: dict[UUID, int] = {}
        self._refused: dict[UUID, int] = {}

    def conflict_of(self, batch: EventBatch) -> VersionConflict | None:
        """Whether a batch conflicts with the store or with batches before it in the append, or
        builds on one that does. Records the batch's versions in either case.
        """
        after: dict[UUID, int] = {}
        for event in batch.events:
            stream = event.stream
            actual = after.get(stream) or self._accepted.get(stream) or self._version_of(stream)
            is_behind = event.version > self._refused.get(stream, event.version)
            if event.version != actual + 1 or is_behind:
                for other in batch.events:
                    self._refused.setdefault(other.stream, other.version)
                return VersionConflict(stream, event.version - 1, self._version_of(stream))
            after[stream] = event.version
        self._accepted.update(after)
        return None


def positions_of(events: Sequence[PendingEvent], last: int) -> dict[tuple[UUID, int], int]:
    """The position of each event; only computed when an event refers to one."""
    if all(event.state is not None for event in events):
        return {}
    return {(event.stream, event.version): last + number for number, event in enumerate(events, 1)}


def committed_in_order(batches: Sequence[EventBatch], last: int) -> list[AppendOutcome]:
    """The outcomes of batches that are appended one after the other after position `last`."""
    outcomes: list[AppendOutcome] = []
    for batch in batches:
        size = len(batch.events)
        outcomes.append(Committed(tuple(range(last + 1, last + size + 1))))
        last += size
    return outcomes


def row_of(
    position: int, event: PendingEvent, state: bytes, recorded_at: int, chain: bytes
) -> tuple[tuple[Any, ...], bytes]:
    """The row of one event, and the chain value after it."""
    stream = event.stream.bytes
    leaf = leaf_of(position, stream, event.version, event.topic, recorded_at, state)
    chain = chain_of(chain, leaf)
    columns = (position, stream, event.version, event.topic, state, recorded_at)
    return (*columns, *columns_of(event.plain), chain), chain
