"""Pulls events from the event store and applies them to every read model. A model that fails stops
alone and records where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.errors import CorruptEvent, Unavailable
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.stores.model import Model
from projections.stores.store import ReadModelStore, StoredModel

PAGE = 2000
"""Events read, and applied in one transaction, at a time."""

NOT_BUILT = -1
"""The position of a model that has no tables yet, or only those of another version."""

Progress = Callable[[int, int], None]
"""Called with (events done, events in all) while a model is rebuilt."""


@dataclass(slots=True)
class RunningModel:
    """A model, the generation it is applied to, how far, and what stopped it, if anything did."""

    model: Model
    generation: int
    position: int
    broken_at: int | None = None
    problem: str | None = None
    stored_broken_at: int | None = None
    """What the store has of `broken_at`."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """How far one model is, for readers of it."""

    name: str
    version: int
    position: int
    broken_at: int | None
    problem: str | None


class Runner:
    """Applies events to the models of one store. `run_once` does one bounded step; the loop around
    it only waits.
    """

    def __init__(self, events: EventReader, store: ReadModelStore, models: Sequence[Model]) -> None:
        self._events = events
        self._store = store
        self._is_unsure = False
        """Whether the positions in memory may differ from the stored ones."""
        self.running = [self._open(model) for model in models]

    def run_once(self) -> int:
        """Apply one page to the models that are furthest behind; the number of its events."""
        count = self._apply_page()
        self._store_failures()
        return count

    def _apply_page(self) -> int:
        if self._is_unsure:
            self._reload()
        live = [item for item in self.running if item.broken_at is None]
        if not live:
            return 0
        start = min(item.position for item in live)
        page = self._read(start, live)
        if not page:
            return 0
        self._is_unsure = True
        with self._store.transaction():
            behind = [item for item in live if item.position == start]
            reached = [self._advance(item, page) for item in behind]
        for item, position in zip(behind, reached, strict=True):
            item.position = position  # readers may rely on it only once it is committed
        self._is_unsure = any(item.broken_at is not None for item in live)
        return len(page)

    def _store_failures(self) -> None:
        """Let other processes know what stopped a model, or that nothing does any more."""
        for item in self.running:
            if item.broken_at != item.stored_broken_at:
                with self._store.transaction():
                    self._store.set_failure(item.model, item.broken_at, item.problem)
                item.stored_broken_at = item.broken_at

    def _reload(self) -> None:
        """After a failure only the store knows what was committed."""
        with self._store.transaction():
            found = [self._store.stored_model(item.model) for item in self.running]
        for item, stored in zip(self.running, found, strict=True):
            item.position = stored.position if stored else 0
            item.stored_broken_at = stored.broken_at if stored else None
        self._is_unsure = False

    def statuses(self) -> list[ModelStatus]:
        """How far each model is."""
        return [
            ModelStatus(
                item.model.NAME, item.model.VERSION, item.position, item.broken_at, item.problem
            )
            for item in self.running
        ]

    def retry_broken(self) -> None:
        """Let stopped models try again: the cause may be gone."""
        for item in self.running:
            item.broken_at = item.problem = None

    def rebuild(self, model: Model, progress: Progress) -> tuple[str, str]:
        """Build a new generation of a model's tables and swap; the digests of the old and the new
        one at the same position.
        """
        item = next(item for item in self.running if item.model is model)
        built = RunningModel(model, item.generation + 1, 0)
        self._store.create(model, built.generation)
        self._fill(built, item.position, progress)
        old, new = (self._store.digest(model, one.generation) for one in (item, built))
        self._swap(built, retired=item.generation)
        item.generation = built.generation
        return old, new

    # -- parts ----------------------------------------------------------------------------------

    def _open(self, model: Model) -> RunningModel:
        stored = self._store.stored_model(model)
        broken_at = stored.broken_at if stored else None
        if stored is not None and stored.version == model.VERSION:
            return RunningModel(
                model, stored.generation, stored.position, stored_broken_at=broken_at
            )
        generation = stored.generation + 1 if stored else 1
        built = RunningModel(model, generation, 0, stored_broken_at=broken_at)
        self._store.create(model, generation)
        if stored is not None:
            self._fill(built, stored.position, _no_progress)
        self._swap(built, retired=stored.generation if stored else None)
        return built

    def _swap(self, built: RunningModel, *, retired: int | None) -> None:
        model = built.model
        stored = StoredModel(model.VERSION, built.generation, built.position)
        self._store.swap(model, stored, retired=retired)

    def _fill(self, built: RunningModel, upto: int, progress: Progress) -> None:
        while built.position < upto:
            page = self._events.read(after=built.position, limit=PAGE)
            page = [event for event in page if event.position <= upto]
            with self._store.transaction():
                for event in page:
                    self._store.apply(built.model.project(event), built.generation)
            built.position = page[-1].position
            progress(built.position, upto)

    def _read(self, start: int, live: Sequence[RunningModel]) -> list[RecordedEvent]:
        """A page of events, up to the first one that is corrupt."""
        page = self._events.read_stored(after=start, limit=PAGE)
        try:
            return self._events.decode(page)
        except CorruptEvent as error:
            readable = [item for item in page if item.id < (error.position or 0)]
            if not readable:
                for item in live:
                    if item.position == start:
                        item.broken_at = error.position or start + 1
                        item.problem = error.message
            return self._events.decode(readable)

    def _advance(self, item: RunningModel, page: Sequence[RecordedEvent]) -> int:
        """Apply a page, or, when that fails, one event at a time up to the one that fails; the
        position reached.
        """
        if self._apply(item, page) is None:
            return page[-1].position
        for event in page:
            problem = self._apply(item, [event])
            if problem is not None:
                item.broken_at, item.problem = event.position, problem
                return event.position - 1
        return page[-1].position

    def _apply(self, item: RunningModel, events: Sequence[RecordedEvent]) -> str | None:
        """Apply all of some events, or none; the problem, if none."""
        try:
            statements = [part for event in events for part in item.model.project(event)]
            with self._store.savepoint():
                self._store.apply(statements, item.generation)
                self._store.set_position(item.model, events[-1].position)
        except Unavailable:
            raise  # the database failed, not the model
        except Exception as error:  # noqa: BLE001  a model's bug stops that model, nothing else
            return f"{type(error).__name__}: {error}"
        return None


def _no_progress(done: int, total: int) -> None:
    pass
