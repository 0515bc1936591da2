"""How an audit query is asked of a database: in which parts, and in which order of which index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Protocol
from uuid import UUID

from ledger.store.audit_query import AuditQuery, bounds
from ledger.store.records import StoredEvent

Ask = Callable[[AuditQuery], Sequence[StoredEvent]]


class StreamPlaces(Protocol):
    """What is asked of a book about the places of one stream."""

    def tail_position(self) -> int: ...

    def place_of(self, stream: UUID, version: int) -> int | None:
        """The position of a version, or None."""
        ...

    def last_version(self, stream: UUID) -> int:
        """The version of the last event, 0 when there is none."""
        ...


class SearchableEvents(Protocol):
    """As much of a book as answers audit queries."""

    def find(self, query: AuditQuery) -> Sequence[StoredEvent]: ...


def all_found(event_store: SearchableEvents, query: AuditQuery) -> Iterator[StoredEvent]:
    """Every event that fits, in the query's order; `limit` of them are read at a time."""
    while True:
        page = event_store.find(query)
        yield from page
        if len(page) < query.limit:
            return
        query = query.following(page[-1].id)


def find_by_topic(query: AuditQuery, ask: Ask, event_store: StreamPlaces) -> list[StoredEvent]:
    """One page of a query. Several topics are asked for one by one, each in the order of its own
    index, and put in line: a database would sort all of them, or read past everything else.
    """
    if len(query.topics) < 2 or query.stream is not None:
        return list(ask(query))
    end = (
        event_store.tail_position()
    )  # all topics up to the same position, though events arrive meanwhile
    most = end if query.until_position is None else min(end, query.until_position)
    asked = [
        replace(query, topics=(topic,), until_position=most) for topic in sorted(set(query.topics))
    ]
    in_line = merge(*map(ask, asked), key=attrgetter("id"), reverse=query.order == "desc")
    return list(islice(in_line, query.limit))


def versions_between(query: AuditQuery, stream: UUID, event_store: StreamPlaces) -> tuple[int, int]:
    """The versions of a stream, first exclusive, that lie between the query's positions: its
    versions and its positions grow together, and the index has the versions in order.
    """
    after, until = bounds(query)
    last = event_store.last_version(stream)
    upto = last if until is None else version_at(event_store, stream, until, last)
    return min(version_at(event_store, stream, after or 0, last), upto), upto


def version_at(event_store: StreamPlaces, stream: UUID, position: int, last: int) -> int:
    """The last version of a stream up to a position, found by halving."""
    low, high = 0, last
    if position <= 0:
        return 0
    if last and (event_store.place_of(stream, last) or 0) <= position:
        return last
    while low < high:
        middle = (low + high + 1) // 2
        place = event_store.place_of(stream, middle)
        low, high = (middle, high) if place is not None and place <= position else (low, middle - 1)
    return low
