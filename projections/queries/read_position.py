"""Where a query reads from: the present, once the read models have reached it, or the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypedDict, Unpack

from projections.filters.as_of import AsOf, AsOfResolver, PointInTime
from projections.read_models import ReadModels
from projections.stores.rows import RowReader, lowest_position
from projections.time_travel.read_models import Part

Document = dict[str, Any]
"""An answer of the API, as JSON-plain values (docs/reference/http.md)."""


class When(TypedDict, total=False):
    """As of which point in the past a query is answered, if it is; and the position of an earlier
    answer that the read models must have reached.
    """

    as_of: PointInTime | None
    after_position: int | None


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """A position to read at, and the point in the past that a query asked for, if it did."""

    position: int
    as_of: AsOf | None = None

    def listed(self, name: str, page: Sequence[Any], following: object) -> Document:
        """A page of a list, with the cursor of the next."""
        after = None if following is None else str(following)
        return {name: page, "next": after, "position": self.position}


@dataclass(frozen=True, slots=True)
class ReadSession(ReadPosition):
    """The same, with one committed state of the read models."""

    reader: RowReader = field(kw_only=True)


class ReadPositions:
    """Resolves where queries on one ledger read from."""

    def __init__(self, read_models: ReadModels, instants: AsOfResolver) -> None:
        self._read_models = read_models
        self._instants = instants

    def resolve(
        self,
        as_of: PointInTime | None = None,
        after_position: int | None = None,
        *,
        needs: Sequence[Part] = (),
    ) -> ReadPosition:
        """Where a query reads from, once the read models it needs have reached it. Raises
        InvalidField and Behind.
        """
        tail = self._instants.tail(after_position)
        past = None if as_of is None else self._instants.past(as_of)
        if needs:
            present = tail if after_position is None else after_position
            self._read_models.wait_for(present if past is None else past.position, needs=needs)
        return ReadPosition(tail) if past is None else ReadPosition(past.position, past)

    @contextmanager
    def session(self, *needs: Part, **when: Unpack[When]) -> Iterator[ReadSession]:
        """As `resolve`, with the read models there. The present ones may be ahead of what was
        waited for: the position is theirs.
        """
        past = self.resolve(**when, needs=needs).as_of
        with self._read_models.reading(past, *needs) as reader:
            position = lowest_position(reader, needs) if past is None else past.position
            yield ReadSession(position, past, reader=reader)
