"""What the breakers of many jobs would have done under another policy, and what is estimated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from ledger.clock import microseconds
from ledger.errors import InvalidField
from ledger.plurals import counted
from ledger.store.event_reader import EventReader
from projections.filters.paging import cursor_or
from projections.read_models import ReadModels
from projections.stores.rows import RowReader
from projections.what_if.policy_change import PolicyChange
from projections.what_if.run_history import JobRunHistory, PolicySpan, attempts_of, run_histories
from projections.what_if.simulate import Counts, Simulation, StormLasts

NEEDS = ("runs", "storms", "jobs")
COUNTS = {
    "trips": "trip",
    "failures": "failure",
    "attempts": "attempt",
    "manual_resumes": "manual resume",
}
"""What is counted, and its noun."""
CAVEAT = (
    "Runs that never happened can only be estimated: where only the recorded policy tripped, or a "
    "probe was never made, attempts are assumed to fail while a storm of their signature lasted "
    "and to succeed outside of one; the regular runs after such a success are not counted. Where "
    "both policies agree, attempts stay as recorded, whatever the backoff. How a target would have "
    "reacted to more attempts, or to fewer, is unknown."
)

STORMS = "SELECT signature, first_failed_at, last_failed_at FROM storms WHERE number <= :until"
TAGGED = "SELECT job_id FROM job_tags WHERE tag = :tag"


@dataclass(frozen=True, slots=True)
class WhatIfQuery:
    """The policy change, the positions between which it applies, and for which jobs, by their ids
    or a tag they have now (None: all).
    """

    change: PolicyChange
    since: int
    until: int
    tag: str | None = None
    job_ids: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One job as it was recorded, and as it would have been; `is_estimated`: in part made up."""

    job_id: str
    name: str
    recorded: Counts
    other: Counts
    is_estimated: bool

    @property
    def weight(self) -> tuple[int, ...]:
        """How much differs: by trips, then resumes, failures, attempts."""
        counts = ("trips", "manual_resumes", "failures", "attempts")
        return tuple(abs(getattr(self.other, key) - getattr(self.recorded, key)) for key in counts)

    def plain(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "job_name": self.name,
            "basis": "estimated" if self.is_estimated else "known",
            "recorded": asdict(self.recorded),
            "what_if": asdict(self.other),
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The sums over all jobs simulated, and the jobs with a difference, the largest first."""

    query: WhatIfQuery
    job_count: int
    recorded: Mapping[str, int]
    other: Mapping[str, int]
    differing: Sequence[Difference]

    def plain(self) -> dict[str, Any]:
        """The sums, as JSON-plain values."""
        return {
            "policy": dict(self.query.change.policy),
            "not_counts": list(self.query.change.not_counts),
            "since": self.query.since,
            "until": self.query.until,
            "job_count": self.job_count,
            "differing_count": len(self.differing),
            "estimated_count": sum(one.is_estimated for one in self.differing),
            "recorded": self.recorded,
            "what_if": self.other,
            "text": self._text(),
            "caveat": CAVEAT,
        }

    def page(self, *, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
        """The sums, and a page of the jobs with a difference."""
        first = cursor_or(cursor, 0)
        last = first + limit
        return {
            "what_if": self.plain(),
            "jobs": [one.plain() for one in self.differing[first:last]],
            "next": str(last) if last < len(self.differing) else None,
            "position": self.query.until,
        }

    def _text(self) -> str:
        if not self.job_count:
            return "No job matches: nothing was simulated."
        if not self.differing:
            return f"No difference for any of {self.job_count} jobs."
        parts = (
            f"{counted(self.other[key], noun)} instead of {self.recorded[key]}"
            for key, noun in COUNTS.items()
        )
        jobs = f"{len(self.differing)} of {counted(self.job_count, 'job')}"
        return f"{jobs} would have gone differently: {', '.join(parts)}."


def what_if(events: EventReader, read_models: ReadModels, query: WhatIfQuery) -> WhatIf:
    """Simulate every job's recorded history under the policy change. Raises as
    `PolicyChange.require_answerable`, and InvalidField for the id of a job unknown by then.
    """
    query.change.require_answerable()
    with read_models.reading() as reader:
        wanted = _wanted(reader, query)
        until_at = events.recorded_at(query.until)
        lasts = _storms(reader, query.until, until_at)
        found = list(run_histories(reader, events, since=query.since, until=query.until))
        _require_known(query, {history.job_id for history in found})
        compared = [
            _compare(
                events, reader, Simulation(history, query.change, query.since, until_at, lasts)
            )
            for history in found
            if wanted is None or history.job_id in wanted
        ]
    differing = [one for one in compared if one.recorded != one.other]
    differing.sort(key=lambda one: one.weight, reverse=True)
    return WhatIf(
        query,
        len(compared),
        _sum([one.recorded for one in compared]),
        _sum([one.other for one in compared]),
        differing,
    )


def _compare(events: EventReader, reader: RowReader, simulation: Simulation) -> Difference:
    simulation.run()
    history, other = simulation.history, simulation.other
    avoided = sum(
        _attempts(events, reader, history, span, simulation.since) for span in simulation.avoided
    )
    simulation.recorded.attempts = history.attempts
    other.attempts += history.attempts - avoided
    return Difference(
        history.job_id, history.name, simulation.recorded, other, simulation.is_estimated
    )


def _attempts(
    events: EventReader, reader: RowReader, history: JobRunHistory, span: PolicySpan, since: int
) -> int:
    last = events.position_at(span.until) if span.until is not None else history.until
    return attempts_of(reader, history.job_id, span, since=since, until=last)


def _wanted(reader: RowReader, query: WhatIfQuery) -> set[str] | None:
    named = None if query.job_ids is None else set(query.job_ids)
    if query.tag is None:
        return named
    tagged = {row["job_id"] for row in reader.rows(TAGGED, {"tag": query.tag})}
    return tagged if named is None else named & tagged


def _require_known(query: WhatIfQuery, known: set[str]) -> None:
    for job_id in query.job_ids or ():
        if job_id not in known:
            raise InvalidField("job_ids", f"contains {job_id}, which was no job by then")


def _storms(reader: RowReader, until: int, until_at: datetime) -> StormLasts:
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in reader.rows(STORMS, {"until": until}):
        last = min(int(row["last_failed_at"]), microseconds(until_at))
        spans[row["signature"]].append((int(row["first_failed_at"]), last))

    def lasts(signature: str | None, at: datetime) -> bool:
        instant = microseconds(at)
        return any(first <= instant <= last for first, last in spans.get(signature or "", ()))

    return lasts


def _sum(counts: Sequence[Counts]) -> dict[str, int]:
    return {key: sum(getattr(one, key) for one in counts) for key in COUNTS}


CSV_COLUMNS = (
    "job_id", "job_name", "basis",
    *(f"recorded_{item.name}" for item in fields(Counts)),
    *(f"what_if_{item.name}" for item in fields(Counts)),
)  # fmt: skip


def csv_row(one: Difference) -> list[object]:
    """A job with a difference, in the order of `CSV_COLUMNS`."""
    basis = "estimated" if one.is_estimated else "known"
    return [one.job_id, one.name, basis, *_cells(one.recorded), *_cells(one.other)]


def _cells(counts: Counts) -> list[object]:
    return list(asdict(counts).values())
