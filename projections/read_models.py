"""The read models of one ledger: a runner updates them, queries read them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

from ledger.application.ledger import Ledger
from ledger.errors import Behind, Unavailable
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.sqlite.folder import READ_MODELS_FILE
from projections.engine.runner import NOT_BUILT, ModelStatus, Progress, Runner
from projections.engine.threads import ModelRunner, RunnerProcess, RunnerThread
from projections.filters.as_of import AsOf
from projections.models import MODELS
from projections.models.jobs.checkpoints import JobCheckpoints
from projections.stores.model import Model
from projections.stores.rows import RowReader
from projections.stores.sqlite import SQLiteReadModelStore
from projections.stores.store import ReadModelStore
from projections.time_travel.read_models import HistoricalModels, Part

WAIT_SECONDS = 2.0

Mode = Literal["thread", "process", "exclusive", "reader", "fresh"]
"""What updates them: a thread of this process, a child process, the caller alone (not other nodes),
nothing, or nothing after a new build in a temporary folder.
"""


class ModelStopped(Behind):
    """A read model could not apply an event, so waiting for later ones is of no use."""

    def __init__(self, status: ModelStatus, wanted: int) -> None:
        super().__init__(wanted=wanted, reached=status.position)
        self.message = (
            f"The read model {status.name} stopped at position {status.broken_at} and answers "
            "nothing newer until that is repaired; commands and runs go on (see GET /readyz)."
        )
        self.args = (self.message,)
        self.facts |= {"copy": status.name, "broken_at": status.broken_at}


class ReadModels:
    """Opens, updates and reads the read models of one ledger. `start` begins to update them."""

    def __init__(
        self,
        ledger: Ledger,
        store: ReadModelStore,
        runner: Runner | None,
        updater: ModelRunner | None,
        models: Sequence[Model] = MODELS,
        *,
        folder: TemporaryDirectory[str] | None = None,
    ) -> None:
        """`runner` updates the models in the caller's thread, `updater` in its own. `folder` is
        removed at the end.
        """
        jobs = next((one for one in models if isinstance(one, JobCheckpoints)), JobCheckpoints())
        self._past = HistoricalModels(
            ledger.events, store, jobs, lambda part: self._reached((part,))
        )
        self._models = models
        self._writer = ledger.writer
        self._store = store
        self._runner = runner
        self._updater = updater
        self._folder = folder
        self.wait_seconds = WAIT_SECONDS
        """How long a query waits for the models it needs."""
        self.starts_when_needed = False
        """Whether the first query that has to wait starts the updates."""
        self._starting = threading.Lock()
        self._is_started = False

    @classmethod
    def open(
        cls,
        ledger: Ledger,
        path: Path | None = None,
        *,
        mode: Mode = "thread",
        models: Sequence[Model] = MODELS,
    ) -> Self:
        """Open the read models of a ledger. On PostgreSQL they are in its database; on SQLite in
        the file `path`, by default beside the events. Builds what is missing or of another version.

        Raises Unavailable for `exclusive` while a node of a shared ledger updates them.
        """
        if mode == "fresh":
            return cls._open_fresh(ledger, models)
        if isinstance(ledger.location, PostgresDsn):
            return cls._open_shared(ledger, ledger.location, mode, models)
        file = path or ledger.location / READ_MODELS_FILE
        store = SQLiteReadModelStore(file, is_read_only=mode == "reader")
        if mode == "reader":
            return cls(ledger, store, None, None, models)
        if mode == "process":
            settings = {"data": str(ledger.location), "file": str(file)}
            return cls(ledger, store, None, RunnerProcess(settings))
        runner = Runner(ledger.events, store, models)
        updater = RunnerThread(runner) if mode == "thread" else None
        return cls(ledger, store, runner, updater, models)

    @classmethod
    def open_current(cls, ledger: Ledger) -> Self:
        """Open the read models of a ledger as of its last event, and update them from now on. A
        reader of a folder gets the owner's if they have reached that event, else fresh ones.
        """
        if not ledger.is_read_only or isinstance(ledger.location, PostgresDsn):
            read_models = cls.open(ledger)
            read_models.catch_up()
            read_models.start()
            return read_models
        if (ledger.location / READ_MODELS_FILE).exists():
            read_models = cls.open(ledger, mode="reader")
            if read_models.position >= ledger.writer.position:
                return read_models
            read_models.close()
        return cls.open(ledger, mode="fresh")

    @classmethod
    def _open_fresh(cls, ledger: Ledger, models: Sequence[Model]) -> Self:
        with ExitStack() as opened:
            folder = TemporaryDirectory(prefix="jobledger-")
            opened.callback(folder.cleanup)
            store = SQLiteReadModelStore(Path(folder.name) / READ_MODELS_FILE)
            opened.callback(store.close)
            runner = Runner(ledger.events, store, models)
            read_models = cls(ledger, store, runner, None, models, folder=folder)
            read_models.catch_up()
            opened.pop_all()
        return read_models

    @classmethod
    def _open_shared(
        cls, ledger: Ledger, address: PostgresDsn, mode: Mode, models: Sequence[Model]
    ) -> Self:
        from projections.engine.elected import ElectedRunner  # the driver is slow to import
        from projections.stores.postgres import PostgresReadModelStore

        store = PostgresReadModelStore(address)
        if mode == "exclusive":
            with ExitStack() as opened:
                opened.callback(store.close)
                if not store.leader_lock.is_held():
                    raise Unavailable(
                        "A node of this ledger updates its read models: until every node has "
                        "stopped, they can only be read."
                    )
                runner = Runner(ledger.events, store, models)
                opened.pop_all()
            return cls(ledger, store, runner, None, models)
        if mode == "process":
            return cls(ledger, store, None, RunnerProcess({"dsn": asdict(address)}))
        make_runner = partial(Runner, ledger.events, store, models)
        return cls(ledger, store, None, ElectedRunner(store, make_runner, models), models)

    # -- updating -------------------------------------------------------------------------------

    def start(self) -> None:
        """Update the models from now on; further calls do nothing."""
        with self._starting:
            if self._updater is not None and not self._is_started:
                self._writer.listeners.append(self._updater.wake)
                self._updater.start()
            self._is_started = True

    def close(self) -> None:
        """Stop updating and close the store."""
        if self._updater is not None:
            if self._updater.wake in self._writer.listeners:
                self._writer.listeners.remove(self._updater.wake)
            self._updater.close()
        self._store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def catch_up(self) -> None:
        """Apply every event there is, in this thread: for programs without a server."""
        while self.apply_page():
            pass

    def apply_page(self) -> bool:
        """Apply the next events, in this thread; whether there were any."""
        return self._runner is not None and self._runner.run_once() > 0

    def rebuild(self, name: str, progress: Progress) -> tuple[str, str]:
        """Rebuild one model beside its old tables; the digests of old and new. Only for a process
        that nothing else updates them in.
        """
        if self._runner is None:
            raise Unavailable("This process only reads the read models: the owner rebuilds them.")
        model = next(model for model in self._models if name == model.NAME)
        return self._runner.rebuild(model, progress)

    # -- how far they are -----------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The position that every model has reached, stopped ones included."""
        return self._reached(())

    def statuses(self) -> Sequence[ModelStatus]:
        """How far each model is; as stored, where nothing updates them."""
        if self._updater is not None:
            return self._updater.statuses()
        return [self._stored_status(model) for model in self._models]

    def wait_for(
        self, position: int, seconds: float | None = None, *, needs: Collection[str] = ()
    ) -> None:
        """Wait until the models named (without names: all) have reached a position. Raises Behind
        when that takes longer than `seconds` (default: `wait_seconds`), and ModelStopped at once
        when one of them stopped before it.
        """
        if self._updater is None or self._have_reached(position, needs):
            return
        if self.starts_when_needed:
            self.start()
        limit = self.wait_seconds if seconds is None else seconds
        with self._updater.moved:
            if not self._updater.moved.wait_for(lambda: self._have_reached(position, needs), limit):
                raise Behind(wanted=position, reached=self._reached(needs))

    def health(self) -> list[dict[str, Any]]:
        """Each model: name, version, position, whether it is live, behind or stopped, and why it
        stopped: an event it could not apply, or that nothing updates the models.
        """
        tail = self._writer.position
        problem = self._updater.problem if self._updater is not None else None
        return [
            {
                **asdict(status),
                "position": max(0, status.position),
                "problem": status.problem or problem,
                "state": "stopped" if problem else _state(status, tail),
            }
            for status in self.statuses()
        ]

    def _have_reached(self, position: int, needs: Collection[str]) -> bool:
        """Whether the models needed have reached a position. Raises ModelStopped."""
        for status in self._needed(needs):
            broken_at = status.broken_at
            if broken_at is not None and status.position < position >= broken_at:
                raise ModelStopped(status, position)
        return self._reached(needs) >= position

    def _reached(self, needs: Collection[str]) -> int:
        return min((status.position for status in self._needed(needs)), default=NOT_BUILT)

    def _needed(self, needs: Collection[str]) -> list[ModelStatus]:
        return [status for status in self.statuses() if not needs or status.name in needs]

    def _stored_status(self, model: Model) -> ModelStatus:
        stored = self._store.stored_model(model)
        is_current = stored is not None and stored.version == model.VERSION
        position = stored.position if stored is not None and is_current else NOT_BUILT
        broken_at, problem = (stored.broken_at, stored.problem) if stored else (None, None)
        return ModelStatus(model.NAME, model.VERSION, position, broken_at, problem)

    # -- reading --------------------------------------------------------------------------------

    @property
    def is_local(self) -> bool:
        """Whether a row is read without waiting for another machine."""
        return self._store.is_local

    def reading(self, as_of: AsOf | None = None, *parts: Part) -> AbstractContextManager[RowReader]:
        """One committed state of all models, as far as they are; or some parts as they were at a
        position.
        """
        return self._store.reading() if as_of is None else self._past.at(as_of.position, *parts)


def _state(status: ModelStatus, tail: int) -> str:
    """What `health` calls a model's state, with events up to the position `tail`."""
    if status.broken_at is not None:
        return "stopped"
    return "live" if status.position >= tail else "behind"
