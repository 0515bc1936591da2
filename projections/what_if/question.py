"""What the fleet's breakers would have done under another policy, and how sure that is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from ledger.clock import microseconds
from ledger.errors import InvalidField
from ledger.store.event_reader import EventReader
from projections.models.jobs.queries import read_cursor
from projections.read_models import ReadModels
from projections.stores.contract import RowReader
from projections.what_if.policy_change import PolicyChange
from projections.what_if.run_history import JobRunHistory, PolicySpan, attempts_of, lives
from projections.what_if.simulate import Counts, Simulation, StormLasts

NEEDS = ("runs", "storms", "jobs")
COUNTS = ("trips", "failures", "attempts", "manual_resumes")
CAVEAT = (
    "It cannot know what runs that never happened would have met: where only the recorded policy "
    "tripped, or a probe was never made, attempts are taken to fail while a storm of their "
    "signature lasted and to succeed outside of one, and the regular runs after such a success "
    "are not counted. Where both policies agree, attempts stay as they were, whatever the backoff. "
    "Nor can it know what a target would have borne under more attempts, or fewer."
)

STORMS = "SELECT signature, first_failed_at, last_failed_at FROM storms WHERE number <= :until"
TAGGED = "SELECT job_id FROM job_tags WHERE tag = :tag"


@dataclass(frozen=True, slots=True)
class WhatIfQuery:
    """Which other policy; from which position on, up to which; for which jobs, by their ids or a
    tag they have now (None: all).
    """

    wish: PolicyChange
    since: int
    until: int
    tag: str | None = None
    job_ids: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One job as it was recorded, and as it would have been. `is_estimated`: not all is known."""

    job_id: str
    name: str
    recorded: Counts
    other: Counts
    is_estimated: bool

    @property
    def weight(self) -> tuple[int, ...]:
        """How much differs: trips first, then resumes, failures, attempts."""
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
    """The sums over all jobs that were walked, and the jobs that would have fared differently,
    those first for which it matters most.
    """

    asked: WhatIfQuery
    job_count: int
    recorded: Mapping[str, int]
    other: Mapping[str, int]
    differing: Sequence[Difference]

    def plain(self) -> dict[str, Any]:
        """What is said of the whole."""
        return {
            "policy": dict(self.asked.wish.policy),
            "not_counts": list(self.asked.wish.not_counts),
            "since": self.asked.since,
            "until": self.asked.until,
            "job_count": self.job_count,
            "differing_count": len(self.differing),
            "estimated_count": sum(one.is_estimated for one in self.differing),
            "recorded": self.recorded,
            "what_if": self.other,
            "text": self._text(),
            "caveat": CAVEAT,
        }

    def page(self, *, cursor: str | None = None, limit: int = 50) -> dict[str, Any]:
        """What is said of the whole, and a page of the jobs that would have fared differently."""
        first = 0 if cursor is None else read_cursor(cursor)
        last = first + limit
        return {
            "what_if": self.plain(),
            "jobs": [one.plain() for one in self.differing[first:last]],
            "next": str(last) if last < len(self.differing) else None,
            "position": self.asked.until,
        }

    def _text(self) -> str:
        if not self.job_count:
            return "No job fits: nothing was walked again."
        if not self.differing:
            return f"Nothing would have been different for any of {self.job_count} jobs."
        told = (f"{self.other[key]} {WORDS[key]} instead of {self.recorded[key]}" for key in COUNTS)
        return (
            f"{len(self.differing)} of {self.job_count} jobs would have fared differently: "
            f"{', '.join(told)}."
        )


WORDS = {
    "trips": "trips",
    "failures": "failures",
    "attempts": "attempts",
    "manual_resumes": "resumes by hand",
}


def what_if(events: EventReader, read_models: ReadModels, asked: WhatIfQuery) -> WhatIf:
    """Walk every job's recorded life again under the policy that is asked for. Refuses as
    `Wish.require_walkable`, and InvalidField for the id of no job that was there by then.
    """
    asked.wish.require_walkable()
    with read_models.reading() as questions:
        wanted = _wanted(questions, asked)
        until_at = events.recorded_at(asked.until)
        lasts = _storms(questions, asked.until, until_at)
        found = list(lives(questions, events, since=asked.since, until=asked.until))
        _require_there(asked, {life.job_id for life in found})
        walked = [
            _walked(events, questions, Simulation(life, asked.wish, asked.since, until_at, lasts))
            for life in found
            if wanted is None or life.job_id in wanted
        ]
    differing = [one for one in walked if one.recorded != one.other]
    differing.sort(key=lambda one: one.weight, reverse=True)
    return WhatIf(
        asked,
        len(walked),
        _sum(one.recorded for one in walked),
        _sum(one.other for one in walked),
        differing,
    )


def _walked(events: EventReader, questions: RowReader, other_life: Simulation) -> Difference:
    other_life.walk()
    life, other = other_life.life, other_life.other
    avoided = sum(
        _attempts(events, questions, life, span, other_life.since) for span in other_life.avoided
    )
    other_life.recorded.attempts = life.attempts
    other.attempts += life.attempts - avoided
    return Difference(life.job_id, life.name, other_life.recorded, other, other_life.is_estimated)


def _attempts(
    events: EventReader, questions: RowReader, life: JobRunHistory, span: PolicySpan, since: int
) -> int:
    last = events.position_at(span.until) if span.until is not None else life.until
    return attempts_of(questions, life.job_id, span, since=since, until=last)


def _wanted(questions: RowReader, asked: WhatIfQuery) -> set[str] | None:
    tagged = None
    if asked.tag is not None:
        tagged = {row["job_id"] for row in questions.rows(TAGGED, {"tag": asked.tag})}
    if asked.job_ids is None:
        return tagged
    return set(asked.job_ids) & (tagged if tagged is not None else set(asked.job_ids))


def _require_there(asked: WhatIfQuery, there: set[str]) -> None:
    for job_id in asked.job_ids or ():
        if job_id not in there:
            raise InvalidField("job_ids", f"names {job_id}, and there was no such job by then")


def _storms(questions: RowReader, until: int, until_at: datetime) -> StormLasts:
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in questions.rows(STORMS, {"until": until}):
        last = min(int(row["last_failed_at"]), microseconds(until_at))
        spans[row["signature"]].append((int(row["first_failed_at"]), last))

    def lasts(signature: str | None, at: datetime) -> bool:
        instant = microseconds(at)
        return any(first <= instant <= last for first, last in spans.get(signature or "", ()))

    return lasts


def _sum(tallies: Iterable[Counts]) -> dict[str, int]:
    sums = dict.fromkeys(COUNTS, 0)
    for tally in tallies:
        for key in COUNTS:
            sums[key] += getattr(tally, key)
    return sums


CSV_COLUMNS = (
    "job_id", "job_name", "basis",
    *(f"recorded_{item.name}" for item in fields(Counts)),
    *(f"what_if_{item.name}" for item in fields(Counts)),
)  # fmt: skip


def csv_row(one: Difference) -> list[object]:
    """A job that would have fared differently, in the order of `CSV_COLUMNS`."""
    basis = "estimated" if one.is_estimated else "known"
    return [one.job_id, one.name, basis, *_cells(one.recorded), *_cells(one.other)]


def _cells(tally: Counts) -> list[object]:
    return list(asdict(tally).values())
