"""Moves between databases in every direction: nothing changes, an interrupted move loses nothing,
and only the same ledger is accepted as complete.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psycopg
import pytest
from pytest import raises

from ledger import Ledger
from ledger.errors import LedgerError, StartRefused, Unavailable
from ledger.maintenance.move import move as moving
from ledger.maintenance.move.move import Moved, MoveFailed, move
from ledger.maintenance.verify import StepProgress, verify_event_store
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.postgres.migrations import ROLE, migrate
from tests.contract.ledgers import Location, PostgresLocation, SQLiteLocation, contents, fill, write
from tests.contract.stores import own_name
from tests.support.builders import an_id

WAYS = [(source, target) for source in ("sqlite", "postgres") for target in ("sqlite", "postgres")]
Build = Callable[[str], Location]


@pytest.fixture
def location_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Build]:
    """Gives empty locations on a database, and removes them afterwards."""
    with ExitStack() as closing:

        def build(kind: str) -> Location:
            if kind == "sqlite":
                return SQLiteLocation(tmp_path / own_name())
            dsn = request.getfixturevalue("postgres_dsn")
            location = PostgresLocation(PostgresDsn(dsn, own_name()))
            closing.callback(location.drop)
            return location

        yield build


@pytest.fixture(params=WAYS, ids="-to-".join)
def source_and_target(
    request: pytest.FixtureRequest, location_of: Build
) -> tuple[Location, Location]:
    return filled_and_empty(location_of, *request.param)


def filled_and_empty(location_of: Build, source: str, target: str) -> tuple[Location, Location]:
    """A location with a ledger in it, and an empty one, each of one kind."""
    full, empty = location_of(source), location_of(target)
    fill(full)
    return full, empty


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "EVENTS_AT_ONCE", 9)
    monkeypatch.setattr(moving, "ROWS_AT_ONCE", 8)


def quietly(step: str, done: int, total: int) -> None:
    """Ignores progress."""


def moved(source: Location, target: Location, progress: StepProgress = quietly) -> Moved:
    with ExitStack() as closing:
        old = source.source()
        closing.callback(old.close)
        new = target.target(old.ledger_id)
        closing.callback(new.close)
        return move(old, new, progress)


class Stopped(Exception):
    """The process ended here."""


def stop_after(count: int) -> StepProgress:
    """Stops a move after so many pages."""
    left = iter(range(count))

    def reported(step: str, done: int, total: int) -> None:
        if next(left, None) is None:
            raise Stopped

    return reported


def stopped(source: Location, target: Location, *, after: int) -> None:
    """A move that ended after so many pages."""
    with raises(Stopped):
        moved(source, target, stop_after(after))


# -- nothing changes ----------------------------------------------------------------------------


def test_every_row_arrives_unchanged(source_and_target: tuple[Location, Location]) -> None:
    source, target = source_and_target
    before = contents(source)

    done = moved(source, target)

    assert contents(target) == before == contents(source)
    counts = {name: len(before[name]) for name in ("events", "texts")}
    assert done.counts == {**counts, "tokens": 2, "leases": 1}
    assert all(before[name] for name in ("events", "texts", "snapshots", "meta"))
    assert (done.position, done.already) == (len(before["events"]), 0)


def test_a_moved_ledger_can_be_opened_and_continues(
    source_and_target: tuple[Location, Location],
) -> None:
    source, target = source_and_target
    done = moved(source, target)

    with target.ledger() as ledger:
        names = sorted(job.name for job in ledger.job_cache.snapshot())
        write(ledger, "new ", 2)
        verdict = verify_event_store(ledger.event_store)

    assert len(names) == 9
    assert verdict.is_sound
    assert verdict.verified > done.position


@pytest.mark.parametrize(("home", "away"), [("sqlite", "postgres"), ("postgres", "sqlite")])
def test_moving_there_and_back_gives_equal_rows(location_of: Build, home: str, away: str) -> None:
    first, second, third = location_of(home), location_of(away), location_of(home)
    fill(first)
    before = contents(first)

    moved(first, second)
    moved(second, third)

    assert contents(third) == before
    assert {name: len(rows) for name, rows in before.items() if not rows} == {}


def test_a_ledger_that_continued_elsewhere_moves_back_with_its_new_events(
    source_and_target: tuple[Location, Location],
) -> None:
    home, away = source_and_target
    known = moved(home, away).position
    with away.ledger() as ledger:
        write(ledger, "away ", 5)

    done = moved(away, home)

    assert done.already == known < done.position
    assert contents(home) == contents(away)


def test_an_empty_ledger_moves_too(location_of: Build) -> None:
    source, target = location_of("sqlite"), location_of("postgres")
    with source.ledger():
        pass

    done = moved(source, target)

    assert (done.position, contents(target)) == (0, contents(source))


# -- interrupted --------------------------------------------------------------------------------


def test_a_move_that_is_stopped_at_any_point_is_finished_by_the_same_command(
    source_and_target: tuple[Location, Location],
) -> None:
    source, target = source_and_target
    done = None
    for pages in count(1):
        try:
            done = moved(source, target, stop_after(pages))
            break
        except Stopped:
            with raises(
                StartRefused, match="incomplete move .*: run the same jobledger move again"
            ):
                target.ledger()

    assert done is not None
    assert done.already == done.position
    assert contents(target) == contents(source)


@pytest.mark.parametrize("pages", [1, 4, 7, 8, 10])
def test_a_stopped_move_leaves_an_intact_prefix(
    source_and_target: tuple[Location, Location], pages: int
) -> None:
    source, target = source_and_target
    stopped(source, target, after=pages)

    half = target.target(an_id(1))
    verdict = verify_event_store(half)
    half.close()

    assert verdict.is_sound
    rows = contents(source)["events"]
    assert contents(target)["events"] == rows[: verdict.verified]
    done = moved(source, target)
    assert (done.already, contents(target)) == (verdict.verified, contents(source))


@pytest.mark.parametrize("source_and_target", WAYS[:2], ids="-to-".join, indirect=True)
@pytest.mark.parametrize("pages", [1, 5, 9])
def test_a_killed_move_is_finished_by_the_same_command(
    source_and_target: tuple[Location, Location], pages: int, tmp_path: Path
) -> None:
    source, target = source_and_target
    assert isinstance(source, SQLiteLocation)
    to = (
        f"SQLiteLocation(Path({str(target.folder.path)!r}))"
        if isinstance(target, SQLiteLocation)
        else f"PostgresLocation(PostgresDsn({target.address.dsn!r}, {target.address.schema!r}))"  # type: ignore[attr-defined]
    )
    script = f"""
import os, signal
from pathlib import Path
from ledger.maintenance.move import move as moving
from tests.contract.ledgers import *
moving.EVENTS_AT_ONCE, moving.ROWS_AT_ONCE = 9, 8
reported = []
def die(step, done, total):
    reported.append(step)
    if len(reported) == {pages}:
        os.kill(os.getpid(), signal.SIGKILL)
source = SQLiteLocation(Path({str(source.folder.path)!r})).source()
moving.move(source, {to}.target(source.ledger_id), die)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL

    moved(source, target)

    assert contents(target) == contents(source)


def test_a_source_that_grew_after_a_stop_arrives_whole(
    source_and_target: tuple[Location, Location],
) -> None:
    """Texts have random ids: new ones sort among those that were moved."""
    source, target = source_and_target
    stopped(source, target, after=8)
    with source.ledger() as ledger:
        write(ledger, "late ", 6)

    moved(source, target)

    assert contents(target) == contents(source)


# -- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_another_ledger_is_never_moved_into(location_of: Build, kind: str) -> None:
    source, target = filled_and_empty(location_of, "sqlite", kind)
    source.execute_directly(f"UPDATE meta SET value = '{an_id(9)}' WHERE key = 'ledger_id'")
    fill(target)
    before = contents(target)

    with raises(StartRefused, match=r"^\S+ contains another ledger \([^\n]+ events\)[^\n]+$"):
        moved(source, target)

    assert contents(target) == before


@pytest.mark.parametrize("source_and_target", WAYS[:2], ids="-to-".join, indirect=True)
def test_a_target_with_another_history_of_the_same_ledger_is_refused(
    source_and_target: tuple[Location, Location],
) -> None:
    source, target = source_and_target
    moved(source, target)
    for location, name in ((source, "here "), (target, "there ")):
        with location.ledger() as ledger:
            write(ledger, name, 1 + (location is source))

    with raises(StartRefused, match=r"another history: its event at position \d+ differs"):
        moved(source, target)
    with raises(StartRefused, match=r"is ahead of .*: position \d+ against \d+\."):
        moved(target, source)


@pytest.mark.parametrize("source_and_target", WAYS[:2], ids="-to-".join, indirect=True)
def test_an_incomplete_move_is_not_accepted_as_a_source(
    source_and_target: tuple[Location, Location], location_of: Build
) -> None:
    source, target = source_and_target
    stopped(source, target, after=9)

    with raises(StartRefused, match="an incomplete move"):
        moved(target, location_of("sqlite"))


def test_a_served_folder_is_neither_source_nor_target(location_of: Build) -> None:
    source, target = filled_and_empty(location_of, "sqlite", "sqlite")

    with source.ledger(), raises(StartRefused, match="is owned by process"):
        moved(source, target)
    with target.ledger(), raises(StartRefused, match="is owned by process"):
        moved(source, target)


def test_read_models_of_another_ledger_beside_the_target_refuse_the_move(
    location_of: Build,
) -> None:
    source, target = filled_and_empty(location_of, "sqlite", "sqlite")
    assert isinstance(target, SQLiteLocation)
    target.folder.create()
    (target.folder.path / "projections.db").touch()

    with raises(StartRefused, match="has the read models of another ledger"):
        moved(source, target)


def test_no_node_appends_to_a_source_on_postgresql_while_it_is_moved(location_of: Build) -> None:
    source, target = filled_and_empty(location_of, "postgres", "sqlite")
    refused: list[LedgerError] = []

    with source.ledger() as node:
        node.event_store._writer.execute("SET lock_timeout = '10ms'")  # type: ignore[attr-defined]

        def append(step: str, done: int, total: int) -> None:
            if not refused:
                try:
                    write(node, "meanwhile ", 1)
                except LedgerError as error:
                    refused.append(error)

        done = moved(source, target, append)
        write(node, "afterwards ", 1)

    assert isinstance(refused[0], Unavailable)
    assert done.position == len(contents(target)["events"]) < len(contents(source)["events"])


def test_a_running_node_refuses_a_move_from_postgresql(location_of: Build) -> None:
    source, target = filled_and_empty(location_of, "postgres", "sqlite")
    source.execute_directly(f"INSERT INTO nodes (node, expires_at) VALUES ('node-7', {2**60})")

    with raises(Unavailable, match="Node node-7 is running on .*: stop every node first"):
        moved(source, target)


def test_losing_the_append_lock_ends_the_move(location_of: Build) -> None:
    source, target = filled_and_empty(location_of, "postgres", "sqlite")
    end_session = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks "
        "WHERE relation = 'append_lock'::regclass AND mode = 'ExclusiveLock'"
    )

    def cut(step: str, done: int, total: int) -> None:
        source.execute_directly(end_session)

    with raises(Unavailable, match="The lock on .* was lost"):
        moved(source, target, cut)

    moved(source, target)
    assert contents(target) == contents(source)


def test_a_ledger_on_postgresql_does_not_move_into_itself(location_of: Build) -> None:
    location = location_of("postgres")
    fill(location)
    before = contents(location)

    with raises(StartRefused, match="or it is the source itself"):
        moved(location, location)

    assert contents(location) == before
    location.ledger().close()


# -- tampered -----------------------------------------------------------------------------------

TAMPERINGS = {
    "an event's state": "UPDATE events SET topic = 'job.deleted' WHERE position = 11",
    "an event's position": "DELETE FROM events WHERE position = 11",
    "a text": "UPDATE texts SET salt = body WHERE id = (SELECT MAX(id) FROM texts)",
    "a missing text": "DELETE FROM texts WHERE id = (SELECT MAX(id) FROM texts)",
    "the last event": "UPDATE events SET recorded_at = recorded_at + 1 WHERE version = 1",
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_a_tampered_source_is_found_and_the_move_fails(
    source_and_target: tuple[Location, Location], what: str
) -> None:
    source, target = source_and_target
    source.execute_directly(TAMPERINGS[what])

    with raises(MoveFailed, match=r"^Position \d+ (of|is)"):
        moved(source, target)

    with raises(StartRefused, match="an incomplete move"):
        target.ledger()


def test_a_text_of_another_type_is_found(location_of: Build) -> None:
    source, target = filled_and_empty(location_of, "sqlite", "postgres")
    first = "(SELECT MIN(id) FROM texts)"
    source.execute_directly(f"UPDATE texts SET body = 'no bytes' WHERE id = {first}")

    with raises(MoveFailed, match="A text in .* differs from what was appended"):
        moved(source, target)


def test_a_target_that_is_tampered_with_during_the_move_is_found(
    source_and_target: tuple[Location, Location],
) -> None:
    source, target = source_and_target
    stopped(source, target, after=10)
    target.execute_directly("UPDATE events SET actor = 'somebody else' WHERE position = 2")

    with raises(MoveFailed, match="^Position 2 of the target is corrupt"):
        moved(source, target)


def test_the_source_can_be_read_while_it_is_moved(location_of: Build) -> None:
    source, target = filled_and_empty(location_of, "sqlite", "sqlite")
    assert isinstance(source, SQLiteLocation)
    path, seen = source.folder.path, set()

    def look(step: str, done: int, total: int) -> None:
        with Ledger.open_read_only(path) as ledger:
            seen.add(ledger.event_store.tail_position())

    done = moved(source, target, look)

    assert seen == {done.position}


def test_the_applications_own_rights_are_enough_where_the_schema_is_there(
    location_of: Build,
) -> None:
    source, target = filled_and_empty(location_of, "sqlite", "postgres")
    assert isinstance(target, PostgresLocation)
    migrate(target.address, new_id=an_id(1))
    as_application = psycopg.conninfo.make_conninfo(target.address.dsn, options=f"-c role={ROLE}")

    done = moved(source, PostgresLocation(PostgresDsn(as_application, target.address.schema)))

    assert done.position
    assert contents(target) == contents(source)
