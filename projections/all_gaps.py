"""The gaps as they are asked for: recorded ones, and beside them those that are still open."""

from __future__ import annotations

from typing import Any

from ledger.store.application import Ledger
from projections import gap_questions, open_gaps
from projections.copies import Copies
from projections.gap_questions import GapFilter
from projections.history import History
from projections.moments import Moment


class AllGaps:
    """Answers from the copies, and for what no event has recorded yet from the jobs."""

    def __init__(self, ledger: Ledger, copies: Copies, history: History) -> None:
        self._ledger = ledger
        self._copies = copies
        self._history = history

    def answer(self, asked: GapFilter, *, as_of: Moment | None = None) -> dict[str, Any]:
        """A page of recorded gaps and its cursor, and beside the first page those that are open,
        now or at a moment of the past. Refuses InvalidField for what can mean nothing.
        """
        with self._copies.reading(as_of, "jobs", "gaps") as questions:
            found, following = gap_questions.find(questions, asked)
            if as_of is not None:
                candidates = open_gaps.standing_still(questions, asked, now=as_of.at)
        if as_of is None:
            jobs, now = open_gaps.live_jobs(self._ledger), self._ledger.clock.now()
        else:
            jobs, now = [self._history.state(*one) for one in candidates], as_of.at
        still_open, count = open_gaps.find(jobs, asked, now=now)
        return {
            "gaps": found,
            "next": following,
            "open": still_open if asked.cursor is None else [],
            "open_count": count,
        }
