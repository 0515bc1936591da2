"""What changed across the fleet between two moments: which jobs came and went, which fields of the
others differ, and who changed each last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson

from ledger.clock import from_microseconds, rfc3339
from ledger.domain.job.job import job_id_of
from ledger.store.audit_query import DISPATCHER, MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.filters.as_of import AsOf
from projections.models.jobs import model as jobs
from projections.models.jobs.column_effects import ColumnEffects
from projections.models.jobs.queries import read_cursor, shape
from projections.read_models import ReadModels
from projections.stores.contract import Row

STATE = ("status", "paused_until", "consecutive_errors", "consecutive_losses", "next_run_at")
FIELDS = (*jobs.AMENDABLE, *STATE)
"""What is compared, in the order it is told. The next run moves with every run: it is told only
where the status, the schedule or `enabled` differs.
"""
MOVES_NEXT_RUN = ("status", "schedule", "enabled")
STEERING = (
    "job.amended", "job.paused", "job.resumed", "job.force_resumed", "job.circuit_tripped",
    "job.circuit_closed", "job.completed", "job.imported", "job.deleted",
)  # fmt: skip
"""Topics that change what runs do not."""
ENDINGS = ("job.run_failed", "job.run_lost", "job.run_succeeded")
"""Topics of runs that change a streak."""
AT_ONCE = 200
"""Events of one job read at a time, from the newest back."""

_ROWS = f"""
SELECT number, id, version, {", ".join(FIELDS)} FROM jobs WHERE status <> 'deleted'
"""
_SHAPED = "SELECT * FROM jobs WHERE number = :number"


@dataclass(frozen=True, slots=True)
class DiffQuery:
    """Between which moments; of which jobs (with a tag before or after) and whose changes."""

    begin: AsOf
    end: AsOf
    tag: str | None = None
    actor: str | None = None
    cursor: str | None = None
    limit: int = 50


@dataclass(slots=True)
class _Compared:
    """One job before and after; None where it was not there."""

    number: int
    before: Row | None
    after: Row | None
    fields: list[str] = field(default_factory=list)

    @property
    def id(self) -> UUID:
        return job_id_of((self.after or self.before or {})["id"])

    @property
    def names(self) -> list[str]:
        return [row["name"] for row in (self.after, self.before) if row is not None]


class Diff:
    """Compares two pasts of one ledger; what was made and deleted in between is in neither."""

    def __init__(self, events: EventReader, read_models: ReadModels) -> None:
        self._events = events
        self._read_models = read_models

    def document(self, asked: DiffQuery) -> dict[str, Any]:
        """A page as it is told, between which moments. Refuses Behind."""
        jobs, following = self.page(asked)
        return {
            "from": _moment(asked.begin),
            "to": _moment(asked.end),
            "jobs": jobs,
            "next": following,
            "position": asked.end.position,
        }

    def page(self, asked: DiffQuery) -> tuple[list[dict[str, Any]], str | None]:
        """The jobs that differ, in the order they were made, and the cursor of the next page.
        Refuses Behind.
        """
        touched = self._touched(asked)
        differing: list[tuple[int, dict[str, Any]]] = []
        with ColumnEffects(FIELDS) as scratch:
            for compared in self._differing(asked):
                if touched is not None and compared.id not in touched:
                    continue
                told = self._told(compared, asked, scratch)
                if told is not None:
                    differing.append((compared.number, told))
                if len(differing) > asked.limit:
                    break
        page = differing[: asked.limit]
        following = str(page[-1][0]) if len(differing) > asked.limit else None
        return [told for _, told in page], following

    # -- which jobs -----------------------------------------------------------------------------

    def _differing(self, asked: DiffQuery) -> Iterator[_Compared]:
        first = read_cursor(asked.cursor) if asked.cursor is not None else 0
        before, after = self._rows(asked.begin), self._rows(asked.end)
        for number in sorted(number for number in before.keys() | after.keys() if number > first):
            old, new = before.get(number), after.get(number)
            if old is not None and new is not None and old["version"] == new["version"]:
                continue
            compared = _Compared(number, old, new, _fields(old, new))
            is_there = compared.fields or old is None or new is None
            if is_there and (asked.tag is None or _has_tag(compared, asked.tag)):
                yield compared

    def _rows(self, moment: AsOf) -> Mapping[int, Row]:
        with self._read_models.reading(moment, "jobs") as questions:
            return {row["number"]: row for row in questions.rows(_ROWS)}

    def _touched(self, asked: DiffQuery) -> set[UUID | str] | None:
        """The streams that an actor wrote to meanwhile; None for whoever writes to all."""
        if asked.actor in (None, DISPATCHER):
            return None
        query = _between(asked, AuditQuery(actor=asked.actor, limit=MAX_PAGE))
        return {item.originator_id for item in self._events.find_all_stored(query)}

    # -- what, and who --------------------------------------------------------------------------

    def _told(
        self, compared: _Compared, asked: DiffQuery, scratch: ColumnEffects
    ) -> dict[str, Any] | None:
        """One job of the answer, or None when the actor had no part in how it differs."""
        told: dict[str, Any] = {"job_id": str(compared.id), "job_name": compared.names[0]}
        if compared.before is None or compared.after is None:
            topic = "job.scheduled" if compared.before is None else "job.deleted"
            [fact, *_] = self._newest(compared, asked, (topic,))
            if asked.actor not in (None, fact.data["actor"]["id"]):
                return None
            what = "made" if compared.before is None else "deleted"
            return {**told, "change": what, "event": _event(fact), "fields": []}
        fields = self._changed(compared, asked, scratch)
        return {**told, "change": "changed", "event": None, "fields": fields} if fields else None

    def _changed(
        self, compared: _Compared, asked: DiffQuery, scratch: ColumnEffects
    ) -> list[dict[str, Any]]:
        changers = self._changers(compared, asked, scratch)
        old, new = (self._shaped(moment, compared.number) for moment in (asked.begin, asked.end))
        return [
            {"field": name, "before": old[name], "after": new[name], **_event(changers[name])}
            for name in compared.fields
            if asked.actor in (None, changers[name].data["actor"]["id"])
        ]

    def _shaped(self, moment: AsOf, number: int) -> dict[str, Any]:
        with self._read_models.reading(moment, "jobs") as questions:
            return shape(questions.rows(_SHAPED, {"number": number})[0])

    def _changers(
        self, compared: _Compared, asked: DiffQuery, scratch: ColumnEffects
    ) -> Mapping[str, RecordedEvent]:
        """For each field the last event that changed it: walking back, the first of those that gave
        it its last value.
        """
        after = compared.after or {}
        changers: dict[str, RecordedEvent] = {}
        wanted = set(compared.fields)
        for fact in self._newest(compared, asked, _topics(wanted)):
            given = scratch.given_by(fact)
            for name in wanted & given.keys():
                if given[name] == after[name]:
                    changers[name] = fact
                else:
                    wanted.discard(name)
            if not wanted:
                break
        return changers

    def _newest(
        self, compared: _Compared, asked: DiffQuery, topics: tuple[str, ...]
    ) -> Iterator[RecordedEvent]:
        """A job's events of some topics (none: of all) between the moments, newest first."""
        about = AuditQuery(stream=compared.id, topics=topics, order="desc", limit=AT_ONCE)
        for item in self._events.find_all_stored(_between(asked, about)):
            yield from self._events.decode([item])


def _moment(moment: AsOf) -> dict[str, Any]:
    return {"position": moment.position, "at": rfc3339(moment.at)}


def _between(asked: DiffQuery, query: AuditQuery) -> AuditQuery:
    return replace(query, after_position=asked.begin.position, until_position=asked.end.position)


def _fields(old: Row | None, new: Row | None) -> list[str]:
    """What differs between two rows."""
    if old is None or new is None:
        return []
    differing = [name for name in FIELDS if old[name] != new[name]]
    if not set(differing) & set(MOVES_NEXT_RUN):
        return [name for name in differing if name != "next_run_at"]
    return differing


def _topics(fields: set[str]) -> tuple[str, ...]:
    """The topics that may change some fields; none stands for all."""
    if "next_run_at" in fields:
        return ()
    streaks = {"consecutive_errors", "consecutive_losses"}
    return (*STEERING, *ENDINGS) if fields & streaks else STEERING


def _has_tag(compared: _Compared, tag: str) -> bool:
    rows: Sequence[Row | None] = (compared.before, compared.after)
    return any(row is not None and tag in orjson.loads(row["tags"]) for row in rows)


def _event(fact: RecordedEvent) -> dict[str, Any]:
    return {
        "position": fact.position,
        "topic": fact.topic,
        "actor": fact.data["actor"],
        "reason": fact.data["reason"],
        "recorded_at": rfc3339(from_microseconds(fact.recorded_at)),
    }
