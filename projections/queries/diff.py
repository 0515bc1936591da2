"""What changed in the list of jobs between two points in time: which jobs were created or deleted,
which fields of the others differ, and the event that changed each last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from uuid import UUID

import orjson

from ledger.clock import from_microseconds, rfc3339
from ledger.domain import events
from ledger.domain.job.job import job_id_of
from ledger.store.audit_query import DISPATCHER, MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.filters.as_of import AsOf
from projections.filters.paging import cursor_or
from projections.models.jobs import model as jobs
from projections.models.jobs.column_effects import ColumnEffects
from projections.models.jobs.queries import shape
from projections.read_models import ReadModels
from projections.stores.rows import Row

STATE = ("status", "paused_until", "consecutive_errors", "consecutive_losses", "next_run_at")
FIELDS = (*jobs.AMENDABLE, *STATE)
"""The fields that are compared, in the order they are shown. Every run moves `next_run_at`: it is
shown only where the status, the schedule or `enabled` differs.
"""
MOVES_NEXT_RUN = ("status", "schedule", "enabled")
OPERATOR_TOPICS = (
    events.Amended.TOPIC, events.Paused.TOPIC, events.Resumed.TOPIC, events.ForceResumed.TOPIC,
    events.CircuitTripped.TOPIC, events.CircuitClosed.TOPIC, events.Completed.TOPIC,
    events.Imported.TOPIC, events.Deleted.TOPIC,
)  # fmt: skip
"""Events that change what runs do not."""
STREAK_TOPICS = (events.RunFailed.TOPIC, events.RunLost.TOPIC, events.RunSucceeded.TOPIC)
"""Events of runs that change a streak."""
PAGE = 200
"""Events of one job read at a time, newest first."""

_ROWS = f"""
SELECT number, id, version, {", ".join(FIELDS)} FROM jobs WHERE status <> 'deleted'
"""
_ONE = "SELECT * FROM jobs WHERE number = :number"


@dataclass(frozen=True, slots=True)
class DiffQuery:
    """Between which points in time; of jobs with a tag before or after; whose changes."""

    begin: AsOf
    end: AsOf
    tag: str | None = None
    actor: str | None = None
    cursor: str | None = None
    limit: int = 50


@dataclass(slots=True)
class _Pair:
    """One job before and after; None where it did not exist."""

    number: int
    before: Row | None
    after: Row | None
    fields: list[str] = field(default_factory=list)

    @property
    def id(self) -> UUID:
        return job_id_of((self.after or self.before or {})["id"])

    @property
    def name(self) -> str:
        return str((self.after or self.before or {})["name"])


class Diff:
    """Compares a ledger's jobs at two points in time; a job created and deleted in between is in
    neither.
    """

    def __init__(self, reader: EventReader, read_models: ReadModels, query: DiffQuery) -> None:
        self._events = reader
        self._read_models = read_models
        self._query = query

    def document(self) -> dict[str, Any]:
        """A page of the jobs, in order of creation, and the points in time it compares. Raises
        Behind.
        """
        query, differing = self._query, list(islice(self._differing(), self._query.limit + 1))
        page = differing[: query.limit]
        return {
            "from": _point(query.begin),
            "to": _point(query.end),
            "jobs": [shown for _, shown in page],
            "next": str(page[-1][0]) if len(differing) > query.limit else None,
            "position": query.end.position,
        }

    def _differing(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The jobs that differ, each with its number."""
        touched = self._touched()
        with ColumnEffects(FIELDS) as effects:
            for pair in self._pairs():
                if touched is None or pair.id in touched:
                    shown = self._shown(pair, effects)
                    if shown is not None:
                        yield pair.number, shown

    # -- which jobs -----------------------------------------------------------------------------

    def _pairs(self) -> Iterator[_Pair]:
        query = self._query
        first = cursor_or(query.cursor, 0)
        before, after = self._rows(query.begin), self._rows(query.end)
        for number in sorted(number for number in before.keys() | after.keys() if number > first):
            old, new = before.get(number), after.get(number)
            if old is not None and new is not None and old["version"] == new["version"]:
                continue
            pair = _Pair(number, old, new, _fields(old, new))
            is_different = pair.fields or old is None or new is None
            if is_different and (query.tag is None or _has_tag(pair, query.tag)):
                yield pair

    def _rows(self, as_of: AsOf) -> Mapping[int, Row]:
        with self._read_models.reading(as_of, "jobs") as reader:
            return {row["number"]: row for row in reader.rows(_ROWS)}

    def _touched(self) -> set[UUID | str] | None:
        """The streams that the actor wrote to in between; None without an actor, and for the
        dispatcher, which writes to all.
        """
        actor = self._query.actor
        if actor in (None, DISPATCHER):
            return None
        own = self._between(AuditQuery(actor=actor, limit=MAX_PAGE))
        return {item.originator_id for item in self._events.find_all_stored(own)}

    # -- what changed, and by which event -------------------------------------------------------

    def _shown(self, pair: _Pair, effects: ColumnEffects) -> dict[str, Any] | None:
        """One job of the answer, or None when none of its changes is the actor's."""
        job = {"job_id": str(pair.id), "job_name": pair.name}
        if pair.before is None or pair.after is None:
            topic = events.Scheduled.TOPIC if pair.before is None else events.Deleted.TOPIC
            [event, *_] = self._newest(pair, (topic,))
            if self._query.actor not in (None, event.data["actor"]["id"]):
                return None
            change = "made" if pair.before is None else "deleted"
            return {**job, "change": change, "event": _event(event), "fields": []}
        fields = self._changed(pair, effects)
        return {**job, "change": "changed", "event": None, "fields": fields} if fields else None

    def _changed(self, pair: _Pair, effects: ColumnEffects) -> list[dict[str, Any]]:
        changes = self._changes(pair, effects)
        old = self._shape(self._query.begin, pair.number)
        new = self._shape(self._query.end, pair.number)
        return [
            {"field": name, "before": old[name], "after": new[name], **_event(changes[name])}
            for name in pair.fields
            if self._query.actor in (None, changes[name].data["actor"]["id"])
        ]

    def _shape(self, as_of: AsOf, number: int) -> dict[str, Any]:
        with self._read_models.reading(as_of, "jobs") as reader:
            return shape(reader.rows(_ONE, {"number": number})[0])

    def _changes(self, pair: _Pair, effects: ColumnEffects) -> Mapping[str, RecordedEvent]:
        """For each field the event that changed it last: of the newest events in a row that set its
        last value, the first one.
        """
        after = pair.after or {}
        changes: dict[str, RecordedEvent] = {}
        wanted = set(pair.fields)
        for event in self._newest(pair, _topics(wanted)):
            values = effects.values_set_by(event)
            for name in wanted & values.keys():
                if values[name] == after[name]:
                    changes[name] = event
                else:
                    wanted.discard(name)
            if not wanted:
                break
        return changes

    def _newest(self, pair: _Pair, topics: tuple[str, ...]) -> Iterator[RecordedEvent]:
        """A job's events of some topics (none: of all) between the two points, newest first."""
        own = AuditQuery(stream=pair.id, topics=topics, order="desc", limit=PAGE)
        for item in self._events.find_all_stored(self._between(own)):
            yield from self._events.decode([item])

    def _between(self, audit: AuditQuery) -> AuditQuery:
        first, last = self._query.begin.position, self._query.end.position
        return replace(audit, after_position=first, until_position=last)


def _point(as_of: AsOf) -> dict[str, Any]:
    return {"position": as_of.position, "at": rfc3339(as_of.at)}


def _fields(old: Row | None, new: Row | None) -> list[str]:
    """The fields in which two rows differ."""
    if old is None or new is None:
        return []
    differing = [name for name in FIELDS if old[name] != new[name]]
    if not set(differing) & set(MOVES_NEXT_RUN):
        return [name for name in differing if name != "next_run_at"]
    return differing


def _topics(fields: set[str]) -> tuple[str, ...]:
    """The topics that may change some fields; none means all."""
    if "next_run_at" in fields:
        return ()
    streaks = {"consecutive_errors", "consecutive_losses"}
    return (*OPERATOR_TOPICS, *STREAK_TOPICS) if fields & streaks else OPERATOR_TOPICS


def _has_tag(pair: _Pair, tag: str) -> bool:
    rows: Sequence[Row | None] = (pair.before, pair.after)
    return any(row is not None and tag in orjson.loads(row["tags"]) for row in rows)


def _event(event: RecordedEvent) -> dict[str, Any]:
    return {
        "position": event.position,
        "topic": event.topic,
        "actor": event.data["actor"],
        "reason": event.data["reason"],
        "recorded_at": rfc3339(from_microseconds(event.recorded_at)),
    }
