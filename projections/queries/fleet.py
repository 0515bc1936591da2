"""Questions about all jobs: which there are, what changed, which slots were missed, what if."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ledger.domain.job.job import job_id_of
from ledger.errors import InvalidField
from projections.filters.as_of import PointInTime
from projections.models import runs
from projections.models.gaps.queries import GapFilter
from projections.models.jobs import queries as job_questions
from projections.models.jobs.queries import JobFilter
from projections.models.resumes import queries as resume_questions
from projections.models.resumes.queries import ResumeFilter
from projections.queries.diff import Diff, DiffQuery
from projections.queries.gaps import AllGaps
from projections.queries.read_position import PAGE, Document, QueryBase
from projections.what_if.policy_change import PolicyChange
from projections.what_if.question import NEEDS as WHAT_IF_NEEDS
from projections.what_if.question import WhatIf, WhatIfQuery, what_if


class FleetQueries(QueryBase):
    """Each takes a filter, and says of lists what the next page is asked with."""

    def jobs(
        self,
        asked: JobFilter | None = None,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """A page of `jobs`, in the order they were made."""
        with self.session(as_of, after_position, "jobs") as look:
            found, following = job_questions.find(look.questions, asked or JobFilter())
        return look.listed("jobs", found, following)

    def summary(
        self, *, as_of: PointInTime | None = None, after_position: int | None = None
    ) -> Document:
        """`summary`: how many jobs stand where, what fires next, the newest failures."""
        with self.session(as_of, after_position, "jobs", "runs") as look:
            return {"summary": runs.summary(look.questions), "position": look.position}

    def resumes(
        self,
        asked: ResumeFilter | None = None,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """A page of forced `resumes`, newest first, and `rates`: how many of them held."""
        asked = asked or ResumeFilter()
        self._audit.require_actor(asked.actor)
        self._audit.require_stream(asked.job)
        with self.session(as_of, after_position, "resumes", "jobs") as look:
            found, following = resume_questions.find(look.questions, asked)
            rates = resume_questions.rates(look.questions, asked)
        return {**look.listed("resumes", found, following), "rates": rates}

    def gaps(
        self,
        asked: GapFilter | None = None,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """A page of recorded `gaps`, newest first; those still `open` beside the first."""
        asked = asked or GapFilter()
        self._audit.require_stream(asked.job)
        question = AllGaps(self._ledger.live_jobs, self._history, self._ledger.clock)
        with self.session(as_of, after_position, "gaps", "jobs") as look:
            told = question.answer(look.questions, asked, as_of=look.moment)
        return {**told, "position": look.position}

    def diff(
        self,
        begin: PointInTime,
        end: PointInTime | None = None,
        *,
        tag: str | None = None,
        actor: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Document:
        """A page of the `jobs` that differ between two moments; with no `end`, until now."""
        last = self._moments.now() if end is None else self._moments.moment(end, "to")
        first = self._moments.moment(begin, "from")
        if first > last:
            raise InvalidField("from", "is after to")
        self._audit.require_actor(actor)
        self._read_models.wait_for(last.position, needs=("jobs",))
        asked = DiffQuery(first, last, tag, actor, cursor, limit)
        return Diff(self._ledger.events, self._read_models).document(asked)

    def what_if(
        self,
        policy: Mapping[str, Any] | None = None,
        *,
        not_counting: Sequence[str] = (),
        since: PointInTime | None = None,
        until: PointInTime | None = None,
        tag: str | None = None,
        job_ids: Sequence[UUID | str] | None = None,
    ) -> WhatIf:
        """What would have tripped, failed and been resumed under another policy, or with failures
        of some classes not counted; ask what comes back for its sums, and for the jobs that would
        have fared differently.
        """
        wish = PolicyChange(policy or {}, tuple(not_counting))
        wish.require_walkable()
        first = self._moments.moment(since or 0, "since")
        last = self._moments.now() if until is None else self._moments.moment(until, "until")
        if last < first:
            raise InvalidField("until", "is before since")
        self._read_models.wait_for(last.position, needs=WHAT_IF_NEEDS)
        ids = None if job_ids is None else [str(job_id_of(str(job_id))) for job_id in job_ids]
        asked = WhatIfQuery(wish, first.position, last.position, tag, ids)
        return what_if(self._ledger.events, self._read_models, asked)
