"""What an audit query asks for, and the SQL condition it means: one meaning for every surface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

MAX_PAGE = 1000
DISPATCHER = "dispatcher"
"""The source, and the actor id, of what the dispatcher appends: most of the book, kept out of the
partial indexes.
"""
UNINDEXED_TOPICS = ("job.run_started", "job.run_succeeded")
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Filters over the book; None means any. `after_position` … `until_position` are positions
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


def where(query: AuditQuery, mark: str = "?") -> tuple[str, list[Any]]:
    """The condition and its parameters. Repeats the conditions of the partial indexes, so that they
    can be used.
    """
    terms: list[str] = []
    values: list[Any] = []

    def add(term: str, *more: Any) -> None:
        terms.append(term.replace("?", mark))
        values.extend(more)

    _add_columns(query, add)
    _add_positions(query, add)
    return (" AND ".join(terms) or "1=1"), values


def _add_columns(query: AuditQuery, add: Any) -> None:
    for name in ("actor", "kind", "source", "correlation_id", "failure_class"):
        value = getattr(query, name)
        if value is not None:
            add(f"{name} = ?", value)
    if query.stream is not None:
        add("stream = ?", query.stream.bytes)
    if query.correlation_id is not None or query.actor not in (None, DISPATCHER):
        add(f"source <> '{DISPATCHER}'")
    if query.topics:
        _add_topics(query.topics, add)


def _add_topics(topics: tuple[str, ...], add: Any) -> None:
    add(f"topic IN ({', '.join('?' for _ in topics)})", *topics)
    if not set(topics) & set(UNINDEXED_TOPICS):
        add(f"topic NOT IN ({', '.join(repr(name) for name in UNINDEXED_TOPICS)})")


def _add_positions(query: AuditQuery, add: Any) -> None:
    if query.after_position is not None:
        add("position > ?", query.after_position)
    if query.until_position is not None:
        add("position <= ?", query.until_position)
    if query.cursor is not None:
        add("position > ?" if query.order == "asc" else "position < ?", query.cursor)
