"""Saves the heads beside the book, some at a time: a cache, so that a start needs only the tail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from ledger.application.job_cache import JobCache
from ledger.domain.job.job import Job
from ledger.errors import LedgerError
from ledger.store.event_store import EventStore

log = logging.getLogger(__name__)

SNAPSHOTS_PER_SAVE = 500
EVENTS_PER_SAVE = 200_000
"""How many events a start may have to fold when the last process was killed: some seconds."""


class SnapshotWriter:
    """When heads are saved, and which. `load_job` gives one whose head was forgotten meanwhile.
    Only the writer's thread asks.
    """

    def __init__(
        self, event_store: EventStore, job_cache: JobCache, load_job: Callable[[UUID], Job]
    ) -> None:
        self._event_store = event_store
        self._job_cache = job_cache
        self._load_job = load_job
        self._unsaved = 0

    def note(self, events: int) -> None:
        """So many events more that a start would have to fold."""
        self._unsaved += events

    def go_on(self) -> None:
        """Go on with the save under way, or begin one when the tail has grown long. Some heads at a
        time, so that no batch waits for all of them.
        """
        if not self._job_cache.saving:
            if self._unsaved < EVENTS_PER_SAVE:
                return
            self._unsaved = 0
            self._job_cache.begin_save()
        self._save_one_lot()

    def finish(self) -> None:
        """Save all that has changed, at the end."""
        self._job_cache.begin_save()
        while self._save_one_lot():
            pass

    def _save_one_lot(self) -> bool:
        """Save some heads, with the last of them the position; False when all is saved, or when it
        cannot be: heads are a cache, and a later save, or the next start, makes up for it.
        """
        lot = self._job_cache.next_lot(SNAPSHOTS_PER_SAVE)
        is_last = not self._job_cache.saving
        try:
            job_cache = list(self._job_cache.frozen(lot, self._load_job))
            position = self._job_cache.saving_position if is_last else None
            self._event_store.save_snapshots(job_cache, position=position)
        except LedgerError as error:
            log.warning("heads were not saved: %s", error)
            self._job_cache.abandon_save(lot)
            return False
        return not is_last
