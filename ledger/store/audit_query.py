"""The filters of an audit query, and the SQL condition they mean: the same for every surface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

MAX_PAGE = 1000
DISPATCHER = "dispatcher"
"""The source, and the actor id, of what the dispatcher appends: most events, which are left out of
the partial indexes.
"""
SYSTEM = "system"
"""The kind of actor that the dispatcher is."""
UNINDEXED_TOPICS = ("job.run_started", "job.run_succeeded")
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Filters over all events; None means any. `after_position` … `until_position` are positions
    (exclusive, inclusive).

    With `order="desc"` pages run from the newest back; `cursor` is the last position of the page
    before, exclusive.
    """

    actor: str | None = None
    kind: str | None = None
    topics: tuple[str, ...] = ()
    stream: UUID | None = None
    source: str | None = None
    correlation_id: str | None = None
    failure_class: str | None = None
    after_position: int | None = None
    until_position: int | None = None
    order: Order = "asc"
    cursor: int | None = None
    limit: int = 50

    def following(self, position: int) -> AuditQuery:
        """The query for the page after `position`."""
        return replace(self, cursor=position)


def where(query: AuditQuery, *, ignore_index: str = "") -> tuple[str, list[Any]]:
    """The condition and its values, except for the stream. Repeats the conditions of the partial
    indexes, so that they can be used. `ignore_index` is put before columns whose indexes are not to
    be chosen: SQLite has no statistics to choose by.
    """
    terms: list[str] = []
    values: list[Any] = []
    leading = _leading(query)

    def add(term: str, *more: Any, column: str = "") -> None:
        prefix = ignore_index if column and column not in leading else ""
        terms.append(prefix + term)
        values.extend(more)

    _add_columns(query, add)
    _add_positions(query, add)
    return (" AND ".join(terms) or "1=1"), values


def _leading(query: AuditQuery) -> tuple[str, ...]:
    """The columns whose index is to be used: of those in the query the most selective."""
    if query.stream is not None:
        return ()
    if query.correlation_id is not None:
        return ("correlation_id",)
    if query.actor not in (None, DISPATCHER):
        return ("actor", "topic")
    has_topic = bool(query.topics) and not set(query.topics) & set(UNINDEXED_TOPICS)
    given = (
        ("topic", has_topic),
        ("failure_class", query.failure_class is not None),
        ("kind", query.kind not in (None, SYSTEM)),
        ("source", query.source not in (None, DISPATCHER)),
    )
    return tuple(name for name, is_given in given if is_given)[:1]


def _add_columns(query: AuditQuery, add: Any) -> None:
    for name in ("actor", "kind", "source", "correlation_id", "failure_class"):
        value = getattr(query, name)
        if value is not None:
            add(f"{name} = ?", value, column=name)
    if query.correlation_id is not None or {query.actor, query.source} - {None, DISPATCHER}:
        add(f"source <> '{DISPATCHER}'")
    if query.kind not in (None, SYSTEM):
        add(f"kind <> '{SYSTEM}'")
    if query.topics:
        _add_topics(query.topics, add)


def _add_topics(topics: tuple[str, ...], add: Any) -> None:
    add(f"topic IN ({', '.join('?' for _ in topics)})", *topics, column="topic")
    if not set(topics) & set(UNINDEXED_TOPICS):
        add(f"topic NOT IN ({', '.join(repr(name) for name in UNINDEXED_TOPICS)})")


def _add_positions(query: AuditQuery, add: Any) -> None:
    """One bound on either side: with two on one side a database would seek by the first it sees."""
    after, until = bounds(query)
    if after is not None:
        add("position > ?", after)
    if until is not None:
        add("position <= ?", until)


def bounds(query: AuditQuery) -> tuple[int | None, int | None]:
    """The positions between which a page lies, the first exclusive, with its cursor included."""
    after, until, cursor = query.after_position, query.until_position, query.cursor
    if cursor is None:
        return after, until
    if query.order == "asc":
        return max(cursor, after or 0), until
    return after, cursor - 1 if until is None else min(until, cursor - 1)
