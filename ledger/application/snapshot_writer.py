"""Saves snapshots of the cached jobs, a chunk at a time, so that a start needs only the tail."""

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
"""How many events a start may have to fold after a kill: some seconds of work."""


class SnapshotWriter:
    """Decides when to save, and saves. `load_job` reads one that the cache dropped meanwhile. Used
    by the writer's thread only.
    """

    def __init__(
        self, event_store: EventStore, job_cache: JobCache, load_job: Callable[[UUID], Job]
    ) -> None:
        self._event_store = event_store
        self._job_cache = job_cache
        self._load_job = load_job
        self._unsaved = 0

    def count(self, events: int) -> None:
        """Add so many events to those that a start would have to fold."""
        self._unsaved += events

    def save_some(self) -> None:
        """Save the next chunk; begin a save when the tail has grown long. No batch of commands
        waits for more than one chunk.
        """
        if not self._job_cache.saving:
            if self._unsaved < EVENTS_PER_SAVE:
                return
            self._unsaved = 0
            self._job_cache.begin_save()
        self._save_chunk()

    def save_all(self) -> None:
        """Save all changes, at the end."""
        self._job_cache.begin_save()
        while self._save_chunk():
            pass

    def _save_chunk(self) -> bool:
        """Save a chunk, and with the last one the position. False when all is saved or the store
        failed: the next save, or the next start, catches up.
        """
        chunk = self._job_cache.next_chunk(SNAPSHOTS_PER_SAVE)
        is_last = not self._job_cache.saving
        try:
            dumps = list(self._job_cache.dumps(chunk, self._load_job))
            position = self._job_cache.saving_position if is_last else None
            self._event_store.save_snapshots(dumps, position=position)
        except LedgerError as error:
            log.warning("snapshots were not saved: %s", error)
            self._job_cache.abandon_save(chunk)
            return False
        return not is_last
