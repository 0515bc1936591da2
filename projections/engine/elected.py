"""Updates the read models of a ledger with several nodes: the node that holds the leader lock does;
the others read how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from projections.engine.runner import NOT_BUILT, ModelStatus, Runner
from projections.engine.threads import LoopRunner
from projections.stores.model import Model
from projections.stores.postgres import PostgresReadModelStore
from projections.stores.store import StoredModel

STALE_SECONDS = 0.25
"""How long a node may not know of the leader's progress, or that the leader is gone."""
START_SECONDS = 10.0
"""How long a start waits for the models to be built; then it goes on, and queries are refused."""
IDLE_SECONDS = 2.0
"""How often an idle leader renews its lock."""


class ElectedRunner(LoopRunner):
    """Runs the models while it holds the leader lock. `make_runner` is called when it gets the
    lock: from then on the tables are its own to create.
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
        self._statuses = [_status(model, None) for model in models]

    def start(self) -> None:
        """Start, and wait a while until the leader has built what is missing."""
        super().start()
        with self.moved:
            self.moved.wait_for(self._are_built, START_SECONDS)

    def _are_built(self) -> bool:
        return all(status.position > NOT_BUILT for status in self.statuses())

    def statuses(self) -> Sequence[ModelStatus]:
        """How far each model is, as far as this node knows."""
        runner = self._runner
        return runner.statuses() if runner is not None else self._statuses

    def close(self) -> None:
        """Finish the current step and release the leader lock."""
        super().close()
        self._stop_leading()
        self._store.leader_lock.close()

    def _stop_leading(self) -> None:
        """The last statuses stay until the next leader stores newer ones."""
        self._statuses, self._runner = list(self.statuses()), None

    def _step(self) -> float:
        try:
            return self._lead_or_follow()
        except Exception:
            self._stop_leading()
            raise

    def _lead_or_follow(self) -> float:
        if not self._store.leader_lock.is_held():
            self._runner = None
            self._read_statuses()
            return 0.0
        if self._runner is None:
            self._store.stop_listening()
            self._runner = self._make_runner()
        self._catch_up(self._runner)
        return IDLE_SECONDS

    def _read_statuses(self) -> None:
        stored = self._store.stored_models()
        statuses = [_status(model, stored.get(model.NAME)) for model in self._models]
        if statuses != self._statuses:
            self._statuses = statuses
            self._notify_moved()
        self._store.wait_for_commit(STALE_SECONDS)


def _status(model: Model, stored: StoredModel | None) -> ModelStatus:
    """A model of another version counts as not built: the leader may be of an older release."""
    if stored is None or stored.version != model.VERSION:
        return ModelStatus(model.NAME, model.VERSION, NOT_BUILT, None, None)
    return ModelStatus(model.NAME, model.VERSION, stored.position, stored.broken_at, stored.problem)
