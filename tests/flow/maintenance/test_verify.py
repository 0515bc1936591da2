"""Verification of a whole ledger by its owner or another process, while it is in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ledger import Ledger
from ledger.application.commands.jobs import ScheduleJob
from ledger.maintenance.verify import PAGE, verify_event_store
from tests.simulation.simulation import Simulation
from tests.support.builders import a_spec, open_ledger

LENGTH = 2_100
"""Enough events that the store is read in several pages."""


def edit(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "data" / "ledger.db")) as connection, connection:
        connection.execute("DROP TRIGGER events_are_never_changed")
        connection.execute("DROP TRIGGER events_are_never_deleted")
        connection.execute(statement)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ledger of more than two thousand events."""
    with open_ledger(tmp_path) as ledger:
        call = ledger.context("filling")
        asked = [
            ScheduleJob(ledger.chance.new_id(), a_spec(name=f"job {n}"), call)
            for n in range(LENGTH // 2)
        ]
        ledger.submit(asked).result()
    return tmp_path


def test_a_long_ledger_is_verified_to_its_end_with_progress(folder: Path) -> None:
    progress: list[tuple[int, int]] = []

    with Ledger.open_read_only(folder / "data") as ledger:
        verdict = verify_event_store(
            ledger.event_store, lambda done, total: progress.append((done, total))
        )

    assert (verdict.is_sound, verdict.verified) == (True, LENGTH)
    assert progress == [(PAGE, LENGTH), (2 * PAGE, LENGTH), (LENGTH, LENGTH)]


@pytest.mark.parametrize("position", [1, 999, 2000, 2001, LENGTH])
@pytest.mark.parametrize(
    "change",
    [
        "recorded_at = recorded_at + 1 WHERE position >= {}",
        "topic = CAST(x'ff' AS TEXT) WHERE position = {}",
    ],
    ids=["corrupt from there on", "unreadable, as not UTF-8"],
)
def test_the_first_damaged_position_is_named_on_any_page(
    folder: Path, change: str, position: int
) -> None:
    edit(folder, f"UPDATE events SET {change.format(position)}")

    with Ledger.open_read_only(folder / "data") as ledger:
        verdict = verify_event_store(ledger.event_store)

    assert verdict.finding is not None
    assert (verdict.verified, verdict.finding.position) == (position - 1, position)


def test_a_reader_verifies_the_events_committed_when_it_opened(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, 3, fault_rate=0.0)
    for _ in range(50):
        simulation.step()

    with Ledger.open_read_only(tmp_path / "data") as bystander:
        before = verify_event_store(bystander.event_store)
        for _ in range(50):
            simulation.step()
        after = verify_event_store(bystander.event_store)

    assert before.is_sound
    assert after.is_sound
    assert after.verified == simulation.ledger.event_store.tail_position() > before.verified
    simulation.close()


def test_a_damaged_ledger_still_verifies_up_to_the_damage(folder: Path) -> None:
    edit(folder, "DELETE FROM events WHERE position = 1234")

    with Ledger.open_read_only(folder / "data") as ledger:
        verdict = verify_event_store(ledger.event_store)

    assert verdict.finding is not None
    assert verdict.finding.position == 1234
    assert verdict.finding.problem == "position 1234 is missing: the next event is at 1235"
