"""The copies of one ledger: kept by a runner, asked by every surface, never asked whether a command
is allowed.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from ledger.application.ledger import Ledger
from ledger.domain.recovery.selection import StormMembers
from ledger.errors import Behind, JobNotFound, Unavailable
from ledger.store.postgres.dsn import PostgresDsn
from ledger.store.sqlite import folder as files
from projections.engine.runner import NOT_THERE, ModelStanding, Progress, Runner
from projections.engine.threads import ModelRunner, RunnerProcess, RunnerThread
from projections.filters.as_of import AsOf
from projections.models import runs
from projections.models.gaps import model as gaps
from projections.models.jobs import queries as job_questions
from projections.models.jobs.checkpoints import JobCheckpoints
from projections.models.jobs.queries import JobFilter
from projections.models.resumes import model as resumes
from projections.models.storms import (
    members as storm_recovery,
)
from projections.models.storms import (
    model as storms,
)
from projections.models.storms import (
    queries as storm_questions,
)
from projections.stores.contract import ReadModelStore, RowReader
from projections.stores.model import Model
from projections.stores.sqlite import SQLiteReadModelStore
from projections.time_travel.read_models import HistoricalModels, Part

READ_MODELS_FILE = files.READ_MODELS_FILE
MODELS: tuple[Model, ...] = (JobCheckpoints(), runs, storms, resumes, gaps)
WAIT_SECONDS = 2.0


class Stopped(Behind):
    """A copy met an event that it cannot take in, so waiting for more of it is of no use."""

    def __init__(self, standing: ModelStanding, wanted: int) -> None:
        super().__init__(wanted=wanted, reached=standing.position)
        self.message = (
            f"The copy {standing.name} stopped at position {standing.broken_at} and answers "
            "nothing newer until that is mended; the ledger itself goes on (see GET /readyz)."
        )
        self.args = (self.message,)
        self.facts |= {"copy": standing.name, "broken_at": standing.broken_at}


class ReadModels:
    """The read models of one ledger. `start` begins to follow the book; questions answer from what
    is there.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: ReadModelStore,
        runner: Runner | None,
        follower: ModelRunner | None,
        models: Sequence[Model] = MODELS,
    ) -> None:
        framed = next(
            (model for model in models if isinstance(model, JobCheckpoints)), JobCheckpoints()
        )
        self._pasts = HistoricalModels(
            ledger.events, store, framed, lambda part: self._reached((part,))
        )
        self._models = models
        self._ledger = ledger
        self._store = store
        self._runner = runner
        self._follower = follower
        self.patience_seconds = WAIT_SECONDS
        self.starts_when_needed = False
        """Whether the first question that has to wait for the copies begins to follow the book."""
        self._starting = threading.Lock()
        self._is_started = False

    @classmethod
    def open(
        cls,
        ledger: Ledger,
        path: Path,
        *,
        is_read_only: bool = False,
        models: Sequence[Model] = MODELS,
    ) -> Self:
        """Open the copies file, making or rebuilding what is missing or of another version. They
        are kept by a thread of this process once it is started.
        """
        store = SQLiteReadModelStore(path, is_read_only=is_read_only)
        if is_read_only:
            return cls(ledger, store, None, None, models)
        runner = Runner(ledger.events, store, models)
        return cls(ledger, store, runner, RunnerThread(runner), models)

    @classmethod
    def open_in_process(cls, ledger: Ledger, data: Path, path: Path) -> Self:
        """Open the copies file, to be kept by a process of its own once it is started."""
        what = {"data": str(data), "copies": str(path)}
        return cls(
            ledger,
            SQLiteReadModelStore(path),
            None,
            RunnerProcess("projections.engine.process", what),
        )

    @classmethod
    def open_shared(
        cls, ledger: Ledger, address: PostgresDsn, *, models: Sequence[Model] = MODELS
    ) -> Self:
        """The copies of a ledger on PostgreSQL, beside its book: once started, they are kept by
        whichever of its nodes holds that office.
        """
        from projections.engine.elected import ElectedRunner  # the driver is slow to import
        from projections.stores.postgres import PostgresReadModelStore

        store = PostgresReadModelStore(address)
        make_runner = partial(Runner, ledger.events, store, models)
        return cls(ledger, store, None, ElectedRunner(store, make_runner, models), models)

    @classmethod
    def open_shared_in_process(cls, ledger: Ledger, address: PostgresDsn) -> Self:
        """The same, with a process of its own that stands for the office."""
        from projections.stores.postgres import PostgresReadModelStore

        follower = RunnerProcess("projections.engine.elected_process", asdict(address))
        return cls(ledger, PostgresReadModelStore(address), None, follower)

    @classmethod
    def own_shared(cls, ledger: Ledger, address: PostgresDsn) -> Self:
        """The same for a process that keeps them alone, for as long as it is there. Refuses
        Unavailable while another node does.
        """
        from projections.stores.postgres import PostgresReadModelStore

        with ExitStack() as opened:
            store = PostgresReadModelStore(address)
            opened.callback(store.close)
            if not store.leader_lock.is_held():
                raise Unavailable(
                    "A node of this ledger keeps its copies: until all nodes have ended, this can "
                    "only read."
                )
            runner = Runner(ledger.events, store, MODELS)
            opened.pop_all()
        return cls(ledger, store, runner, None)

    def start(self) -> None:
        """Follow the book from now on. Once is enough."""
        with self._starting:
            if self._follower is not None and not self._is_started:
                self._ledger.writer.listeners.append(self._follower.wake)
                self._follower.start()
            self._is_started = True

    def close(self) -> None:
        """Stop following and give the file back."""
        if self._follower is not None:
            if self._follower.wake in self._ledger.writer.listeners:
                self._ledger.writer.listeners.remove(self._follower.wake)
            self._follower.close()
        self._store.close()

    def catch_up(self) -> None:
        """Take in everything the book has, in this thread: for programs that keep no server."""
        while self.take_page():
            pass

    def take_page(self) -> bool:
        """Take in what the book has next, in this thread; whether there was anything."""
        return self._runner is not None and self._runner.run_once() > 0

    def rebuild(self, name: str, progress: Progress) -> tuple[str, str]:
        """Build one model anew beside the old; returns the digests of old and new. For when nothing
        else runs it.
        """
        if self._runner is None:
            raise Unavailable("This process only reads the copies: the owner rebuilds them.")
        model = next(model for model in self._models if name == model.NAME)
        return self._runner.rebuild(model, progress)

    # -- how far --------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """How far every model has come, stopped ones too."""
        return self._reached(())

    def standings(self) -> Sequence[ModelStanding]:
        """Where each model stands; without a follower, as the file says."""
        if self._follower is not None:
            return self._follower.standings()
        return [self._kept(model) for model in self._models]

    def wait_for(
        self, position: int, seconds: float | None = None, *, needs: Collection[str] = ()
    ) -> None:
        """Wait until the models that are needed (all, if none is named) have reached a position of
        the book. Refuses Behind: when that takes longer than `seconds`, or than the patience they
        were given; at once when one of them has stopped before it.
        """
        if self._follower is None or self._have_reached(position, needs):
            return
        if self.starts_when_needed:
            self.start()
        patience = self.patience_seconds if seconds is None else seconds
        with self._follower.moved:
            if not self._follower.moved.wait_for(
                lambda: self._have_reached(position, needs), patience
            ):
                raise Behind(wanted=position, reached=self._reached(needs))

    def health(self) -> list[dict[str, Any]]:
        """Each model: name, version, position, whether it is live, behind or stopped, and what
        stopped it: an event of its own, or that nobody keeps the copies.
        """
        end = self._ledger.writer.position
        trouble = self._follower.problem if self._follower is not None else None
        return [
            {
                **asdict(item),
                "position": max(0, item.position),
                "problem": item.problem or trouble,
                "state": "stopped" if trouble else state_of(item, end),
            }
            for item in self.standings()
        ]

    def _have_reached(self, position: int, needs: Collection[str]) -> bool:
        """Whether the models needed are there; Stopped when one of them will not be."""
        for item in self._needed(needs):
            if item.broken_at is not None and item.position < position >= item.broken_at:
                raise Stopped(item, position)
        return self._reached(needs) >= position

    def _reached(self, needs: Collection[str]) -> int:
        return min((item.position for item in self._needed(needs)), default=NOT_THERE)

    def _needed(self, needs: Collection[str]) -> list[ModelStanding]:
        return [item for item in self.standings() if not needs or item.name in needs]

    def _kept(self, model: Model) -> ModelStanding:
        standing = self._store.standing(model)
        is_ours = standing is not None and standing.version == model.VERSION
        position = standing.position if standing is not None and is_ours else NOT_THERE
        broken_at, problem = (standing.broken_at, standing.problem) if standing else (None, None)
        return ModelStanding(model.NAME, model.VERSION, position, broken_at, problem)

    # -- questions, answered as far as the copies have come ------------------------------------

    def reading(self, as_of: AsOf | None = None, *parts: Part) -> AbstractContextManager[RowReader]:
        """One committed state of all models, for questions that stand beside this class; or the
        parts of one as they stood at a moment.
        """
        return self._store.reading() if as_of is None else self._pasts.at(as_of.position, *parts)

    def job(self, job_id: UUID) -> dict[str, Any]:
        """One job; JobNotFound when unknown or deleted."""
        with self._store.reading() as questions:
            row = questions.row(job_questions.ONE, {"id": str(job_id)})
        if row is None:
            raise JobNotFound(job_id)
        return job_questions.shape(row)

    def jobs(self, asked: JobFilter) -> tuple[list[dict[str, Any]], str | None]:
        """A page of jobs, and the next page's cursor."""
        with self._store.reading() as questions:
            return job_questions.find(questions, asked)

    def summary(self) -> dict[str, Any]:
        """How many jobs stand where, the next fire, and the newest failures."""
        with self._store.reading() as questions:
            return runs.summary(questions)

    def failing_count(self) -> int:
        """How many active jobs failed the last time they ran."""
        with self._store.reading() as questions:
            [row] = questions.rows(job_questions.FAILING)
        return int(row["count"])

    def storm_members(self, storm_id: str) -> StormMembers:
        """Who tripped in a storm, for a recovery; NotFound when there is none."""
        with self._store.reading() as questions:
            return storm_recovery.members(questions, storm_id)

    def open_storm_count(self) -> int:
        """How many storms are open now."""
        with self._store.reading() as questions:
            return storm_questions.open_count(questions, now=self._ledger.clock.now())

    def storm_of(self, failure: int, as_of: int) -> str | None:
        """The storm that the failure at a position was of, as it was known at another; None also
        while the copies cannot say.
        """
        try:
            self.wait_for(failure, needs=("storms",))
            with self._store.reading() as questions:
                return storm_questions.of_failure(questions, failure, as_of=as_of)
        except Unavailable:
            return None


def state_of(standing: ModelStanding, end: int) -> str:
    """How a model does, when the book has come to `end`."""
    if standing.broken_at is not None:
        return "stopped"
    return "live" if standing.position >= end else "behind"
