"""Pulls events from the book and keeps every read model up to date. A model that fails stops alone
and says where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.errors import CorruptEvent, Unavailable
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.stores.contract import ReadModelStore, Standing
from projections.stores.model import Model

PAGE = 2000
"""Events read, and applied in one transaction, at a time."""

NOT_THERE = -1
"""The position of a model that has no tables yet, or only those of another version."""

Progress = Callable[[int, int], None]
"""Told (events done, events in all) while something is rebuilt."""


@dataclass(slots=True)
class Place:
    """Where one model stands, and what stopped it, if anything did."""

    model: Model
    generation: int
    position: int
    broken_at: int | None = None
    problem: str | None = None
    noted: int | None = None
    """What others were told of `broken_at`."""


@dataclass(frozen=True, slots=True)
class ModelStanding:
    """Where one model stands, as others are told."""

    name: str
    version: int
    position: int
    broken_at: int | None
    problem: str | None


class Runner:
    """Keeps the models of one copies file up to date. `run_once` does one bounded step; the loop
    around it only waits.
    """

    def __init__(self, events: EventReader, store: ReadModelStore, models: Sequence[Model]) -> None:
        self._events = events
        self._store = store
        self._is_unsure = False
        self.places = [self._place(model) for model in models]

    def run_once(self) -> int:
        """Apply one page to the models that are furthest behind; returns how many events it took
        in.
        """
        count = self._take_page()
        self._note_trouble()
        return count

    def _take_page(self) -> int:
        if self._is_unsure:
            self._look_again()
        live = [place for place in self.places if place.broken_at is None]
        if not live:
            return 0
        start = min(place.position for place in live)
        facts = self._facts(start, live)
        if not facts:
            return 0
        self._is_unsure = True
        with self._store.transaction():
            behind = [place for place in live if place.position == start]
            reached = [self._advance(place, facts) for place in behind]
        for place, position in zip(behind, reached, strict=True):
            place.position = position  # only now may readers count on it: it is committed
        self._is_unsure = any(place.broken_at is not None for place in live)
        return len(facts)

    def _note_trouble(self) -> None:
        """Let other processes know what stopped a model, or that it goes on."""
        for place in self.places:
            if place.broken_at != place.noted:
                with self._store.transaction():
                    self._store.note_trouble(place.model, place.broken_at, place.problem)
                place.noted = place.broken_at

    def _look_again(self) -> None:
        """After a failure: where the models stand is what the file says."""
        with self._store.transaction():
            standings = [self._store.standing(place.model) for place in self.places]
        for place, standing in zip(self.places, standings, strict=True):
            place.position = standing.position if standing else 0
            place.noted = standing.broken_at if standing else None
        self._is_unsure = False

    def standings(self) -> list[ModelStanding]:
        """Where each model stands."""
        return [
            ModelStanding(
                place.model.NAME,
                place.model.VERSION,
                place.position,
                place.broken_at,
                place.problem,
            )
            for place in self.places
        ]

    def retry_broken(self) -> None:
        """Let stopped models try again: the cause may have been mended."""
        for place in self.places:
            place.broken_at = place.problem = None

    def rebuild(self, model: Model, progress: Progress) -> tuple[str, str]:
        """Build a model beside its old tables and swap. Returns the digests before and after, at
        the same position.
        """
        place = next(item for item in self.places if item.model is model)
        built = Place(model, place.generation + 1, 0)
        self._store.create(model, built.generation)
        self._fill(built, place.position, progress)
        digests = (
            self._store.digest(model, place.generation),
            self._store.digest(model, built.generation),
        )
        standing = Standing(model.VERSION, built.generation, built.position)
        self._store.swap(model, standing, retired=place.generation)
        place.generation = built.generation
        return digests

    # -- parts ----------------------------------------------------------------------------------

    def _place(self, model: Model) -> Place:
        standing = self._store.standing(model)
        if standing is not None and standing.version == model.VERSION:
            return Place(model, standing.generation, standing.position, noted=standing.broken_at)
        built = Place(
            model,
            standing.generation + 1 if standing else 1,
            0,
            noted=standing.broken_at if standing else None,
        )
        self._store.create(model, built.generation)
        if standing is not None:
            self._fill(built, standing.position, _nobody_watches)
        retired = standing.generation if standing else None
        self._store.swap(
            model, Standing(model.VERSION, built.generation, built.position), retired=retired
        )
        return built

    def _fill(self, built: Place, upto: int, progress: Progress) -> None:
        while built.position < upto:
            page = self._events.read(after=built.position, limit=PAGE)
            facts = [fact for fact in page if fact.position <= upto]
            with self._store.transaction():
                for fact in facts:
                    self._store.apply(built.model.project(fact), built.generation)
            built.position = facts[-1].position
            progress(built.position, upto)

    def _facts(self, start: int, live: Sequence[Place]) -> list[RecordedEvent]:
        page = self._events.read_stored(after=start, limit=PAGE)
        try:
            return self._events.decode(page)
        except CorruptEvent as error:
            readable = [item for item in page if item.id < (error.position or 0)]
            if not readable:
                for place in live:
                    if place.position == start:
                        place.broken_at = error.position or start + 1
                        place.problem = error.message
            return self._events.decode(readable)

    def _advance(self, place: Place, facts: Sequence[RecordedEvent]) -> int:
        """Take in a page; when that fails, event by event up to the one that fails. Gives the
        position that was reached.
        """
        if self._take_in(place, facts) is None:
            return facts[-1].position
        for fact in facts:
            problem = self._take_in(place, [fact])
            if problem is not None:
                place.broken_at, place.problem = fact.position, problem
                return fact.position - 1
        return facts[-1].position

    def _take_in(self, place: Place, facts: Sequence[RecordedEvent]) -> str | None:
        """All of some events or nothing; why not, if not."""
        try:
            statements = [part for fact in facts for part in place.model.project(fact)]
            with self._store.savepoint():
                self._store.apply(statements, place.generation)
                self._store.move(place.model, facts[-1].position)
        except Unavailable:
            raise  # the database's trouble, which the model has no part in
        except Exception as error:  # noqa: BLE001  a model's mistake stops that model, nothing else
            return f"{type(error).__name__}: {error}"
        return None


def _nobody_watches(done: int, total: int) -> None:
    pass
