"""Saves the heads beside the book, some at a time: a cache, so that a start needs only the tail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

from ledger.application.job_cache import Heads
from ledger.domain.job.job import Job
from ledger.errors import LedgerError
from ledger.store.event_store import Book

log = logging.getLogger(__name__)

HEADS_PER_SAVE = 500
EVENTS_PER_SAVE = 200_000
"""How many events a start may have to fold when the last process was killed: some seconds."""


class Saving:
    """When heads are saved, and which. `load_job` gives one whose head was forgotten meanwhile.
    Only the writer's thread asks.
    """

    def __init__(self, book: Book, heads: Heads, load_job: Callable[[UUID], Job]) -> None:
        self._book = book
        self._heads = heads
        self._load_job = load_job
        self._unsaved = 0

    def note(self, events: int) -> None:
        """So many events more that a start would have to fold."""
        self._unsaved += events

    def go_on(self) -> None:
        """Go on with the save under way, or begin one when the tail has grown long. Some heads at a
        time, so that no batch waits for all of them.
        """
        if not self._heads.saving:
            if self._unsaved < EVENTS_PER_SAVE:
                return
            self._unsaved = 0
            self._heads.begin_save()
        self._save_one_lot()

    def finish(self) -> None:
        """Save all that has changed, at the end."""
        self._heads.begin_save()
        while self._save_one_lot():
            pass

    def _save_one_lot(self) -> bool:
        """Save some heads, with the last of them the position; False when all is saved, or when it
        cannot be: heads are a cache, and a later save, or the next start, makes up for it.
        """
        lot = self._heads.next_lot(HEADS_PER_SAVE)
        is_last = not self._heads.saving
        try:
            heads = list(self._heads.frozen(lot, self._load_job))
            position = self._heads.saving_position if is_last else None
            self._book.save_heads(heads, position=position)
        except LedgerError as error:
            log.warning("heads were not saved: %s", error)
            self._heads.abandon_save(lot)
            return False
        return not is_last
