"""One storm whole: its course, its jobs, who was told, and the fires it cost so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.clock import Clock
from projections.filters.as_of import AsOf
from projections.history.history import History
from projections.models.storms import aftermath as storm_aftermath
from projections.models.storms import queries as storm_questions
from projections.stores.contract import RowReader


class StormDetail:
    """Answers from the copies, and for the jobs that are failed still from their histories."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock

    def answer(
        self, questions: RowReader, storm_id: str, *, as_of: AsOf | None = None
    ) -> dict[str, Any]:
        """The storm as it is now, or at the moment of the past that the questions are put to;
        NotFound when there is none.

        `fires_lost` counts the slots that its tripped jobs owed until they came back, and those of
        jobs that are failed still, up to the instant of the question; `at_least` when a job owed
        more than are counted.
        """
        now = self._clock.now() if as_of is None else as_of.at
        found = storm_questions.one(questions, storm_id, now=now)
        number = storm_questions.number_of(questions, storm_id)
        count, is_capped = storm_aftermath.lost(questions, number)
        losing = storm_aftermath.still_losing(questions, number)
        told = storm_aftermath.told(questions, number)
        open_count, is_open_capped = self._owed(losing, now, as_of)
        lost = {
            "count": count + open_count,
            "still_failed_jobs": len(losing),
            "at_least": is_capped or is_open_capped,
        }
        return {**found, "fires_lost": lost, "told": told}

    def _owed(self, job_ids: Sequence[str], now: datetime, as_of: AsOf | None) -> tuple[int, bool]:
        position = None if as_of is None else as_of.position
        owed = [self._owed_by(UUID(job_id), now, position) for job_id in job_ids]
        return sum(count for count, _ in owed), any(is_capped for _, is_capped in owed)

    def _owed_by(self, job_id: UUID, now: datetime, position: int | None) -> tuple[int, bool]:
        job = self._history.state(job_id, self._history.version_at(job_id, position))
        missed = job.missed_slots(now, "failed") if job.status == "failed" else None
        return (missed["count"], missed["capped"]) if missed else (0, False)
