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
        self._kept: dict[UUID, int] = {}
        self._refused: dict[UUID, int] = {}

    def superseded(self, group: EventBatch) -> VersionConflict | None:
        """Whether a batch conflicts with the store or with batches before it in the append, or
        builds on one that does. Records the batch's versions in either case.
        """
        after: dict[UUID, int] = {}
        for draft in group.events:
            stream = draft.stream
            actual = after.get(stream) or self._kept.get(stream) or self._version_of(stream)
            is_behind = draft.version > self._refused.get(stream, draft.version)
            if draft.version != actual + 1 or is_behind:
                for other in group.events:
                    self._refused.setdefault(other.stream, other.version)
                return VersionConflict(stream, draft.version - 1, self._version_of(stream))
            after[stream] = draft.version
        self._kept.update(after)
        return None


def places(drafts: Sequence[PendingEvent], last: int) -> dict[tuple[UUID, int], int]:
    """The position of each event; only computed when an event refers to one."""
    if all(draft.state is not None for draft in drafts):
        return {}
    return {(draft.stream, draft.version): last + number for number, draft in enumerate(drafts, 1)}


def commit_in_turn(groups: Sequence[EventBatch], last: int) -> list[AppendOutcome]:
    """The outcomes of batches that are appended one after the other after position `last`."""
    outcomes: list[AppendOutcome] = []
    for group in groups:
        size = len(group.events)
        outcomes.append(Committed(tuple(range(last + 1, last + size + 1))))
        last += size
    return outcomes


def row_of(
    position: int, draft: PendingEvent, state: bytes, recorded_at: int, chain: bytes
) -> tuple[tuple[Any, ...], bytes]:
    """The row of one event, and the chain value after it."""
    stream = draft.stream.bytes
    leaf = leaf_of(position, stream, draft.version, draft.topic, recorded_at, state)
    chain = chain_of(chain, leaf)
    place = (position, stream, draft.version, draft.topic, state, recorded_at)
    return (*place, *columns_of(draft.plain), chain), chain
