"""The gaps as they are asked for: recorded ones, and beside them those that are still open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ledger.clock import Clock
from ledger.domain.job.job import Job
from projections.filters.as_of import AsOf
from projections.history.history import History
from projections.models.gaps import open as open_gaps
from projections.models.gaps import queries as gap_questions
from projections.models.gaps.queries import GapFilter
from projections.stores.contract import RowReader


class AllGaps:
    """Answers from the copies, and for what no event has recorded yet from the jobs."""

    def __init__(
        self, live_jobs: Callable[[], Iterable[Job]], history: History, clock: Clock
    ) -> None:
        """`live_jobs` gives every job as it is now."""
        self._live_jobs = live_jobs
        self._clock = clock
        self._history = history

    def answer(
        self, questions: RowReader, asked: GapFilter, *, as_of: AsOf | None = None
    ) -> dict[str, Any]:
        """A page of recorded gaps and its cursor, and beside the first page those that are open,
        now or at the moment of the past that the questions are put to. Refuses InvalidField for
        what can mean nothing.
        """
        found, following = gap_questions.find(questions, asked)
        if as_of is None:
            jobs, now = self._live_jobs(), self._clock.now()
        else:
            now = as_of.at
            candidates = open_gaps.standing_still(questions, asked, now=now)
            jobs = (self._history.state(*one) for one in candidates)
        still_open, count = open_gaps.find(jobs, asked, now=now)
        return {
            "gaps": found,
            "next": following,
            "open": still_open if asked.cursor is None else [],
            "open_count": count,
        }
