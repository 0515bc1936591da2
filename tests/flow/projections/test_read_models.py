"""The copies: grown equals rebuilt, a model that throws stops alone, the file may be deleted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest import raises

from api.demo.waiting import wait_for
from ledger import Ledger
from ledger.domain.job.view import view
from ledger.errors import Behind, JobNotFound, LedgerError
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent, StoredEvent
from projections.engine.runner import Runner
from projections.engine.threads import RunnerThread
from projections.models import MODELS, runs
from projections.models.jobs import model as jobs
from projections.models.jobs.queries import JobFilter
from projections.read_models import ReadModels
from projections.stores.model import Model, Statement
from projections.stores.sqlite import SQLiteReadModelStore
from tests.faults.test_store_faults import FailingConnection
from tests.simulation import laws
from tests.simulation.world import World
from tests.support.builders import NOON, ManualClock, a_spec, open_ledger
from tests.support.read_models import job_in, jobs_in

STEPS = 120
YEAR = timedelta(days=366)


def grown(folder: Path, seed: int = 5) -> World:
    """A world that has lived for a while, its copies kept up as it went."""
    print(f"seed {seed}, {STEPS} steps")
    world = World(folder, seed, fault_rate=0.0)
    for _ in range(STEPS):
        world.step()
    world.read_models.catch_up()
    return world


class SmallPages(EventReader):
    """Gives out fewer events at a time than it is asked for."""

    def __init__(self, ledger: Ledger, size: int) -> None:
        super().__init__(ledger.event_store, ledger.mapper)
        self._size = size

    def read_stored(self, *, after: int, limit: int) -> list[StoredEvent]:
        return super().read_stored(after=after, limit=min(limit, self._size))


def digests(
    ledger: Ledger, path: Path, *, size: int, models: Iterable[Model] = MODELS
) -> list[str]:
    """The digest of each model, filled from nothing in pages of a size."""
    store = SQLiteReadModelStore(path)
    runner = Runner(SmallPages(ledger, size), store, tuple(models))
    while runner.run_once():
        pass
    found = [store.digest(place.model, place.generation) for place in runner.running]
    store.close()
    return found


class Fragile:
    """A read model that counts what each job lives through, and breaks where it is told to."""

    NAME = "fragile"
    TABLES = ("fragile",)
    SCHEMA = "CREATE TABLE fragile{g} (position INTEGER PRIMARY KEY, topic TEXT NOT NULL)"
    PUT = "INSERT INTO fragile{g} (position, topic) VALUES (:position, :topic)"

    def __init__(self, version: int = 1) -> None:
        self.VERSION = version
        self.throws_at: int | None = None
        self.fails_at: int | None = None

    def project(self, fact: RecordedEvent, /) -> Iterable[Statement]:
        if fact.position == self.throws_at:
            raise ZeroDivisionError("a mistake in the model")
        topic = None if fact.position == self.fails_at else f"{self.VERSION} {fact.topic}"
        return [(self.PUT, {"position": fact.position, "topic": topic})]


def with_jobs(folder: Path, count: int) -> Ledger:
    """A ledger with jobs: two events for each."""
    ledger = open_ledger(folder)
    for number in range(count):
        ledger.schedule(a_spec(name=f"job {number}"))
    return ledger


def rows(read_models: ReadModels) -> list[tuple[int, str]]:
    with read_models._store.reading() as questions:
        found = questions.rows("SELECT * FROM fragile ORDER BY position")
    return [(row["position"], row["topic"]) for row in found]


# -- P1 and P2 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_what_has_grown_equals_what_is_rebuilt(tmp_path: Path, seed: int) -> None:
    world = grown(tmp_path, seed)

    for model in MODELS:
        before, after = world.read_models.rebuild(model.NAME, lambda *_: None)
        assert before == after, model.NAME

    world.close()


def test_a_rebuild_is_the_same_whatever_the_page_and_a_year_later(tmp_path: Path) -> None:
    world = grown(tmp_path)
    store = world.read_models._store
    kept = [store.digest(model, 1) for model in MODELS]
    world.clock.advance(YEAR)

    for size in (1, 7, 64, 2000):
        assert digests(world.ledger, tmp_path / f"{size}.db", size=size) == kept

    world.close()


def test_different_books_have_different_digests(tmp_path: Path) -> None:
    one, other = with_jobs(tmp_path / "1", 3), with_jobs(tmp_path / "2", 4)

    first = digests(one, tmp_path / "1.db", size=9, models=[jobs])
    second = digests(other, tmp_path / "2.db", size=9, models=[jobs])

    assert first != second
    one.close()
    other.close()


def test_every_copy_equals_the_fold_at_every_position(tmp_path: Path) -> None:
    """P1, page by page of one event."""
    world = grown(tmp_path)
    store = SQLiteReadModelStore(tmp_path / "slow.db")
    runner = Runner(SmallPages(world.ledger, 1), store, MODELS)
    read_models = ReadModels(world.ledger, store, runner, None)
    seen: dict[str, int] = {}

    for item in world.ledger.event_store.read(after=0, limit=10_000):
        runner.run_once()
        if item.topic.startswith("job."):
            job = world.ledger.fold(UUID(str(item.originator_id)), upto=item.originator_version)
            seen[item.topic] = seen.get(item.topic, 0) + 1
            if laws.is_listed(job):
                assert job_in(read_models, job.id) == view(job), item.id
            else:
                with raises(JobNotFound):
                    job_in(read_models, job.id)

    assert len(seen) > 10
    store.close()
    world.close()


def test_a_rebuild_tells_how_far_it_is(tmp_path: Path) -> None:
    ledger = with_jobs(tmp_path, 1200)
    read_models = ReadModels.open(ledger, tmp_path / "copies.db")
    read_models.catch_up()
    told: list[tuple[int, int]] = []

    read_models.rebuild("jobs", lambda done, total: told.append((done, total)))

    assert told == [(2000, 2400), (2400, 2400)]
    read_models.close()
    ledger.close()


# -- P6 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [1, 7, 20])
def test_a_model_that_throws_stops_alone_and_names_its_position(
    tmp_path: Path, position: int
) -> None:
    ledger, fragile = with_jobs(tmp_path, 10), Fragile()
    fragile.throws_at = position
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[jobs, fragile])

    read_models.catch_up()

    health = {item["name"]: item for item in read_models.health()}
    assert (health["jobs"]["state"], health["jobs"]["position"]) == ("live", 20)
    assert (health["fragile"]["state"], health["fragile"]["broken_at"]) == ("stopped", position)
    assert "a mistake in the model" in health["fragile"]["problem"]
    assert [row[0] for row in rows(read_models)] == list(range(1, position))
    read_models.close()
    ledger.close()


def test_a_stopped_model_does_not_hold_up_the_others_nor_the_book(tmp_path: Path) -> None:
    ledger, fragile = with_jobs(tmp_path, 1), Fragile()
    fragile.throws_at = 1
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[jobs, fragile])
    read_models.catch_up()

    job_id = ledger.schedule(a_spec(name="later")).job_id
    read_models.catch_up()

    assert job_in(read_models, job_id)["name"] == "later"
    read_models.wait_for(4, 0, needs=["jobs"])
    assert read_models.position == 0
    read_models.close()
    ledger.close()


def test_a_stopped_model_is_not_waited_for_and_is_named(tmp_path: Path) -> None:
    ledger, fragile = with_jobs(tmp_path, 2), Fragile()
    fragile.throws_at = 3
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[jobs, fragile])
    read_models.catch_up()

    with raises(Behind, match="fragile stopped at position 3") as behind:
        read_models.wait_for(4)  # with a patience of seconds, which nothing here would end

    assert behind.value.facts == {"wanted": 4, "reached": 2, "copy": "fragile", "broken_at": 3}
    read_models.wait_for(4, needs=["jobs"])
    read_models.wait_for(2, needs=["fragile"])
    read_models.close()
    ledger.close()


def test_who_waits_for_a_model_that_stops_is_told_at_once(tmp_path: Path) -> None:
    with open_ledger(tmp_path, ManualClock(NOON)) as ledger:
        read_models = ReadModels.open(ledger, tmp_path / "copies.db")
        read_models.start()
        read_models.wait_for(ledger.schedule(a_spec()).position, 60)
        break_event(tmp_path / "data" / "ledger.db", 3, is_early=True)

        position = ledger.schedule(a_spec(name="another")).position

        with raises(Behind, match="stopped at position 3"):
            read_models.wait_for(position, 60)
        read_models.close()


def test_a_stopped_model_goes_on_when_it_is_mended(tmp_path: Path) -> None:
    ledger, fragile = with_jobs(tmp_path, 10), Fragile()
    fragile.throws_at = 7
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[jobs, fragile])
    read_models.catch_up()
    fragile.throws_at = None
    assert read_models._runner is not None

    read_models._runner.retry_broken()
    read_models.catch_up()

    assert {item["state"] for item in read_models.health()} == {"live"}
    assert [row[0] for row in rows(read_models)] == list(range(1, 21))
    read_models.close()
    ledger.close()


def test_a_stopped_model_is_tried_again_however_busy_the_book_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """News that come more often than it is tried again must not put that off for ever."""
    monkeypatch.setattr("projections.engine.threads.RETRY_SECONDS", 0.4)
    ledger, fragile = with_jobs(tmp_path, 2), Fragile()
    fragile.throws_at = 3
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[fragile])
    read_models.start()
    follower = read_models._updater
    assert follower is not None
    wait_for("The mistake", lambda: read_models.health()[0]["broken_at"] == 3, seconds=60)

    fragile.throws_at = None

    def is_mended_beside_news() -> bool:
        follower.wake(4)
        return read_models.position == 4

    wait_for("The mended model", is_mended_beside_news, seconds=20)
    read_models.close()
    ledger.close()


def test_a_stopped_model_goes_on_after_a_restart_of_the_mended_program(tmp_path: Path) -> None:
    ledger, fragile = with_jobs(tmp_path, 10), Fragile()
    fragile.throws_at = 7
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[fragile])
    read_models.catch_up()
    read_models.close()

    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[Fragile()])
    read_models.catch_up()

    assert [row[0] for row in rows(read_models)] == list(range(1, 21))
    read_models.close()
    ledger.close()


def test_a_model_whose_statement_fails_names_the_event_that_failed(tmp_path: Path) -> None:
    ledger, fragile = with_jobs(tmp_path, 10), Fragile()
    fragile.fails_at = 7
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[jobs, fragile])

    read_models.catch_up()

    health = {item["name"]: item for item in read_models.health()}
    assert health["jobs"]["state"] == "live"
    assert (health["fragile"]["state"], health["fragile"]["broken_at"]) == ("stopped", 7)
    assert [row[0] for row in rows(read_models)] == [1, 2, 3, 4, 5, 6]
    read_models.close()
    ledger.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_copies_file_in_trouble_loses_no_event_once_it_is_well(
    tmp_path: Path, after: bool
) -> None:
    """Whatever call of the database fails, the copies are in the end what they would have been."""
    ledger = with_jobs(tmp_path, 10)
    wanted = digests(ledger, tmp_path / "wanted.db", size=2000)
    for number in range(1, 60):
        store = SQLiteReadModelStore(tmp_path / f"{number}.db")
        runner = Runner(SmallPages(ledger, 8), store, MODELS)
        connection = FailingConnection(store._writer)
        store._writer = connection  # type: ignore[assignment]
        connection.arm(number, after=after, goes_on=False)

        with suppress(LedgerError):
            run_to_the_end(runner)
        connection.heal()
        runner.retry_broken()
        run_to_the_end(runner)

        assert [store.digest(model, 1) for model in MODELS] == wanted, number
        store.close()
    ledger.close()


def run_to_the_end(runner: Runner) -> None:
    while runner.run_once():
        pass


# -- versions and files -------------------------------------------------------------------------


def test_another_version_is_built_anew_beside_the_old(tmp_path: Path) -> None:
    ledger = with_jobs(tmp_path, 3)
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[Fragile(1)])
    read_models.catch_up()
    read_models.close()

    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[Fragile(2)])

    assert [row[1].split()[0] for row in rows(read_models)] == ["2"] * 6
    assert read_models.health()[0]["position"] == 6
    with read_models._store.reading() as questions:
        found = questions.rows("SELECT name FROM sqlite_master WHERE name LIKE 'fragile%'")
    assert sorted(row["name"] for row in found) == ["fragile", "fragile_2"]
    read_models.close()
    ledger.close()


def test_the_same_version_is_taken_as_it_is(tmp_path: Path) -> None:
    ledger = with_jobs(tmp_path, 3)
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[Fragile(1)])
    read_models.catch_up()
    read_models.close()
    unused = Fragile(1)
    unused.throws_at = 1

    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[unused])
    read_models.catch_up()

    assert read_models.health()[0]["state"] == "live"
    assert len(rows(read_models)) == 6
    read_models.close()
    ledger.close()


def test_deleting_the_file_loses_nothing(tmp_path: Path) -> None:
    world = grown(tmp_path)
    before = jobs_in(world.read_models, JobFilter(limit=1000))
    position = world.read_models.position
    world.read_models.close()
    for path in (tmp_path / "data").glob("projections.db*"):
        path.unlink()

    world.read_models = ReadModels.open(world.ledger, tmp_path / "data" / "projections.db")
    world.read_models.catch_up()

    assert jobs_in(world.read_models, JobFilter(limit=1000)) == before
    assert world.read_models.position == position
    world.close()


def test_a_corrupt_event_stops_the_copies_at_its_position(tmp_path: Path) -> None:
    ledger = with_jobs(tmp_path, 4)
    break_event(tmp_path / "data" / "ledger.db", 5)
    read_models = ReadModels.open(ledger, tmp_path / "copies.db", models=[jobs, runs])

    read_models.catch_up()

    assert [item["broken_at"] for item in read_models.health()] == [5, 5]
    assert [item["position"] for item in read_models.health()] == [4, 4]
    read_models.close()
    ledger.close()


def break_event(path: Path, position: int, *, is_early: bool = False) -> None:
    """Spoil an event that is in the book, or one that is still to come."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER events_are_never_changed")
    spoil = f"UPDATE events SET state = x'7b' WHERE position = {position}"
    if is_early:
        spoil = f"CREATE TRIGGER spoil AFTER INSERT ON events BEGIN {spoil}; END"
    connection.execute(spoil)
    connection.commit()
    connection.close()


# -- following ----------------------------------------------------------------------------------


def test_a_runner_thread_reaches_what_was_answered(tmp_path: Path) -> None:
    with open_ledger(tmp_path, ManualClock(NOON)) as ledger:
        read_models = ReadModels.open(ledger, tmp_path / "copies.db")
        read_models.start()

        answer = ledger.schedule(a_spec())
        read_models.wait_for(answer.position, 60)

        assert job_in(read_models, answer.job_id) == answer.job
        read_models.close()


def test_who_does_not_wait_is_told_how_far_the_copies_are(tmp_path: Path) -> None:
    ledger = with_jobs(tmp_path, 2)
    read_models = ReadModels.open(ledger, tmp_path / "copies.db")

    with raises(Behind) as behind:
        read_models.wait_for(4, 0)

    assert behind.value.facts == {"wanted": 4, "reached": 0}
    read_models.close()
    ledger.close()


class Unsound:
    """A runner that fails in a way nobody has thought of, until it is mended."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.is_mended = False
        self.has_failed = threading.Event()

    def run_once(self) -> int:
        if not self.is_mended:
            self.has_failed.set()
            raise ZeroDivisionError("nobody thought of it")
        return self._runner.run_once()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


def test_a_runner_thread_outlives_whatever_goes_wrong_and_says_what_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.engine.threads.TROUBLE_SECONDS", 0.01)
    ledger = with_jobs(tmp_path, 2)
    store = SQLiteReadModelStore(tmp_path / "copies.db")
    runner = Unsound(Runner(ledger.events, store, MODELS))
    follower = RunnerThread(runner)  # type: ignore[arg-type]
    read_models = ReadModels(ledger, store, None, follower)
    read_models.start()
    runner.has_failed.wait()
    wait_for("The problem", lambda: follower.problem is not None, seconds=60)
    health = read_models.health()

    runner.is_mended = True
    read_models.wait_for(4, 60)

    assert {item["state"] for item in health} == {"stopped"}
    assert "nobody thought of it" in health[0]["problem"]
    wait_for("Health", lambda: follower.problem is None, seconds=60)
    assert {item["state"] for item in read_models.health()} == {"live"}
    read_models.close()
    ledger.close()
