"""Questions about what failed together, and how it was brought back."""

from __future__ import annotations

from ledger.domain.recovery.selection import StormMembers
from projections.filters.as_of import PointInTime
from projections.models.jobs.queries import read_cursor
from projections.models.storms import queries as storm_questions
from projections.queries.read_position import PAGE, Document, QueryBase
from projections.queries.storm_detail import StormDetail


class StormQueries(QueryBase):
    """Storms as they stand at the moment of the question, and recoveries."""

    def storms(
        self,
        *,
        only_open: bool = False,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Document:
        """A page of `storms`, newest first, as they are at the moment of the question."""
        with self.session(as_of, after_position, "storms", "jobs") as look:
            now = self._ledger.clock.now() if look.moment is None else look.moment.at
            found, following = storm_questions.find(
                look.questions, now=now, cursor=cursor, limit=limit, only_open=only_open
            )
        return look.listed("storms", found, following)

    def storm(
        self, storm_id: str, *, as_of: PointInTime | None = None, after_position: int | None = None
    ) -> Document:
        """`storm`: its course, its jobs, the fires it cost, who was told. Refuses NotFound."""
        question = StormDetail(self._history, self._ledger.clock)
        with self.session(as_of, after_position, "storms", "jobs") as look:
            found = question.answer(look.questions, storm_id, as_of=look.moment)
        return {"storm": found, "position": look.position}

    def storm_members(self, storm_id: str) -> StormMembers:
        """Who tripped in a storm: what `ledger.recoveries.plan` takes. Refuses NotFound."""
        self.resolve(None, None, "storms")
        return self._read_models.storm_members(storm_id)

    def recoveries(
        self,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> Document:
        """A page of `recoveries` without their jobs, newest first."""
        sight = self.resolve(as_of, after_position)
        found, following = self._ledger.recoveries.page(
            cursor=None if cursor is None else read_cursor(cursor),
            limit=limit,
            as_of=sight.position,
        )
        return sight.listed("recoveries", found, following)

    def recovery(
        self,
        recovery_id: str,
        *,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
    ) -> Document:
        """`recovery`: how it stands, with each of its jobs. Refuses RecoveryNotFound."""
        sight = self.resolve(as_of, after_position)
        found = self._ledger.recoveries.one(recovery_id, as_of=sight.position)
        return {"recovery": found, "position": sight.position}
