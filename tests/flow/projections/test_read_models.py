"""Read models: updated equals rebuilt, a model that fails stops alone, the file may be deleted."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
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
from tests.simulation import invariants as laws
from tests.simulation.simulation import Simulation
from tests.support.builders import NOON, ManualClock, a_spec, open_ledger
from tests.support.read_models import job_in, jobs_in

STEPS = 120
YEAR = timedelta(days=366)


def updated_world(folder: Path, seed: int = 5) -> Simulation:
    """A simulation after some steps, its read models up to date."""
    print(f"seed {seed}, {STEPS} steps")
    simulation = Simulation(folder, seed, fault_rate=0.0)
    for _ in range(STEPS):
        simulation.step()
    simulation.read_models.catch_up()
    return simulation


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
    """The digest of each model, built from the first event in pages of a size."""
    store = SQLiteReadModelStore(path)
    runner = Runner(SmallPages(ledger, size), store, tuple(models))
    while runner.run_once():
        pass
    found = [store.digest(item.model, item.generation) for item in runner.running]
    store.close()
    return found


class Fragile:
    """A read model with a row for each event that fails where a test says."""

    NAME = "fragile"
    TABLES = ("fragile",)
    SCHEMA = "CREATE TABLE fragile{g} (position INTEGER PRIMARY KEY, topic TEXT NOT NULL)"
    PUT = "INSERT INTO fragile{g} (position, topic) VALUES (:position, :topic)"

    def __init__(
        self, version: int = 1, *, raises_at: int | None = None, fails_at: int | None = None
    ) -> None:
        self.VERSION = version
        self.raises_at, self.fails_at = raises_at, fails_at

    def project(self, event: RecordedEvent, /) -> Iterable[Statement]:
        if event.position == self.raises_at:
            raise ZeroDivisionError("a bug in the model")
        topic = None if event.position == self.fails_at else f"{self.VERSION} {event.topic}"
        return [(self.PUT, {"position": event.position, "topic": topic})]


class Opened:
    """What a test opens in its folder, closed after it."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self._folder = folder
        self._closing = closing

    def ledger(self, count: int, folder: str = "") -> Ledger:
        """A ledger with jobs: two events for each."""
        ledger = self._closing.enter_context(open_ledger(self._folder / folder))
        for number in range(count):
            ledger.schedule(a_spec(name=f"job {number}"))
        return ledger

    def read_models(self, ledger: Ledger, *models: Model) -> ReadModels:
        path = self._folder / "read_models.db"
        opened = ReadModels.open(ledger, path, models=models or MODELS)
        self._closing.callback(opened.close)
        return opened

    def broken(self, count: int, **breaks: int) -> tuple[Ledger, Fragile, ReadModels]:
        """A ledger with jobs, and beside its list of jobs a model that stopped."""
        ledger, fragile = self.ledger(count), Fragile(**breaks)
        read_models = self.read_models(ledger, jobs, fragile)
        read_models.catch_up()
        return ledger, fragile, read_models


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    with ExitStack() as closing:
        yield Opened(tmp_path, closing)


def rows(read_models: ReadModels) -> list[tuple[int, str]]:
    with read_models._store.reading() as reader:
        found = reader.rows("SELECT * FROM fragile ORDER BY position")
    return [(row["position"], row["topic"]) for row in found]


# -- equality -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_an_updated_model_equals_a_rebuilt_one(tmp_path: Path, seed: int) -> None:
    simulation = updated_world(tmp_path, seed)

    for model in MODELS:
        before, after = simulation.read_models.rebuild(model.NAME, lambda *_: None)
        assert before == after, model.NAME

    simulation.close()


def test_a_rebuild_does_not_depend_on_the_page_size_or_the_clock(tmp_path: Path) -> None:
    simulation = updated_world(tmp_path)
    store = simulation.read_models._store
    expected = [store.digest(model, 1) for model in MODELS]
    simulation.clock.advance(YEAR)

    for size in (1, 7, 64, 2000):
        assert digests(simulation.ledger, tmp_path / f"{size}.db", size=size) == expected

    simulation.close()


def test_different_events_have_different_digests(opened: Opened, tmp_path: Path) -> None:
    one, other = opened.ledger(3, "1"), opened.ledger(4, "2")

    first = digests(one, tmp_path / "1.db", size=9, models=[jobs])
    second = digests(other, tmp_path / "2.db", size=9, models=[jobs])

    assert first != second


def test_the_list_of_jobs_equals_the_fold_at_every_position(tmp_path: Path) -> None:
    simulation = updated_world(tmp_path)
    store = SQLiteReadModelStore(tmp_path / "slow.db")
    runner = Runner(SmallPages(simulation.ledger, 1), store, MODELS)
    read_models = ReadModels(simulation.ledger, store, runner, None)
    seen: dict[str, int] = {}

    for item in simulation.ledger.event_store.read(after=0, limit=10_000):
        runner.run_once()
        if item.topic.startswith("job."):
            job = simulation.ledger.fold(
                UUID(str(item.originator_id)), upto=item.originator_version
            )
            seen[item.topic] = seen.get(item.topic, 0) + 1
            if laws.is_listed(job):
                assert job_in(read_models, job.id) == view(job), item.id
            else:
                with raises(JobNotFound):
                    job_in(read_models, job.id)

    assert len(seen) > 10
    store.close()
    simulation.close()


def test_a_rebuild_reports_its_progress(opened: Opened) -> None:
    read_models = opened.read_models(opened.ledger(1200))
    read_models.catch_up()
    reported: list[tuple[int, int]] = []

    read_models.rebuild("jobs", lambda done, total: reported.append((done, total)))

    assert reported == [(2000, 2400), (2400, 2400)]


# -- stopped models -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("breaks", "position", "said"),
    [
        *(({"raises_at": position}, position, "a bug in the model") for position in (1, 7, 20)),
        ({"fails_at": 7}, 7, "NOT NULL"),
    ],
)
def test_a_model_that_fails_stops_alone_and_names_its_position(
    opened: Opened, breaks: dict[str, int], position: int, said: str
) -> None:
    _, _, read_models = opened.broken(10, **breaks)

    health = {item["name"]: item for item in read_models.health()}

    assert (health["jobs"]["state"], health["jobs"]["position"]) == ("live", 20)
    assert (health["fragile"]["state"], health["fragile"]["broken_at"]) == ("stopped", position)
    assert said in health["fragile"]["problem"]
    assert [row[0] for row in rows(read_models)] == list(range(1, position))


def test_a_stopped_model_blocks_neither_others_nor_commands(opened: Opened) -> None:
    ledger, _, read_models = opened.broken(1, raises_at=1)

    job_id = ledger.schedule(a_spec(name="later")).job_id
    read_models.catch_up()

    assert job_in(read_models, job_id)["name"] == "later"
    read_models.wait_for(4, 0, needs=["jobs"])
    assert read_models.position == 0


def test_a_query_does_not_wait_for_a_stopped_model_and_names_it(opened: Opened) -> None:
    _, _, read_models = opened.broken(2, raises_at=3)

    with raises(Behind, match="fragile stopped at position 3") as behind:
        read_models.wait_for(4)  # would wait for seconds if the model could still advance

    assert behind.value.facts == {"wanted": 4, "reached": 2, "copy": "fragile", "broken_at": 3}
    read_models.wait_for(4, needs=["jobs"])
    read_models.wait_for(2, needs=["fragile"])


def test_a_waiting_query_is_refused_as_soon_as_a_model_stops(tmp_path: Path) -> None:
    with open_ledger(tmp_path, ManualClock(NOON)) as ledger:
        read_models = ReadModels.open(ledger, tmp_path / "read_models.db")
        read_models.start()
        read_models.wait_for(ledger.schedule(a_spec()).position, 60)
        break_event(tmp_path / "data" / "ledger.db", 3, is_early=True)

        position = ledger.schedule(a_spec(name="another")).position

        with raises(Behind, match="stopped at position 3"):
            read_models.wait_for(position, 60)
        read_models.close()


def test_a_stopped_model_continues_once_it_is_fixed(opened: Opened) -> None:
    _, fragile, read_models = opened.broken(10, raises_at=7)
    fragile.raises_at = None
    assert read_models._runner is not None

    read_models._runner.retry_broken()
    read_models.catch_up()

    assert {item["state"] for item in read_models.health()} == {"live"}
    assert [row[0] for row in rows(read_models)] == list(range(1, 21))


def test_a_stopped_model_is_retried_under_constant_load(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that arrive faster than the retry interval must not postpone the retry for ever."""
    monkeypatch.setattr("projections.engine.threads.RETRY_SECONDS", 0.4)
    fragile = Fragile(raises_at=3)
    read_models = opened.read_models(opened.ledger(2), fragile)
    read_models.start()
    updater = read_models._updater
    assert updater is not None
    wait_for("The failure", lambda: read_models.health()[0]["broken_at"] == 3, seconds=60)

    fragile.raises_at = None

    def has_caught_up_under_load() -> bool:
        updater.wake(4)
        return read_models.position == 4

    wait_for("The fixed model", has_caught_up_under_load, seconds=20)


def test_a_stopped_model_continues_after_a_restart_with_the_fix(opened: Opened) -> None:
    ledger, _, read_models = opened.broken(10, raises_at=7)
    read_models.close()

    read_models = opened.read_models(ledger, jobs, Fragile())
    read_models.catch_up()

    assert [row[0] for row in rows(read_models)] == list(range(1, 21))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failing_database_loses_no_event(opened: Opened, tmp_path: Path, after: bool) -> None:
    """Whichever database call fails, the read models end up as without the failure."""
    ledger = opened.ledger(10)
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


def run_to_the_end(runner: Runner) -> None:
    while runner.run_once():
        pass


# -- versions and files ---------------------------------------------------------------------------


def test_another_version_is_built_beside_the_old_one(opened: Opened) -> None:
    ledger = opened.ledger(3)
    read_models = opened.read_models(ledger, Fragile(1))
    read_models.catch_up()
    read_models.close()

    read_models = opened.read_models(ledger, Fragile(2))

    assert [row[1].split()[0] for row in rows(read_models)] == ["2"] * 6
    assert read_models.health()[0]["position"] == 6
    with read_models._store.reading() as reader:
        found = reader.rows("SELECT name FROM sqlite_master WHERE name LIKE 'fragile%'")
    assert sorted(row["name"] for row in found) == ["fragile", "fragile_2"]


def test_the_same_version_is_not_rebuilt(opened: Opened) -> None:
    ledger = opened.ledger(3)
    read_models = opened.read_models(ledger, Fragile(1))
    read_models.catch_up()
    read_models.close()

    read_models = opened.read_models(ledger, Fragile(1, raises_at=1))
    read_models.catch_up()

    assert read_models.health()[0]["state"] == "live"
    assert len(rows(read_models)) == 6


def test_deleting_the_file_loses_nothing(tmp_path: Path) -> None:
    simulation = updated_world(tmp_path)
    before = jobs_in(simulation.read_models, JobFilter(limit=1000))
    position = simulation.read_models.position
    simulation.read_models.close()
    for path in (tmp_path / "data").glob("projections.db*"):
        path.unlink()

    simulation.read_models = ReadModels.open(
        simulation.ledger, tmp_path / "data" / "projections.db"
    )
    simulation.read_models.catch_up()

    assert jobs_in(simulation.read_models, JobFilter(limit=1000)) == before
    assert simulation.read_models.position == position
    simulation.close()


def test_a_corrupt_event_stops_every_model_at_its_position(opened: Opened, tmp_path: Path) -> None:
    ledger = opened.ledger(4)
    break_event(tmp_path / "data" / "ledger.db", 5)
    read_models = opened.read_models(ledger, jobs, runs)

    read_models.catch_up()

    assert [item["broken_at"] for item in read_models.health()] == [5, 5]
    assert [item["position"] for item in read_models.health()] == [4, 4]


def break_event(path: Path, position: int, *, is_early: bool = False) -> None:
    """Corrupt a stored event, or (early) one that is still to be appended."""
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER events_are_never_changed")
    spoil = f"UPDATE events SET state = x'7b' WHERE position = {position}"
    if is_early:
        spoil = f"CREATE TRIGGER spoil AFTER INSERT ON events BEGIN {spoil}; END"
    connection.execute(spoil)
    connection.commit()
    connection.close()


# -- updating -------------------------------------------------------------------------------------


def test_a_runner_thread_reaches_the_position_of_an_answer(tmp_path: Path) -> None:
    with open_ledger(tmp_path, ManualClock(NOON)) as ledger:
        read_models = ReadModels.open(ledger, tmp_path / "read_models.db")
        read_models.start()

        answer = ledger.schedule(a_spec())
        read_models.wait_for(answer.position, 60)

        assert job_in(read_models, answer.job_id) == answer.job
        read_models.close()


def test_a_query_that_does_not_wait_is_refused_with_the_position_reached(opened: Opened) -> None:
    read_models = opened.read_models(opened.ledger(2))

    with raises(Behind) as behind:
        read_models.wait_for(4, 0)

    assert behind.value.facts == {"wanted": 4, "reached": 0}


class FailingRunner:
    """A runner that raises an unexpected error until it is fixed."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.is_fixed = False
        self.has_failed = threading.Event()

    def run_once(self) -> int:
        if not self.is_fixed:
            self.has_failed.set()
            raise ZeroDivisionError("unexpected")
        return self._runner.run_once()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


def test_a_runner_thread_survives_unexpected_errors_and_reports_them(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.engine.threads.TROUBLE_SECONDS", 0.01)
    ledger = opened.ledger(2)
    store = SQLiteReadModelStore(tmp_path / "read_models.db")
    runner = FailingRunner(Runner(ledger.events, store, MODELS))
    updater = RunnerThread(runner)  # type: ignore[arg-type]
    read_models = ReadModels(ledger, store, None, updater)
    read_models.start()
    runner.has_failed.wait()
    wait_for("The problem", lambda: updater.problem is not None, seconds=60)
    health = read_models.health()

    runner.is_fixed = True
    read_models.wait_for(4, 60)

    assert {item["state"] for item in health} == {"stopped"}
    assert "unexpected" in health[0]["problem"]
    wait_for("Health", lambda: updater.problem is None, seconds=60)
    assert {item["state"] for item in read_models.health()} == {"live"}
    read_models.close()
