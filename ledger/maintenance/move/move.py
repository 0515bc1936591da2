"""Moving house: a ledger copied to another place, row by row as it is, and verified there.

What is moved: events with their positions and hashes, texts, tokens, leases, heads, the marks of
our own readers, and the ledger's id. Copies are not: they are made from the book.
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
"""The same for what may be large: a text has up to 32 KiB."""

"""Told (what is done, how much, of how many) after every page."""


COUNTED = (TEXTS, TOKENS, LEASES)
"""What must be there in equal numbers at the end, besides the events."""
KEPT_FACTS = (SNAPSHOTS_POSITION, CHECKPOINT)
"""How the keys of `meta` begin that go with a ledger, besides its id."""


class MoveFailed(Refused):
    """What arrived is not what a sound source holds; the target stays unusable."""

    code = "move_failed"


@dataclass(frozen=True, slots=True)
class Moved:
    """A move that is done and verified. `already` events were there from an earlier one."""

    ledger_id: UUID
    position: int
    chain: bytes
    already: int
    counts: Mapping[str, int]


def move(source: MoveSource, target: MoveTarget, progress: StepProgress) -> Moved:
    """Copy the source's ledger into the target, or go on where an earlier move stopped, and verify
    what is there then. The source is only read, and nobody else writes to it meanwhile.

    Refuses StartRefused for a target that holds anything else, MoveFailed when what arrived does
    not verify; then the target cannot be opened.
    """
    end = source.tail()
    already = _require_room(source, target, end)
    target.begin(source.ledger_id)
    _move_texts(source, target, progress)
    _move_events(source, target, end, progress)
    target.replace(TOKENS, _pages(source, TOKENS))
    target.replace(LEASES, _pages(source, LEASES))
    facts = _kept_facts(source)
    target.replace(
        SNAPSHOTS, _pages(source, SNAPSHOTS)
    )  # never older than the position read before
    counts = _verified(source, target, end, progress)
    source.keep_hold()
    target.settle(facts)
    return Moved(source.ledger_id, end.position, end.chain, already, counts)


# -- may it begin -------------------------------------------------------------------------------


def _require_room(source: MoveSource, target: MoveTarget, end: Tail) -> int:
    """How many events the target has already; StartRefused unless it is empty or holds the
    beginning of this very ledger.
    """
    tail = target.tail()
    is_same = target.ledger_id == source.ledger_id
    if not is_same and (tail.position or any(target.count(table) for table in COUNTED)):
        raise StartRefused(
            f"{target.place} holds another ledger ({target.ledger_id}, {tail.position} events): "
            "move into an empty place."
        )
    if tail.position == 0:
        _require_no_read_models(target)
        return 0
    if tail.position > end.position:
        raise StartRefused(
            f"{target.place} holds the same ledger and is ahead of {source.place}: position "
            f"{tail.position} against {end.position}. Nothing was changed."
        )
    if tail.position and source.chain_at(tail.position) != tail.chain:
        raise StartRefused(
            f"{target.place} holds the same ledger with another history: its event at position "
            f"{tail.position} is not the one in {source.place}. Nothing was changed."
        )
    return tail.position


def _require_no_read_models(target: MoveTarget) -> None:
    """Copies know no ledger's id: those of another one would be believed."""
    if target.facts().get(MOVE) != UNDER_WAY and target.has_read_models():
        raise StartRefused(
            f"{target.place} is empty, but the copies of another ledger lie beside it: remove "
            "those (they can always be made anew), then move."
        )


# -- the rows -----------------------------------------------------------------------------------


def _pages(source: MoveSource, table: Table) -> Iterator[list[Values]]:
    after: object = None
    while page := source.page(table, after=after, limit=ROWS_AT_ONCE):
        source.keep_hold()
        yield page
        after = page[-1][0]


def _move_texts(source: MoveSource, target: MoveTarget, progress: StepProgress) -> None:
    """Before the events, so that what has arrived at any moment has all its texts."""
    done, total = 0, source.count(TEXTS)
    for page in _pages(source, TEXTS):
        if not all(_is_text(values) for values in page):
            raise MoveFailed(f"A text in {source.place} is not what was appended: verify it.")
        target.add(TEXTS, target.missing(TEXTS, page))
        done += len(page)
        progress("texts", done, total)


def _move_events(source: MoveSource, target: MoveTarget, end: Tail, progress: StepProgress) -> None:
    position = target.tail().position
    while position < end.position:
        page = source.page(EVENTS, after=position, limit=EVENTS_AT_ONCE)
        source.keep_hold()
        _require_typed(source, page)
        if not page or page[0][0] != position + 1:
            raise MoveFailed(f"Position {position + 1} is missing in {source.place}: verify it.")
        target.add(EVENTS, page)
        position = page[-1][0]
        progress("events", position, end.position)


def _is_text(values: Values) -> bool:
    return isinstance(values[0], str) and all(isinstance(value, bytes) for value in values[1:])


def _require_typed(source: MoveSource, page: Sequence[Values]) -> None:
    """SQLite holds any value in any column, PostgreSQL does not."""
    for row in (EventRow(*values) for values in page):
        problem = type_problem(row)
        if problem is not None:
            raise MoveFailed(f"Position {row.position} of {source.place} is bad: {problem}.")


def _kept_facts(source: MoveSource) -> dict[str, str]:
    return {key: value for key, value in source.facts().items() if key.startswith(KEPT_FACTS)}


# -- is it the same -----------------------------------------------------------------------------


def _verified(
    source: MoveSource, target: MoveTarget, end: Tail, progress: StepProgress
) -> dict[str, int]:
    """How many of each there are, in both; MoveFailed when what arrived is not sound, or not the
    same.
    """

    def told(done: int, total: int) -> None:
        source.keep_hold()
        progress("verified", done, total)

    verdict = verify_event_store(target, told)
    _require_sound(source, verdict, end)
    counts = {table.name: target.count(table) for table in COUNTED}
    for table in COUNTED:
        wanted = source.count(table)
        if counts[table.name] != wanted:
            raise MoveFailed(
                f"{target.place} has {counts[table.name]} {table.name} and {source.place} has "
                f"{wanted}: move into an empty place."
            )
    return {"events": verdict.verified, **counts}


def _require_sound(source: MoveSource, verdict: Verdict, end: Tail) -> None:
    if verdict.finding is not None:
        raise MoveFailed(
            f"Position {verdict.finding.position} of what arrived is bad: "
            f"{verdict.finding.problem}. Verify {source.place}: it is the same there, or what "
            "arrived was changed. Nothing may be opened where it was moved to."
        )
    if (verdict.verified, verdict.chain) != (end.position, end.chain):
        raise MoveFailed(
            f"What arrived ends at position {verdict.verified} with chain {verdict.chain.hex()}, "
            f"and {source.place} at {end.position} with {end.chain.hex()}."
        )
