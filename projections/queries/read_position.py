"""From where a question looks: now, once the copies are there, or a moment of the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledger.application.ledger import Ledger
from projections.filters.as_of import AsOf, AsOfResolver, PointInTime
from projections.history.audit import Audit
from projections.history.history import History
from projections.read_models import ReadModels
from projections.stores.contract import RowReader, reached
from projections.time_travel.read_models import Part

if TYPE_CHECKING:
    from ledger.dispatch.dispatcher import Dispatcher

Document = dict[str, Any]
"""What the API answers, as JSON-plain values; docs/reference/http.md says of each what is in it."""
PAGE = 50
"""How much of a list is told, unless somebody says."""


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """A position to look from, and its moment if that is in the past."""

    position: int
    moment: AsOf | None = None

    def listed(self, name: str, page: Sequence[Any], following: object) -> Document:
        """A page of a list, with the cursor of the next."""
        after = None if following is None else str(following)
        return {name: page, "next": after, "position": self.position}


@dataclass(frozen=True, slots=True)
class ReadSession(ReadPosition):
    """The same, with one committed state of the copies to be asked from there."""

    questions: RowReader = field(kw_only=True)


class QueryBase:
    """What all questions to one ledger have in common."""

    def __init__(
        self, ledger: Ledger, read_models: ReadModels, *, dispatcher: Dispatcher | None = None
    ) -> None:
        self._ledger = ledger
        self._read_models = read_models
        self._dispatcher = dispatcher
        self._history = History(ledger.events, ledger.live_job)
        self._moments = AsOfResolver(ledger.events, ledger.clock, lambda: ledger.writer.position)
        self._audit = Audit(ledger.events)

    def resolve(
        self, as_of: PointInTime | None = None, after_position: int | None = None, *needs: str
    ) -> ReadPosition:
        """From where a question looks, once the copies that it needs have come as far. Refuses
        InvalidField and Behind.
        """
        end = self._moments.end(after_position)
        moment = None if as_of is None else self._moments.past(as_of)
        if needs:
            now = end if after_position is None else after_position
            self._read_models.wait_for(now if moment is None else moment.position, needs=needs)
        return ReadPosition(end) if moment is None else ReadPosition(moment.position, moment)

    @contextmanager
    def session(
        self, as_of: PointInTime | None, after_position: int | None, *needs: Part
    ) -> Iterator[ReadSession]:
        """As `see`, with questions to the copies. Of now, they may know more than was waited for:
        the position is theirs.
        """
        moment = self.resolve(as_of, after_position, *needs).moment
        with self._read_models.reading(moment, *needs) as questions:
            position = reached(questions, needs) if moment is None else moment.position
            yield ReadSession(position, moment, questions=questions)
