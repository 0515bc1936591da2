"""Who keeps the copies of a ledger of several nodes: the one that holds the office. The others hear
from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from projections.engine.runner import NOT_THERE, ModelStanding, Runner
from projections.engine.threads import LoopThread
from projections.stores.contract import Standing
from projections.stores.model import Model
from projections.stores.postgres import PostgresReadModelStore

LOOK_SECONDS = 0.25
"""How long a node does not know at most that another has brought the copies further, or has left
the office.
"""
START_SECONDS = 10.0
"""How long a start waits for the copies to be there; then it goes on, and questions are refused."""
HOLD_SECONDS = 2.0
"""How often the keeper says that it is there, when there is nothing to do."""


class ElectedRunner(LoopThread):
    """See `projections.engine.threads.Follower`. Keeps the copies while it holds the office, and
    otherwise learns how far its holder has come. `make_runner` is called whenever the office is
    won: the tables are then ours to make.
    """

    def __init__(
        self,
        store: PostgresReadModelStore,
        make_runner: Callable[[], Runner],
        models: Sequence[Model],
    ) -> None:
        super().__init__()
        self._store = store
        self._make_runner = make_runner
        self._models = models
        self._runner: Runner | None = None
        self._told = [_told_of(model, None) for model in models]

    def start(self) -> None:
        """Begin, and wait a little until there is something to ask: whoever holds the office makes
        what is missing.
        """
        super().start()
        with self.moved:
            self.moved.wait_for(self._is_there, START_SECONDS)

    def _is_there(self) -> bool:
        return all(item.position > NOT_THERE for item in self.standings())

    @property
    def is_leader(self) -> bool:
        """Whether this node keeps the copies at present."""
        return self._runner is not None

    def standings(self) -> Sequence[ModelStanding]:
        """Where each model stands, as far as this node knows."""
        runner = self._runner
        return runner.standings() if runner is not None else self._told

    def close(self) -> None:
        """Finish the step under way and leave the office."""
        super().close()
        self._leave_off()
        self._store.leader_lock.close()

    def _leave_off(self) -> None:
        """What is known of the copies stays known until the office's holder says more."""
        self._told, self._runner = list(self.standings()), None

    def _step(self) -> None:
        if not self._store.leader_lock.is_held():
            self._runner = None
            self._listen()
        elif self._runner is None:
            self._store.stop_listening()
            self._runner = self._make_runner()
            self._bell.set()
        else:
            self._keep(self._runner)

    def _keep(self, runner: Runner) -> None:
        self._bell.wait(HOLD_SECONDS)
        self._catch_up(runner)

    def _listen(self) -> None:
        told = self._store.told_standings()
        standings = [_told_of(model, told.get(model.NAME)) for model in self._models]
        if standings != self._told:
            self._told = standings
            self._tell()
        self._store.wait_for_news(LOOK_SECONDS)


def _told_of(model: Model, standing: Standing | None) -> ModelStanding:
    """A model of another version than ours is not there yet: whoever keeps the copies may be of an
    older release.
    """
    if standing is None or standing.version != model.VERSION:
        return ModelStanding(model.NAME, model.VERSION, NOT_THERE, None, None)
    return ModelStanding(
        model.NAME, model.VERSION, standing.position, standing.broken_at, standing.problem
    )
