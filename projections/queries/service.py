"""All answers of one ledger, for whoever has it in their own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from ledger.application.ledger import Ledger
from ledger.store.audit_query import AuditQuery
from projections.history.audit import ALWAYS, PositionRange
from projections.queries.fleet import FleetQueries
from projections.queries.job import JobQueries
from projections.queries.open import read_models_of
from projections.queries.read_position import Document, ReadPosition
from projections.queries.storms import StormQueries
from projections.read_models import ReadModels

if TYPE_CHECKING:
    from ledger.dispatch.dispatcher import Dispatcher


class Queries(JobQueries, FleetQueries, StormQueries):
    """Every question to a ledger, answered as over HTTP, and refused as there.

    Most take `as_of`, a position or an instant with an offset: the answer is the one that was
    given then. With `after_position` they wait until the copies have what somebody was answered.
    InvalidField for what is still to come; Behind while the copies are.

    `dispatcher` is whoever runs what is due in this process. Without one, a ledger that is this
    process's own is unattended, and `why` says so.
    """

    def __init__(
        self, ledger: Ledger, read_models: ReadModels, *, dispatcher: Dispatcher | None = None
    ) -> None:
        super().__init__(ledger, read_models, dispatcher=dispatcher)
        self._closing = ExitStack()

    @classmethod
    def open(cls, ledger: Ledger, *, dispatcher: Dispatcher | None = None) -> Self:
        """Open the copies of a ledger, and keep them up to date until closed. Of a ledger that is
        only read they are made anew, if its owner's have not come as far.
        """
        with ExitStack() as closing:
            answers = cls(ledger, read_models_of(ledger, closing), dispatcher=dispatcher)
            answers._closing = closing.pop_all()
        return answers

    def close(self) -> None:
        """Give back what `open` opened."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def audit(
        self,
        query: AuditQuery,
        stretch: PositionRange = ALWAYS,
        *,
        after_position: int | None = None,
    ) -> Document:
        """A page of the `events` that match every filter."""
        page = self._audit.page(query, stretch, position=self._moments.end(after_position))
        sight = ReadPosition(page.position)
        return sight.listed("events", page.events, page.following)

    def export(
        self,
        query: AuditQuery,
        stretch: PositionRange = ALWAYS,
        *,
        after_position: int | None = None,
    ) -> Iterator[Document]:
        """Every event that matches, up to where the book ends now; in flat memory."""
        return self._audit.export(query, stretch, position=self._moments.end(after_position))
