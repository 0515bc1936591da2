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
from tests.contract.stores import StoreHarness, append_decided
from tests.support.builders import NOON, a_context, a_job, failed, paused, running, tripped

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


class SmallStore:
    """A small store with every kind of event, that can be restored."""

    def __init__(self, harness: StoreHarness) -> None:
        fill(harness)
        harness.drop_protection()
        self.harness = harness
        self.rows = [
            Plain(*(getattr(row, c) for c in COLUMNS)) for row in harness.event_store.rows()
        ]

    def put(self, rows: list[Plain]) -> None:
        """Replace the events of the store by these rows."""
        self.harness.execute_directly("BEGIN")
        self.harness.execute_directly("DELETE FROM events")
        for row in rows:
            self.harness.execute_directly(PUT, row)
        self.harness.execute_directly("COMMIT")

    def found(self) -> int | None:
        """The position that verification names, if any."""
        finding = verify_event_store(self.harness.event_store).finding
        return finding.position if finding else None


def fill(harness: StoreHarness) -> None:
    for number in range(1, 9):
        job = a_job(number=number, task=f"task {number}", description="words")
        name = Name.blank(name_stream(f"job {number}"))
        name.reserve(f"job {number}", job.id, a_context(NOON, reason="because"))
        append_decided(harness, job, name)
        change = tripped(2) if number % 2 else paused()
        change(job)
        running()(job) if job.status == "active" else None
        job.resume(ResumeOptions(force=True), a_context(NOON, reason="gone"))
        append_decided(harness, job)


@pytest.fixture
def small_store(event_store_factory: EventStoreFactory) -> SmallStore:
    return SmallStore(event_store_factory())


def test_an_untouched_store_verifies_to_its_end(small_store: SmallStore) -> None:
    verdict = verify_event_store(small_store.harness.event_store)

    assert verdict.is_sound
    assert (verdict.verified, verdict.chain) == (len(small_store.rows), small_store.rows[-1].chain)


def test_an_empty_store_verifies(harness: StoreHarness) -> None:
    verdict = verify_event_store(harness.event_store)

    assert (verdict.is_sound, verdict.verified) == (True, 0)
    assert verdict.chain == genesis(harness.event_store.ledger_id)


def test_the_chain_begins_with_the_ledgers_own_id(small_store: SmallStore) -> None:
    other = "00000000-0000-4000-8000-000000000000"

    set_id = "UPDATE meta SET value = ? WHERE key = 'ledger_id'"
    small_store.harness.execute_directly(set_id, (other,))
    small_store.harness.reopen()

    assert small_store.found() == 1


# -- flipped bits -------------------------------------------------------------------------------


def test_every_flipped_bit_is_found_at_its_event(small_store: SmallStore) -> None:
    chance = Random(SEED)
    print(f"seed {SEED}")
    for _ in range(FLIPS):
        row = chance.choice(small_store.rows)
        column = chance.choice([c for c in COLUMNS[1:] if getattr(row, c) is not None])

        flip(small_store.harness, row, column, chance)

        assert small_store.found() == row.position, (row.position, column)
        mend(small_store.harness, row, column)
    assert small_store.found() is None


def flip(harness: StoreHarness, row: Plain, column: str, chance: Random) -> None:
    value = getattr(row, column)
    if column in NUMBERS:
        whole = (value ^ (1 << chance.randrange(64))) & (2**64 - 1)
        number = whole - 2**64 if whole >= 2**63 else whole
        set_column(harness, row, f"{column} = ?", number)
        return
    held = flipped(value.encode() if column in TEXTS else value, chance)
    if column in TEXTS and harness.is_typed:
        while not is_text(held):
            held = flipped(value.encode(), chance)
        set_column(harness, row, f"{column} = ?", held.decode())
        return
    cast = "CAST(? AS TEXT)" if column in TEXTS else "?"
    set_column(harness, row, f"{column} = {cast}", held)


def flipped(value: bytes, chance: Random) -> bytes:
    held = bytearray(value)
    held[chance.randrange(len(held))] ^= 1 << chance.randrange(8)
    return bytes(held)


def is_text(held: bytes) -> bool:
    return held.decode(errors="replace").encode() == held and b"\0" not in held


def mend(harness: StoreHarness, row: Plain, column: str) -> None:
    set_column(harness, row, f"{column} = ?", getattr(row, column))


def set_column(harness: StoreHarness, row: Plain, assignment: str, value: object) -> None:
    harness.execute_directly(
        f"UPDATE events SET {assignment} WHERE position = ?", (value, row.position)
    )


def test_every_flipped_bit_of_a_text_is_found_at_its_event(small_store: SmallStore) -> None:
    chance = Random(SEED)
    harness = small_store.harness
    for text_id, salt, body in harness.execute_directly("SELECT id, salt, body FROM texts"):
        owner = next(row.position for row in small_store.rows if text_id.encode() in row.state)
        column, value = chance.choice([("salt", salt), ("body", body)])
        held = flipped(value, chance)

        harness.execute_directly(f"UPDATE texts SET {column} = ? WHERE id = ?", (held, text_id))

        assert small_store.found() == owner
        harness.execute_directly(f"UPDATE texts SET {column} = ? WHERE id = ?", (value, text_id))
    assert small_store.found() is None


def test_a_text_of_another_type_is_found(small_store: SmallStore) -> None:
    if small_store.harness.is_typed:
        pytest.skip("SQLite only: elsewhere a column holds nothing of another type")
    small_store.harness.execute_directly("UPDATE texts SET body = CAST(body AS TEXT)")

    assert small_store.found() == 1


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
    return with_another_value(rows, chance, ["other", b"other", 7, -1, 2**40, 0.5, b"", ""])


def edit_column_in_its_type(rows: list[Plain], chance: Random) -> tuple[list[Plain], int]:
    """A column with another value of its own type, for databases that accept nothing else."""
    return with_another_value(rows, chance, ["other", "", b"other", b"", 7, -1, 2**40], typed=True)


def with_another_value(
    rows: list[Plain], chance: Random, values: list[Any], *, typed: bool = False
) -> tuple[list[Plain], int]:
    at = chance.randrange(len(rows))
    column = chance.choice([*TEXTS, *BLOBS, *NUMBERS])
    present = getattr(rows[at], column)
    own = str if column in TEXTS else bytes if column in BLOBS else int
    others = [value for value in values if isinstance(value, own) or not typed]
    others += [None] if column in TEXTS[1:] else []
    value = chance.choice([other for other in others if other != present])
    if column in TEXTS and isinstance(value, int | float):
        value = str(value)
    return replaced(rows, at, **{column: value}), at + 1


def replaced(rows: list[Plain], at: int, **columns: Any) -> list[Plain]:
    changed = list(rows)
    changed[at] = rows[at]._replace(**columns)
    return changed


@pytest.mark.parametrize(
    "edit", [edit_state, edit_delete, edit_insert, edit_swap, edit_number, edit_column]
)
def test_every_edit_is_found_at_the_first_position_it_changed(
    small_store: SmallStore, edit: Edit
) -> None:
    chance = Random(SEED)
    print(f"seed {SEED}")
    if edit is edit_column and small_store.harness.is_typed:
        edit = edit_column_in_its_type
    for number in range(EDITS):
        rows, first = edit(small_store.rows, chance)

        small_store.put(rows)

        assert small_store.found() == first, number
    small_store.put(small_store.rows)
    assert small_store.found() is None


def test_rehashing_up_to_a_position_only_moves_the_finding_behind_it(
    small_store: SmallStore,
) -> None:
    """Changing event 5 and its hash breaks event 6."""
    row = small_store.rows[4]
    state = row.state.replace(b'"reason":null', b'"reason":"x"').replace(b"{", b'{"x":1,', 1)
    leaf = leaf_of(5, row.stream, row.version, row.topic, row.recorded_at, state)
    chain = chain_of(small_store.rows[3].chain, leaf)

    small_store.put(replaced(small_store.rows, 4, state=state, chain=chain))

    assert small_store.found() == 6


def test_a_state_that_is_not_json_is_named(small_store: SmallStore) -> None:
    small_store.put(replaced(small_store.rows, 7, state=b"{"))

    verdict = verify_event_store(small_store.harness.event_store)

    assert verdict.finding is not None
    assert (verdict.verified, verdict.finding.position) == (7, 8)
    assert verdict.finding.problem == "its stored state cannot be read"


def test_the_verdict_has_the_verified_count_and_the_chain_before_the_finding(
    small_store: SmallStore,
) -> None:
    small_store.put(replaced(small_store.rows, 7, topic="job.deleted"))

    verdict = verify_event_store(small_store.harness.event_store)

    assert (verdict.verified, verdict.chain) == (7, small_store.rows[6].chain)


def test_a_failure_class_column_is_part_of_what_is_verified(harness: StoreHarness) -> None:
    append_decided(harness, a_job(running(), failed()))
    harness.drop_protection()

    harness.execute_directly("UPDATE events SET failure_class = 'timeout' WHERE position = 3")

    finding = verify_event_store(harness.event_store).finding
    assert finding is not None
    assert (finding.position, finding.problem) == (3, "its columns differ from its state")
