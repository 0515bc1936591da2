"""Verification that no event was changed: every hash, every column and every stored text is
recomputed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from ledger.errors import LedgerError
from ledger.store.codec import shape_of, text_references
from ledger.store.event_store import ReadableEvents
from ledger.store.hash_chain import UNREADABLE, ChainWalk, EventRow, Finding, genesis
from ledger.store.mapper import TOPICS

PAGE = 1000
"""Events that are in memory at once; progress is reported after each page."""

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""
StepProgress = Callable[[str, int, int], None]
"""The same with the name of the step before."""
References = list[tuple[str, str]]
READ_ERRORS = (LedgerError, sqlite3.Error, ValueError)
"""What reading a damaged event store raises."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification: how many events are intact, the chain value there, and the
    first that is not, if any.
    """

    verified: int
    chain: bytes
    finding: Finding | None

    @property
    def is_sound(self) -> bool:
        return self.finding is None


def verify_event_store(event_store: ReadableEvents, progress: Progress | None = None) -> Verdict:
    """Walk the events in order, up to the end at this instant or beyond, and stop at the first that
    differs from what was appended.

    Every text that an event names must exist and have the hash the event names: this version erases
    no texts, so none may be missing.
    """
    walk = ChainWalk(genesis(event_store.ledger_id))
    total = event_store.tail_position()
    try:
        finding = _first_misfit(event_store, walk, progress, total)
    except READ_ERRORS as error:
        finding = Finding(walk.position + 1, f"it cannot be read ({error})")
    if finding is None and walk.position < total:
        finding = Finding(walk.position + 1, "it is missing")
    return Verdict(walk.position, walk.chain, finding)


def _first_misfit(
    event_store: ReadableEvents, walk: ChainWalk, progress: Progress | None, total: int
) -> Finding | None:
    for page in _pages(event_store.rows()):
        states = [_state(row) for row in page]
        references = list(map(_references, page, states))
        wanted = [text_id for named in references for text_id, _ in named or ()]
        texts = event_store.salted_texts(wanted)
        for row, state, named in zip(page, states, references, strict=True):
            problem = walk.problem_with(row, state) or _text_problem(named, texts)
            if problem is not None:
                return Finding(min(row.position, walk.position + 1), problem)
            walk.take(row)
        if progress is not None:
            progress(walk.position, total)
    return None


def _pages(rows: Iterator[EventRow]) -> Iterator[list[EventRow]]:
    """Rows in pages. One that cannot be read raises after those before it were yielded."""
    page: list[EventRow] = []
    try:
        for row in rows:
            page.append(row)
            if len(page) == PAGE:
                yield page
                page = []
    except READ_ERRORS:
        yield page
        raise
    yield page


def _state(row: EventRow) -> Any:
    """The decoded state of a row, or None when it is not JSON."""
    try:
        return orjson.loads(row.state)
    except ValueError:
        return None


def _references(row: EventRow, state: Any) -> References | None:
    """The texts that a row names, id and digest; None when its state is malformed."""
    event_class = TOPICS.get(row.topic)
    if event_class is None:
        return []
    try:
        named = text_references(shape_of(event_class).texts, state)
    except (TypeError, AttributeError, LookupError):
        return None
    return named if all(isinstance(part, str) for pair in named for part in pair) else None


def _text_problem(
    named: References | None, texts: Mapping[str, tuple[object, object]]
) -> str | None:
    if named is None:
        return UNREADABLE
    if any(text_id not in texts for text_id, _ in named):
        return "one of its texts is missing, and no event records that it was erased"
    if any(_digest(*texts[text_id]) != digest for text_id, digest in named):
        return "one of its texts was changed"
    return None


def _digest(salt: object, body: object) -> str:
    """SHA-256 of a stored text; for what is not bytes any more, a value that no event names."""
    if not isinstance(salt, bytes) or not isinstance(body, bytes):
        return "not bytes"
    return sha256(salt + body).hexdigest()
