"""Questions about one job: what it is, what happened to it, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.domain.job.job import job_id_of
from projections.filters.as_of import PointInTime
from projections.history.blame import Blame
from projections.models import runs
from projections.models.jobs.queries import read_cursor
from projections.queries.read_position import PAGE, Document, QueryBase
from projections.time_travel.runs import HistoricalRuns
from projections.why.question import Why


class JobQueries(QueryBase):
    """Each takes the job's id, and answers of deleted jobs too, but for `job`."""

    def job(
        self,
        job_id: UUID | str,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """`job`: how it is, or was. Refuses JobNotFound, also when it is deleted, or was then."""
        sight = self.resolve(as_of, after_position, *(() if as_of is not None else ("jobs",)))
        if sight.moment is not None:
            return {"job": self._history.job_at(_id(job_id), sight.position)}
        return {"job": self._read_models.job(_id(job_id))}

    def history(
        self,
        job_id: UUID | str,
        *,
        is_newest_first: bool = False,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Document:
        """A page of `events`, each with the state before and after it. Refuses JobNotFound."""
        sight = self.resolve(as_of, after_position)
        page = self._history.page(
            _id(job_id),
            cursor=None if cursor is None else read_cursor(cursor),
            limit=limit,
            is_descending=is_newest_first,
            as_of=sight.position,
        )
        return sight.listed("events", page.events, page.following)

    def runs(
        self,
        job_id: UUID | str,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Document:
        """A page of `runs`, newest first. Refuses JobNotFound."""
        job_id = _id(job_id)
        if as_of is None:
            self._history.require_known(job_id)
            with self.session(None, after_position, "runs") as look:
                found, following = runs.find(look.questions, job_id, cursor=cursor, limit=limit)
            return look.listed("runs", found, following)
        sight = self.resolve(as_of, after_position)
        past = HistoricalRuns(
            self._ledger.events, job_id, self._history.version_at(job_id, sight.position)
        )
        found, following = past.page(cursor=cursor, limit=limit)
        return sight.listed("runs", found, following)

    def blame(
        self,
        job_id: UUID | str,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """`blame`: each field with the event that gave it its value. Refuses JobNotFound."""
        sight = self.resolve(as_of, after_position)
        question = Blame(self._ledger.events, self._history)
        found = question.answer(_id(job_id), as_of=sight.position)
        return {"blame": found, "position": sight.position}

    def why(
        self,
        job_id: UUID | str,
        *,
        at: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """`why`: why it is running, or is not, now or at another time. Refuses JobNotFound."""
        question = Why(
            self._ledger.events,
            self._history,
            self._moments,
            storm_of=self._read_models.storm_of,
            is_leased=self._ledger.job_cache.runs.leases.__contains__,
        )
        job_id, position = _id(job_id), self._moments.end(after_position)
        if at is None:
            known = self._known(job_id)
        else:
            position = self._moments.position(at, "at")
            known = {"at": at if isinstance(at, datetime) else question.instant_of(position)}
        found = question.answer(job_id, position=position, **known)
        return {"why": found, "position": position}

    def _known(self, job_id: UUID) -> dict[str, Any]:
        """What this process knows of who dispatches now: its own dispatcher, if one is at work; or
        that nobody does, where the ledger is its own.
        """
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.health()["state"] == "running":
            return {"here": dispatcher.places_for(job_id)}
        is_alone = not self._ledger.event_store.is_shared and not self._ledger.is_read_only
        return {"is_unattended": is_alone and dispatcher is None}


def _id(job_id: UUID | str) -> UUID:
    return job_id_of(str(job_id))
