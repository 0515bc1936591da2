"""From where a question looks: now, once the copies are there, or a moment of the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledger.application.ledger import Ledger
from projections.filters.as_of import AsOf, Moment, Moments
from projections.history.audit import Audit
from projections.history.history import History
from projections.read_models import Copies
from projections.stores.contract import Questions, reached
from projections.time_travel.read_models import Part

if TYPE_CHECKING:
    from ledger.dispatch.dispatcher import Dispatcher

Document = dict[str, Any]
"""What the API answers, as JSON-plain values; docs/reference/http.md says of each what is in it."""
PAGE = 50
"""How much of a list is told, unless somebody says."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A position to look from, and its moment if that is in the past."""

    position: int
    moment: Moment | None = None

    def listed(self, name: str, page: Sequence[Any], following: object) -> Document:
        """A page of a list, with the cursor of the next."""
        after = None if following is None else str(following)
        return {name: page, "next": after, "position": self.position}


@dataclass(frozen=True, slots=True)
class Look(Sight):
    """The same, with one committed state of the copies to be asked from there."""

    questions: Questions = field(kw_only=True)


class Sighted:
    """What all questions to one ledger have in common."""

    def __init__(
        self, ledger: Ledger, copies: Copies, *, dispatcher: Dispatcher | None = None
    ) -> None:
        self._ledger = ledger
        self._copies = copies
        self._dispatcher = dispatcher
        self._history = History(ledger)
        self._moments = Moments(ledger)
        self._audit = Audit(ledger)

    def see(
        self, as_of: AsOf | None = None, after_position: int | None = None, *needs: str
    ) -> Sight:
        """From where a question looks, once the copies that it needs have come as far. Refuses
        InvalidField and Behind.
        """
        end = self._moments.end(after_position)
        moment = None if as_of is None else self._moments.past(as_of)
        if needs:
            now = end if after_position is None else after_position
            self._copies.wait_for(now if moment is None else moment.position, needs=needs)
        return Sight(end) if moment is None else Sight(moment.position, moment)

    @contextmanager
    def look(self, as_of: AsOf | None, after_position: int | None, *needs: Part) -> Iterator[Look]:
        """As `see`, with questions to the copies. Of now, they may know more than was waited for:
        the position is theirs.
        """
        moment = self.see(as_of, after_position, *needs).moment
        with self._copies.reading(moment, *needs) as questions:
            position = reached(questions, needs) if moment is None else moment.position
            yield Look(position, moment, questions=questions)
