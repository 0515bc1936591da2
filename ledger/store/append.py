"""What every store does with the events of an append: version checks, positions, rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from ledger.store.hash_chain import chain_of, columns_of, leaf_of
from ledger.store.mapper import EventMapper
from ledger.store.records import (
    AppendOutcome,
    Committed,
    EventBatch,
    PendingEvent,
    Tail,
    VersionConflict,
)


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


def accepted_of(
    batches: Sequence[EventBatch], refused: Sequence[VersionConflict | None]
) -> list[EventBatch]:
    """The batches without a conflict."""
    pairs = zip(batches, refused, strict=True)
    return [batch for batch, conflict in pairs if conflict is None]


def outcomes_of(
    batches: Sequence[EventBatch], refused: Sequence[VersionConflict | None], last: int
) -> list[AppendOutcome]:
    """The outcome of each batch: its conflict, or the positions after `last` that it gets when the
    batches without a conflict are appended one after the other.
    """
    outcomes: list[AppendOutcome] = []
    for batch, conflict in zip(batches, refused, strict=True):
        if conflict is not None:
            outcomes.append(conflict)
            continue
        end = last + len(batch.events)
        outcomes.append(Committed(tuple(range(last + 1, end + 1))))
        last = end
    return outcomes


def rows_of(
    events: Sequence[PendingEvent], mapper: EventMapper, tail: Tail, now: int
) -> list[tuple[Any, ...]]:
    """The rows of events that are appended after `tail`, with their positions and hashes.
    `recorded_at` never decreases.
    """
    positions = _positions_of(events, tail.position)
    recorded_at = max(tail.recorded_at, now)
    chain, rows = tail.chain, []
    for position, event in enumerate(events, start=tail.position + 1):
        state, stream = mapper.seal(event, positions), event.stream.bytes
        leaf = leaf_of(position, stream, event.version, event.topic, recorded_at, state)
        chain = chain_of(chain, leaf)
        columns = (position, stream, event.version, event.topic, state, recorded_at)
        rows.append((*columns, *columns_of(event.plain), chain))
    return rows


def _positions_of(events: Sequence[PendingEvent], last: int) -> dict[tuple[UUID, int], int]:
    """The position of each event; only computed when an event refers to one."""
    if all(event.state is not None for event in events):
        return {}
    return {(event.stream, event.version): last + number for number, event in enumerate(events, 1)}
