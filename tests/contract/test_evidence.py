"""Every change of the stored events is found, and the first changed position named (A2).

Not found, by design: rewriting everything after a position with new hashes, cutting off the end,
and erasing texts; the first two need a checkpoint stored elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import pytest

from ledger.domain.job.job import ResumeOptions
from ledger.domain.streams.names import Name, name_stream
from ledger.maintenance.verify import verify_event_store
from ledger.store.hash_chain import EventRow, chain_of, genesis, leaf_of
from tests.contract.conftest import EventStoreFactory
from tests.contract.shelves import Shelf, keep
from tests.support.builders import NOON, a_job, failed, metadata, paused, running, tripped

FLIPS = 1000
EDITS = 100
SEED = 20260302
COLUMNS = EventRow.__slots__
TEXTS = ("topic", "actor", "kind", "source", "correlation_id", "failure_class")
BLOBS = ("stream", "state", "chain")
NUMBERS = ("version", "recorded_at")
PUT = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class Plain(NamedTuple):
    """A mutable row."""

    position: int
    stream: Any
    version: Any
    topic: Any
    state: Any
    recorded_at: Any
    actor: Any
    kind: Any
    source: Any
    correlation_id: Any
    failure_class: Any
    chain: Any


class Victim:
    """A small store with every kind of event, that can be restored."""

    def __init__(self, shelf: Shelf) -> None:
        fill(shelf)
        shelf.disarm()
        self.shelf = shelf
        self.rows = [Plain(*(getattr(row, c) for c in COLUMNS)) for row in shelf.event_store.rows()]

    def put(self, rows: list[Plain]) -> None:
        """Replace the events of the store by these rows."""
        self.shelf.meddle("BEGIN")
        self.shelf.meddle("DELETE FROM events")
        for row in rows:
            self.shelf.meddle(PUT, row)
        self.shelf.meddle("COMMIT")

    def found(self) -> int | None:
        """The position that verification names, if any."""
        finding = verify_event_store(self.shelf.event_store).finding
        return finding.position if finding else None


def fill(shelf: Shelf) -> None:
    for number in range(1, 9):
        job = a_job(number=number, task=f"task {number}", description="words")
        name = Name.blank(name_stream(f"job {number}"))
        name.reserve(f"job {number}", job.id, now=NOON, metadata=metadata(reason="because"))
        keep(shelf, job, name)
        change = tripped(2) if number % 2 else paused()
        change(job)
        running()(job) if job.status == "active" else None
        job.resume(ResumeOptions(force=True), now=NOON, metadata=metadata(reason="gone"))
        keep(shelf, job)


@pytest.fixture
def victim(event_store_factory: EventStoreFactory) -> Victim:
    return Victim(event_store_factory())


def test_an_untouched_store_verifies_to_its_end(victim: Victim) -> None:
    verdict = verify_event_store(victim.shelf.event_store)

    assert verdict.is_sound
    assert (verdict.verified, verdict.chain) == (len(victim.rows), victim.rows[-1].chain)


def test_an_empty_store_verifies(shelf: Shelf) -> None:
    verdict = verify_event_store(shelf.event_store)

    assert (verdict.is_sound, verdict.verified) == (True, 0)
    assert verdict.chain == genesis(shelf.event_store.ledger_id)


def test_the_chain_begins_with_the_ledgers_own_id(victim: Victim) -> None:
    other = "00000000-0000-4000-8000-000000000000"

    victim.shelf.meddle("UPDATE meta SET value = ? WHERE key = 'ledger_id'", (other,))
    victim.shelf.reopen()

    assert victim.found() == 1


# -- flipped bits -------------------------------------------------------------------------------


def test_every_flipped_bit_is_found_at_its_event(victim: Victim) -> None:
    chance = Random(SEED)
    print(f"seed {SEED}")
    for _ in range(FLIPS):
        row = chance.choice(victim.rows)
        column = chance.choice([c for c in COLUMNS[1:] if getattr(row, c) is not None])

        flip(victim.shelf, row, column, chance)

        assert victim.found() == row.position, (row.position, column)
        mend(victim.shelf, row, column)
    assert victim.found() is None


def flip(shelf: Shelf, row: Plain, column: str, chance: Random) -> None:
    value = getattr(row, column)
    if column in NUMBERS:
        whole = (value ^ (1 << chance.randrange(64))) & (2**64 - 1)
        number = whole - 2**64 if whole >= 2**63 else whole
        set_column(shelf, row, f"{column} = ?", number)
        return
    held = flipped(value.encode() if column in TEXTS else value, chance)
    if column in TEXTS and shelf.is_typed:
        while not is_text(held):
            held = flipped(value.encode(), chance)
        set_column(shelf, row, f"{column} = ?", held.decode())
        return
    cast = "CAST(? AS TEXT)" if column in TEXTS else "?"
    set_column(shelf, row, f"{column} = {cast}", held)


def flipped(value: bytes, chance: Random) -> bytes:
    held = bytearray(value)
    held[chance.randrange(len(held))] ^= 1 << chance.randrange(8)
    return bytes(held)


def is_text(held: bytes) -> bool:
    return held.decode(errors="replace").encode() == held and b"\0" not in held


def mend(shelf: Shelf, row: Plain, column: str) -> None:
    set_column(shelf, row, f"{column} = ?", getattr(row, column))


def set_column(shelf: Shelf, row: Plain, assignment: str, value: object) -> None:
    shelf.meddle(f"UPDATE events SET {assignment} WHERE position = ?", (value, row.position))


def test_every_flipped_bit_of_a_text_is_found_at_its_event(victim: Victim) -> None:
    chance = Random(SEED)
    shelf = victim.shelf
    for text_id, salt, body in shelf.meddle("SELECT id, salt, body FROM texts"):
        owner = next(row.position for row in victim.rows if text_id.encode() in row.state)
        column, value = chance.choice([("salt", salt), ("body", body)])
        held = flipped(value, chance)

        shelf.meddle(f"UPDATE texts SET {column} = ? WHERE id = ?", (held, text_id))

        assert victim.found() == owner
        shelf.meddle(f"UPDATE texts SET {column} = ? WHERE id = ?", (value, text_id))
    assert victim.found() is None


def test_a_text_of_another_type_is_found(victim: Victim) -> None:
    if victim.shelf.is_typed:
        pytest.skip("SQLite only: elsewhere a column holds nothing of another type")
    victim.shelf.meddle("UPDATE texts SET body = CAST(body AS TEXT)")

    assert victim.found() == 1


# -- edits --------------------------------------------------------------------------------------

Edit = Callable[[list[Plain], Random], tuple[list[Plain], int]]


def edit_state(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """Another state, well-formed, with matching derived columns."""
    at = chance.randrange(len(rows))
    old, new = chance.choice([(b'"command_id":"0', b'"command_id":"1'), (b"{", b'{"x":1,')])
    state = rows[at].state.replace(old, new, 1)
    return replaced(rows, at, state=state), at + 1


def edit_delete(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """One event deleted, not the last."""
    at = chance.randrange(len(rows) - 1)
    return rows[:at] + rows[at + 1 :], at + 1


def edit_insert(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """A forged event in between, at the end, or before the first."""
    at = chance.choice([-1, *range(len(rows) + 1)])
    model = chance.choice(rows)
    last = max(row.version for row in rows if row.stream == model.stream)
    if at < 0:
        position = -chance.randrange(10)
        return [model._replace(position=position, version=last + 1), *rows], position
    forged = model._replace(position=at + 1, version=last + 1)
    pushed = [row._replace(position=row.position + 1) for row in rows[at:]]
    return [*rows[:at], forged, *pushed], at + 1


def edit_swap(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """Two events in each other's position."""
    low, high = sorted(chance.sample(range(len(rows)), 2))
    swapped = list(rows)
    swapped[low] = rows[high]._replace(position=low + 1)
    swapped[high] = rows[low]._replace(position=high + 1)
    return swapped, low + 1


def edit_number(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """One event under another number, or all of a tail moved up."""
    at = chance.randrange(len(rows) - 1)
    if chance.random() < 0.5:
        pushed = [row._replace(position=row.position + 1) for row in rows[at:]]
        return [*rows[:at], *pushed], at + 1
    number = len(rows) + chance.randrange(1, 10**6)
    return replaced(rows, at, position=number), at + 1


def edit_column(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """A column with another value, none, or one of another type."""
    at = chance.randrange(len(rows))
    column = chance.choice([*TEXTS, *BLOBS, *NUMBERS])
    present = getattr(rows[at], column)
    nullable = column in TEXTS[1:]
    others = ["other", b"other", 7, -1, 2**40, 0.5, b"", "", *([None] if nullable else [])]
    value = chance.choice([other for other in others if other != present])
    if column in TEXTS and isinstance(value, int | float):
        value = str(value)
    return replaced(rows, at, **{column: value}), at + 1


def edit_column_in_its_type(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """A column with another value of its own type, for databases that accept nothing else."""
    at = chance.randrange(len(rows))
    column = chance.choice([*TEXTS, *BLOBS, *NUMBERS])
    values: dict[str, list[Any]] = {
        **dict.fromkeys(TEXTS, ["other", "", None]),
        "topic": ["other", ""],
        **dict.fromkeys(BLOBS, [b"other", b""]),
        **dict.fromkeys(NUMBERS, [7, -1, 2**40]),
    }
    present = getattr(rows[at], column)
    value = chance.choice([other for other in values[column] if other != present])
    return replaced(rows, at, **{column: value}), at + 1


def replaced(rows: list[Plain], at: int, **columns: Any) -> list[Plain]:
    changed = list(rows)
    changed[at] = rows[at]._replace(**columns)
    return changed


@pytest.mark.parametrize(
    "edit", [edit_state, edit_delete, edit_insert, edit_swap, edit_number, edit_column]
)
def test_every_edit_is_found_at_the_first_position_it_changed(victim: Victim, edit: Edit) -> None:
    chance = Random(SEED)
    print(f"seed {SEED}")
    if edit is edit_column and victim.shelf.is_typed:
        edit = edit_column_in_its_type
    for number in range(EDITS):
        rows, first = edit(victim.rows, chance)

        victim.put(rows)

        assert victim.found() == first, number
    victim.put(victim.rows)
    assert victim.found() is None


def test_rehashing_up_to_a_position_only_moves_the_finding_behind_it(victim: Victim) -> None:
    """Changing event 5 and its hash breaks event 6."""
    row = victim.rows[4]
    state = row.state.replace(b'"reason":null', b'"reason":"x"').replace(b"{", b'{"x":1,', 1)
    leaf = leaf_of(5, row.stream, row.version, row.topic, row.recorded_at, state)
    chain = chain_of(victim.rows[3].chain, leaf)

    victim.put(replaced(victim.rows, 4, state=state, chain=chain))

    assert victim.found() == 6


def test_a_state_that_is_not_json_is_named(victim: Victim) -> None:
    victim.put(replaced(victim.rows, 7, state=b"{"))

    verdict = verify_event_store(victim.shelf.event_store)

    assert verdict.finding is not None
    assert (verdict.verified, verdict.finding.position) == (7, 8)
    assert verdict.finding.problem == "its stored state cannot be read"


def test_the_verdict_has_the_verified_count_and_the_chain_before_the_finding(
    victim: Victim,
) -> None:
    victim.put(replaced(victim.rows, 7, topic="job.deleted"))

    verdict = verify_event_store(victim.shelf.event_store)

    assert (verdict.verified, verdict.chain) == (7, victim.rows[6].chain)


def test_a_failure_class_column_is_part_of_what_is_verified(shelf: Shelf) -> None:
    keep(shelf, a_job(running(), failed()))
    shelf.disarm()

    shelf.meddle("UPDATE events SET failure_class = 'timeout' WHERE position = 3")

    finding = verify_event_store(shelf.event_store).finding
    assert finding is not None
    assert (finding.position, finding.problem) == (3, "its columns differ from its state")
