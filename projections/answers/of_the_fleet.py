"""Questions about all jobs: which there are, what changed, which slots were missed, what if."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ledger.domain.job import job_id_of
from ledger.errors import InvalidField
from projections import resume_questions
from projections.all_gaps import AllGaps
from projections.answers.sight import PAGE, Document, Sighted
from projections.diff import Diff, DiffQuery
from projections.gap_questions import GapFilter
from projections.job_questions import JobFilter
from projections.moments import AsOf
from projections.resume_questions import ResumeFilter
from projections.what_if.question import NEEDS as WHAT_IF_NEEDS
from projections.what_if.question import Asked, WhatIf, what_if
from projections.what_if.wish import Wish


class AnswersOfTheFleet(Sighted):
    """Each takes a filter, and says of lists what the next page is asked with."""

    def jobs(
        self,
        asked: JobFilter | None = None,
        *,
        as_of: AsOf | None = None,
        after_position: int | None = None,
    ) -> Document:
        """A page of `jobs`, in the order they were made."""
        sight = self.see(as_of, after_position, "jobs")
        found, following = self._copies.jobs(asked or JobFilter(), as_of=sight.moment)
        return sight.listed("jobs", found, following)

    def summary(self, *, as_of: AsOf | None = None, after_position: int | None = None) -> Document:
        """`summary`: how many jobs stand where, what fires next, the newest failures."""
        sight = self.see(as_of, after_position, "jobs", "runs")
        return {"summary": self._copies.summary(as_of=sight.moment), "position": sight.position}

    def resumes(
        self,
        asked: ResumeFilter | None = None,
        *,
        as_of: AsOf | None = None,
        after_position: int | None = None,
    ) -> Document:
        """A page of forced `resumes`, newest first, and `rates`: how many of them held."""
        asked = asked or ResumeFilter()
        self._audit.require_actor(asked.actor)
        sight = self.see(as_of, after_position, "resumes", "runs", "jobs")
        found, following, rates = resume_questions.answer(self._copies, asked, as_of=sight.moment)
        return {**sight.listed("resumes", found, following), "rates": rates}

    def gaps(
        self,
        asked: GapFilter | None = None,
        *,
        as_of: AsOf | None = None,
        after_position: int | None = None,
    ) -> Document:
        """A page of recorded `gaps`, newest first; those still `open` beside the first."""
        sight = self.see(as_of, after_position, "gaps", "jobs")
        question = AllGaps(self._ledger, self._copies, self._history)
        told = question.answer(asked or GapFilter(), as_of=sight.moment)
        return {**told, "position": sight.position}

    def diff(
        self,
        begin: AsOf,
        end: AsOf | None = None,
        *,
        tag: str | None = None,
        actor: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Document:
        """A page of the `jobs` that differ between two moments; with no `end`, until now."""
        last = self._moments.moment(self._moments.end() if end is None else end, "to")
        first = self._moments.moment(begin, "from")
        if first.position > last.position:
            raise InvalidField("from", "is after to")
        self._audit.require_actor(actor)
        self._copies.wait_for(last.position, needs=("jobs",))
        asked = DiffQuery(first, last, tag, actor, cursor, limit)
        return Diff(self._ledger, self._copies).document(asked)

    def what_if(
        self,
        policy: Mapping[str, Any] | None = None,
        *,
        not_counting: Sequence[str] = (),
        since: AsOf | None = None,
        until: AsOf | None = None,
        tag: str | None = None,
        job_ids: Sequence[UUID | str] | None = None,
    ) -> WhatIf:
        """What would have tripped, failed and been resumed under another policy, or with failures
        of some classes not counted; ask what comes back for its sums, and for the jobs that would
        have fared differently.
        """
        wish = Wish(policy or {}, tuple(not_counting))
        wish.require_walkable()
        first = 0 if since is None else self._moments.position(since, "since")
        last = self._moments.end() if until is None else self._moments.position(until, "until")
        if last < first:
            raise InvalidField("until", "is before since")
        self._copies.wait_for(last, needs=WHAT_IF_NEEDS)
        ids = None if job_ids is None else [str(job_id_of(str(job_id))) for job_id in job_ids]
        return what_if(self._ledger, self._copies, Asked(wish, first, last, tag, ids))
