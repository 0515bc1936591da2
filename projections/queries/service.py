"""All queries on one ledger, for programs that have it in their own process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, Unpack
from uuid import UUID

from ledger.application.ledger import Ledger
from ledger.domain.job.job import job_id_of
from ledger.domain.recovery.selection import StormMembers
from ledger.errors import InvalidField
from ledger.store.audit_query import AuditQuery
from projections.filters.as_of import AsOfResolver, PointInTime
from projections.filters.paging import DEFAULT_PAGE, cursor_or
from projections.history.audit import ALL_TIME, Audit, TimeRange
from projections.history.blame import Blame
from projections.history.history import History
from projections.models import runs as run_queries
from projections.models.gaps import model as gap_queries
from projections.models.gaps import open as open_gaps
from projections.models.gaps.model import GapFilter
from projections.models.jobs import queries as job_queries
from projections.models.jobs.queries import JobFilter
from projections.models.resumes import queries as resume_queries
from projections.models.resumes.queries import ResumeFilter
from projections.models.storms import queries as storm_queries
from projections.models.storms.members import members
from projections.queries.best_effort import known_storm
from projections.queries.diff import Diff, DiffQuery
from projections.queries.read_position import (
    Document,
    ReadPosition,
    ReadPositions,
    ReadSession,
    When,
)
from projections.queries.storm_detail import storm_detail
from projections.read_models import ReadModels
from projections.time_travel.runs import HistoricalRuns
from projections.what_if.policy_change import PolicyChange
from projections.what_if.question import NEEDS as WHAT_IF_NEEDS
from projections.what_if.question import WhatIf, WhatIfQuery, what_if
from projections.why.question import Why

if TYPE_CHECKING:
    from ledger.dispatch.dispatcher import Dispatcher


class Queries:
    """Every query on a ledger, answered and refused as over HTTP.

    Most take `as_of`, a position or an instant with an offset: the answer is the one given then.
    With `after_position` they wait until the read models have reached the position of an earlier
    answer. They raise InvalidField for points in the future, and Behind while the read models are
    behind.

    `dispatcher` is the one that runs in this process. Without one, a ledger that only this process
    has open is unattended, and `why` says so.
    """

    def __init__(
        self, ledger: Ledger, read_models: ReadModels, *, dispatcher: Dispatcher | None = None
    ) -> None:
        events = ledger.events
        instants = AsOfResolver(events, ledger.clock, lambda: ledger.writer.position)
        self.positions = ReadPositions(read_models, instants)
        self._ledger = ledger
        self._read_models = read_models
        self._dispatcher = dispatcher
        self._instants = instants
        self._audit = Audit(events)
        self._history = History(events, ledger.live_job)
        self._blame = Blame(events, self._history)
        self._why = Why(
            events,
            self._history,
            instants,
            storm_of=lambda failure, position: known_storm(read_models, failure, as_of=position),
            is_leased=lambda run_id: run_id in ledger.job_cache.runs.leases,
        )
        self._opened: ReadModels | None = None

    @classmethod
    def open(cls, ledger: Ledger, *, dispatcher: Dispatcher | None = None) -> Self:
        """Open the read models of a ledger, and update them until closed. For a reader they are
        built anew unless the owner's have reached the last event.
        """
        read_models = ReadModels.open_current(ledger)
        queries = cls(ledger, read_models, dispatcher=dispatcher)
        queries._opened = read_models
        return queries

    def close(self) -> None:
        """Close what `open` opened."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one job, deleted ones included, but for `job` ------------------------------------------

    def job(self, job_id: UUID | str, **when: Unpack[When]) -> Document:
        """`job`. Raises JobNotFound, also when it is deleted, or was then."""
        if when.get("as_of") is not None:
            read = self.positions.resolve(**when)
            return {"job": self._history.job_at(_id(job_id), read.position)}
        self.positions.resolve(**when, needs=("jobs",))
        with self._read_models.reading() as reader:
            return {"job": job_queries.one(reader, _id(job_id))}

    def history(
        self,
        job_id: UUID | str,
        *,
        is_newest_first: bool = False,
        cursor: str | None = None,
        limit: int = DEFAULT_PAGE,
        **when: Unpack[When],
    ) -> Document:
        """A page of `events`, each with the state before and after it. Raises JobNotFound."""
        read = self.positions.resolve(**when)
        page = self._history.page(
            _id(job_id),
            cursor=cursor_or(cursor, None),
            limit=limit,
            is_descending=is_newest_first,
            as_of=read.position,
        )
        return read.listed("events", *page)

    def runs(
        self,
        job_id: UUID | str,
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_PAGE,
        **when: Unpack[When],
    ) -> Document:
        """A page of `runs`, newest first. Raises JobNotFound."""
        job_id = _id(job_id)
        if when.get("as_of") is None:
            self._history.require_known(job_id)
            with self.positions.session("runs", **when) as session:
                page = run_queries.find(session.reader, job_id, cursor=cursor, limit=limit)
            return session.listed("runs", *page)
        read = self.positions.resolve(**when)
        version = self._history.version_at(job_id, read.position)
        past = HistoricalRuns(self._ledger.events, job_id, version)
        return read.listed("runs", *past.page(cursor=cursor, limit=limit))

    def blame(self, job_id: UUID | str, **when: Unpack[When]) -> Document:
        """`blame`: each field with the event that set its value. Raises JobNotFound."""
        read = self.positions.resolve(**when)
        found = self._blame.answer(_id(job_id), as_of=read.position)
        return {"blame": found, "position": read.position}

    def why(
        self,
        job_id: UUID | str,
        *,
        at: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """`why`: why it is running, or is not, now or at another time. Raises JobNotFound."""
        job_id, position = _id(job_id), self._instants.tail(after_position)
        if at is None:
            known = self._known_of_dispatch(job_id)
        else:
            position = self._instants.position(at, "at")
            known = {"at": at if isinstance(at, datetime) else self._why.instant_of(position)}
        found = self._why.answer(job_id, position=position, **known)
        return {"why": found, "position": position}

    # -- many jobs ------------------------------------------------------------------------------

    def jobs(self, filters: JobFilter | None = None, **when: Unpack[When]) -> Document:
        """A page of `jobs`, in the order of creation."""
        with self.positions.session("jobs", **when) as session:
            page = job_queries.find(session.reader, filters or JobFilter())
        return session.listed("jobs", *page)

    def summary(self, **when: Unpack[When]) -> Document:
        """`summary`: how many jobs have each status, what fires next, the newest failures."""
        with self.positions.session("jobs", "runs", **when) as session:
            return {"summary": run_queries.summary(session.reader), "position": session.position}

    def resumes(self, filters: ResumeFilter | None = None, **when: Unpack[When]) -> Document:
        """A page of forced `resumes`, newest first, and `rates`: how many of them held."""
        filters = filters or ResumeFilter()
        self._audit.require_actor(filters.actor)
        self._audit.require_stream(filters.job)
        with self.positions.session("resumes", "jobs", **when) as session:
            page = resume_queries.find(session.reader, filters)
            rates = resume_queries.rates(session.reader, filters)
        return {**session.listed("resumes", *page), "rates": rates}

    def gaps(self, filters: GapFilter | None = None, **when: Unpack[When]) -> Document:
        """A page of recorded `gaps`, newest first, and with the first page the `open` ones."""
        filters = filters or GapFilter()
        self._audit.require_stream(filters.job)
        with self.positions.session("gaps", "jobs", **when) as session:
            page = gap_queries.find(session.reader, filters)
            now = self._now(session)
            if session.as_of is None:
                jobs = self._ledger.live_jobs()
            else:
                candidates = open_gaps.candidates(session.reader, filters, now=now)
                jobs = [self._history.state(*one) for one in candidates]
            still_open, count = open_gaps.find(jobs, filters, now=now)
        return {
            **session.listed("gaps", *page),
            "open": still_open if filters.cursor is None else [],
            "open_count": count,
        }

    def diff(
        self,
        begin: PointInTime,
        end: PointInTime | None = None,
        *,
        tag: str | None = None,
        actor: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_PAGE,
    ) -> Document:
        """A page of the `jobs` that differ between two points in time; without `end`, until now."""
        last = self._instants.now() if end is None else self._instants.resolve(end, "to")
        first = self._instants.resolve(begin, "from")
        if first > last:
            raise InvalidField("from", "is after to")
        self._audit.require_actor(actor)
        self._read_models.wait_for(last.position, needs=("jobs",))
        query = DiffQuery(first, last, tag, actor, cursor, limit)
        return Diff(self._ledger.events, self._read_models, query).document()

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
        of some classes not counted: the sums, and the jobs with a difference.
        """
        change = PolicyChange(policy or {}, tuple(not_counting))
        change.require_answerable()
        first = self._instants.resolve(since or 0, "since")
        last = self._instants.now() if until is None else self._instants.resolve(until, "until")
        if last < first:
            raise InvalidField("until", "is before since")
        self._read_models.wait_for(last.position, needs=WHAT_IF_NEEDS)
        ids = None if job_ids is None else [str(_id(job_id)) for job_id in job_ids]
        query = WhatIfQuery(change, first.position, last.position, tag, ids)
        return what_if(self._ledger.events, self._read_models, query)

    # -- storms and recoveries ------------------------------------------------------------------

    def storms(
        self,
        *,
        only_open: bool = False,
        cursor: str | None = None,
        limit: int = DEFAULT_PAGE,
        **when: Unpack[When],
    ) -> Document:
        """A page of `storms`, newest first, as they are at the instant of the query."""
        with self.positions.session("storms", "jobs", **when) as session:
            page = storm_queries.find(
                session.reader,
                now=self._now(session),
                cursor=cursor,
                limit=limit,
                only_open=only_open,
            )
        return session.listed("storms", *page)

    def storm(self, storm_id: str, **when: Unpack[When]) -> Document:
        """`storm`: its course, its jobs, the fires missed, the notices. Raises NotFound."""
        with self.positions.session("storms", "jobs", **when) as session:
            now, past = self._now(session), session.as_of
            found = storm_detail(session.reader, self._history, storm_id, now=now, as_of=past)
        return {"storm": found, "position": session.position}

    def storm_members(self, storm_id: str) -> StormMembers:
        """The jobs that tripped in a storm, for a recovery of them. Raises NotFound."""
        self.positions.resolve(needs=("storms",))
        with self._read_models.reading() as reader:
            return members(reader, storm_id)

    def recoveries(
        self, *, cursor: str | None = None, limit: int = DEFAULT_PAGE, **when: Unpack[When]
    ) -> Document:
        """A page of `recoveries` without their jobs, newest first."""
        read = self.positions.resolve(**when)
        page = self._ledger.recoveries.page(
            cursor=cursor_or(cursor, None), limit=limit, as_of=read.position
        )
        return read.listed("recoveries", *page)

    def recovery(self, recovery_id: str, **when: Unpack[When]) -> Document:
        """`recovery`: its state, with each of its jobs. Raises RecoveryNotFound."""
        read = self.positions.resolve(**when)
        found = self._ledger.recoveries.one(recovery_id, as_of=read.position)
        return {"recovery": found, "position": read.position}

    # -- the audit ------------------------------------------------------------------------------

    def audit(
        self,
        query: AuditQuery,
        time_range: TimeRange = ALL_TIME,
        *,
        after_position: int | None = None,
    ) -> Document:
        """A page of the `events` that match every filter."""
        page = self._audit.page(query, time_range, position=self._instants.tail(after_position))
        return ReadPosition(page.position).listed("events", page.events, page.following)

    def export(
        self,
        query: AuditQuery,
        time_range: TimeRange = ALL_TIME,
        *,
        after_position: int | None = None,
    ) -> Iterator[Document]:
        """Every event that matches, up to the last one now; in flat memory."""
        return self._audit.export(query, time_range, position=self._instants.tail(after_position))

    # -- parts ----------------------------------------------------------------------------------

    def _now(self, session: ReadSession) -> datetime:
        """The instant that a query goes by."""
        return self._ledger.clock.now() if session.as_of is None else session.as_of.at

    def _known_of_dispatch(self, job_id: UUID) -> dict[str, Any]:
        """What this process knows of the dispatch of a job: its place in the queue of its own
        dispatcher, or that nothing dispatches, where only this process has the ledger open.
        """
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.health()["state"] == "running":
            return {"queue_position": dispatcher.queue_position_of(job_id)}
        is_alone = not self._ledger.event_store.is_shared and not self._ledger.is_read_only
        return {"is_unattended": is_alone and dispatcher is None}


def _id(job_id: UUID | str) -> UUID:
    return job_id_of(str(job_id))
