"""Moves a ledger: copied to another location, row by row unchanged, and verified there.

Moved are events with their positions and hashes, texts, tokens, leases, snapshots, the checkpoints
of the ledger's own readers, and the ledger's id. Read models are not: they are rebuilt from the
events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from ledger.errors import Refused, StartRefused
from ledger.maintenance.move.endpoints import (
    EVENTS,
    LEASES,
    SNAPSHOTS,
    TEXTS,
    TOKENS,
    MoveSource,
    MoveTarget,
    Table,
    Values,
)
from ledger.maintenance.verify import StepProgress, Verdict, verify_event_store
from ledger.store.hash_chain import EventRow, type_problem
from ledger.store.move_state import MOVE, UNDER_WAY
from ledger.store.records import Tail
from ledger.store.sql_reads import CHECKPOINT, SNAPSHOTS_POSITION

EVENTS_AT_ONCE = 10_000
"""Events that are read, and durably written, at a time."""
ROWS_AT_ONCE = 2_000
"""The same for rows that may be large: a text has up to 32 KiB."""
COUNTED = (TEXTS, TOKENS, LEASES)
"""The tables that must have equal numbers of rows at the end, besides the events."""
MOVED_META = (SNAPSHOTS_POSITION, CHECKPOINT)
"""The prefixes of the keys of `meta` that move with a ledger, besides its id."""


class MoveFailed(Refused):
    """The target does not match an intact source; it stays unusable."""

    code = "move_failed"


@dataclass(frozen=True, slots=True)
class Moved:
    """A completed and verified move. `already` events were there from an earlier one."""

    ledger_id: UUID
    position: int
    chain: bytes
    already: int
    counts: Mapping[str, int]


def move(source: MoveSource, target: MoveTarget, progress: StepProgress) -> Moved:
    """Copy the source's ledger into the target, or continue where an earlier move stopped, and
    verify the target. The source is only read, and no other process writes to it meanwhile.

    Refuses StartRefused for a target that contains anything else, MoveFailed when the target does
    not verify; then it cannot be opened.
    """
    end = source.tail()
    already = _require_room(source, target, end)
    target.begin(source.ledger_id)
    _move_texts(source, target, progress)
    _move_events(source, target, end, progress)
    target.replace(TOKENS, _pages(source, TOKENS))
    target.replace(LEASES, _pages(source, LEASES))
    meta = _moved_meta(source)
    # Read after their position, so never older than it.
    target.replace(SNAPSHOTS, _pages(source, SNAPSHOTS))
    counts = _verified(source, target, end, progress)
    source.require_lock()
    target.finish(meta)
    return Moved(source.ledger_id, end.position, end.chain, already, counts)


# -- checks of the target -----------------------------------------------------------------------


def _require_room(source: MoveSource, target: MoveTarget, end: Tail) -> int:
    """How many events the target has already; StartRefused unless it is empty or contains the first
    events of this very ledger.
    """
    tail = target.tail()
    is_same = target.ledger_id == source.ledger_id
    if not is_same and (tail.position or any(target.count(table) for table in COUNTED)):
        raise StartRefused(
            f"{target.location} contains another ledger ({target.ledger_id}, "
            f"{tail.position} events): move into an empty location."
        )
    if tail.position == 0:
        _require_no_read_models(target)
        return 0
    if tail.position > end.position:
        raise StartRefused(
            f"{target.location} contains the same ledger and is ahead of "
            f"{source.location}: position {tail.position} against {end.position}. "
            "Nothing was changed."
        )
    if tail.position and source.chain_at(tail.position) != tail.chain:
        raise StartRefused(
            f"{target.location} contains the same ledger with another history: its "
            f"event at position {tail.position} differs from the one in "
            f"{source.location}. Nothing was changed."
        )
    return tail.position


def _require_no_read_models(target: MoveTarget) -> None:
    """Read models do not record their ledger's id: those of another ledger would be served as this
    one's.
    """
    if target.meta().get(MOVE) != UNDER_WAY and target.has_read_models():
        raise StartRefused(
            f"{target.location} is empty, but has the read models of another ledger: "
            "remove those (they can always be rebuilt), then move."
        )


# -- the rows -----------------------------------------------------------------------------------


def _pages(source: MoveSource, table: Table) -> Iterator[list[Values]]:
    after: object = None
    while page := source.page(table, after=after, limit=ROWS_AT_ONCE):
        source.require_lock()
        yield page
        after = page[-1][0]


def _move_texts(source: MoveSource, target: MoveTarget, progress: StepProgress) -> None:
    """Before the events, so that the events at the target always have all their texts."""
    done, total = 0, source.count(TEXTS)
    for page in _pages(source, TEXTS):
        if not all(_is_text(values) for values in page):
            raise MoveFailed(
                f"A text in {source.location} differs from what was appended: verify that ledger."
            )
        target.add(TEXTS, target.missing(TEXTS, page))
        done += len(page)
        progress("texts", done, total)


def _move_events(source: MoveSource, target: MoveTarget, end: Tail, progress: StepProgress) -> None:
    position = target.tail().position
    while position < end.position:
        page = source.page(EVENTS, after=position, limit=EVENTS_AT_ONCE)
        source.require_lock()
        _require_typed(source, page)
        if not page or page[0][0] != position + 1:
            raise MoveFailed(
                f"Position {position + 1} is missing in {source.location}: verify that ledger."
            )
        target.add(EVENTS, page)
        position = page[-1][0]
        progress("events", position, end.position)


def _is_text(values: Values) -> bool:
    return isinstance(values[0], str) and all(isinstance(value, bytes) for value in values[1:])


def _require_typed(source: MoveSource, page: Sequence[Values]) -> None:
    """SQLite stores any value in any column, PostgreSQL does not."""
    for row in (EventRow(*values) for values in page):
        problem = type_problem(row)
        if problem is not None:
            raise MoveFailed(f"Position {row.position} of {source.location} is corrupt: {problem}.")


def _moved_meta(source: MoveSource) -> dict[str, str]:
    return {key: value for key, value in source.meta().items() if key.startswith(MOVED_META)}


# -- verification ------------------------------------------------------------------------------


def _verified(
    source: MoveSource, target: MoveTarget, end: Tail, progress: StepProgress
) -> dict[str, int]:
    """How many rows of each table there are, equal on both sides; MoveFailed when the target is not
    intact, or not the same.
    """

    def report(done: int, total: int) -> None:
        source.require_lock()
        progress("verified", done, total)

    verdict = verify_event_store(target, report)
    _require_sound(source, verdict, end)
    counts = {table.name: target.count(table) for table in COUNTED}
    for table in COUNTED:
        wanted = source.count(table)
        if counts[table.name] != wanted:
            raise MoveFailed(
                f"{target.location} has {counts[table.name]} {table.name} and "
                f"{source.location} has {wanted}: move into an empty location."
            )
    return {"events": verdict.verified, **counts}


def _require_sound(source: MoveSource, verdict: Verdict, end: Tail) -> None:
    if verdict.finding is not None:
        raise MoveFailed(
            f"Position {verdict.finding.position} of the target is corrupt: "
            f"{verdict.finding.problem}. Verify {source.location}: either the source "
            "is corrupt, too, or the target was changed. The target cannot be "
            "opened."
        )
    if (verdict.verified, verdict.chain) != (end.position, end.chain):
        raise MoveFailed(
            f"The target ends at position {verdict.verified} with chain "
            f"{verdict.chain.hex()}, and {source.location} at {end.position} with "
            f"{end.chain.hex()}."
        )
