"""What happened to each job as far as its breaker is concerned: the runs that did not succeed, the
first success after each, and the events that stopped it, resumed it or changed its policy.

The runs come from their read model, which joins each with the run after it; the rest is rare, and
comes from the events. A success after a success is only counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from ledger.clock import parse_rfc3339
from ledger.domain.events import STATUS_AFTER, Amended, Imported, Scheduled
from ledger.store.audit_query import MAX_PAGE, AuditQuery
from ledger.store.event_reader import EventReader
from ledger.store.records import RecordedEvent
from projections.stores.rows import Row, RowReader

POLICY_TOPICS = (*STATUS_AFTER, Amended.TOPIC, Imported.TOPIC)
HIGHEST_FENCE = 2**62

UNSUCCESSFUL = """
SELECT run.job_id, run.fence, run.status, run.trigger, run.failure_class, run.signature, run.error,
    run.ended_position, run.ended_at,
    following.status AS next_status, following.ended_position AS next_position,
    following.ended_at AS next_ended_at, following.fence AS next_fence
FROM runs AS run LEFT JOIN runs AS following
    ON following.job_id = run.job_id AND following.fence = (
        SELECT MIN(later.fence) FROM runs AS later
        WHERE later.job_id = run.job_id AND later.fence > run.fence
    )
WHERE run.status IN ('failed', 'lost', 'blocked') AND run.ended_position <= :until
"""
ATTEMPTS = """
SELECT job_id, COUNT(*) AS count FROM runs
WHERE ended_position > :since AND ended_position <= :until GROUP BY job_id
"""
ATTEMPTS_OF = """
SELECT COUNT(*) AS count FROM runs
WHERE job_id = :job_id AND fence > :after_fence AND fence < :before_fence
AND ended_position > :since AND ended_position <= :until
"""


@dataclass(frozen=True, slots=True)
class RunEnding:
    """A run that did not succeed (failed, lost, blocked), or the first one after it that did."""

    position: int
    at: datetime
    fence: int
    status: str
    trigger: str
    failure_class: str | None
    signature: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """An event that scheduled, stopped or resumed a job, or changed its policy."""

    position: int
    at: datetime
    version: int
    topic: str
    data: Mapping[str, Any]


Step = RunEnding | PolicyEvent


@dataclass(frozen=True, slots=True)
class PolicySpan:
    """Runs of a job between two fences (a fence is the version of the run's start), and if `until`
    is given, only those that ended by then.
    """

    after_fence: int
    before_fence: int = HIGHEST_FENCE
    until: datetime | None = None


@dataclass(slots=True)
class JobRunHistory:
    """One job's steps in order, up to a position, and how many of its runs ended in the range that
    was asked for.
    """

    job_id: str
    until: int
    name: str = ""
    steps: list[Step] = field(default_factory=list)
    attempts: int = 0


def run_histories(
    reader: RowReader, events: EventReader, *, since: int, until: int
) -> Iterator[JobRunHistory]:
    """Every job that was scheduled up to the position `until`, from its first event on; its
    attempts are those that ended after the position `since`.
    """
    found: dict[str, JobRunHistory] = {}
    query = AuditQuery(topics=POLICY_TOPICS, until_position=until, limit=MAX_PAGE)
    for event in events.find_all(query):
        job_id = str(event.stream)
        history = found.setdefault(job_id, JobRunHistory(job_id, until))
        history.name = _name(event, history.name)
        history.steps.append(_policy_event(event))
    for job_id, endings in _endings(reader, until).items():
        found[job_id].steps += endings
    for row in reader.rows(ATTEMPTS, {"since": since, "until": until}):
        found[row["job_id"]].attempts = int(row["count"])
    for history in found.values():
        history.steps.sort(key=attrgetter("position"))
        yield history


def attempts_of(reader: RowReader, job_id: str, span: PolicySpan, *, since: int, until: int) -> int:
    """How many runs of a job are in a span and ended between two positions."""
    values = {"job_id": job_id, "since": since, "until": until}
    fences = {"after_fence": span.after_fence, "before_fence": span.before_fence}
    row = reader.row(ATTEMPTS_OF, values | fences)
    return int(row["count"]) if row is not None else 0


def _endings(reader: RowReader, until: int) -> Mapping[str, list[RunEnding]]:
    endings: dict[str, list[RunEnding]] = defaultdict(list)
    for row in reader.rows(UNSUCCESSFUL, {"until": until}):
        endings[row["job_id"]].append(_unsuccessful(row))
        if row["next_status"] == "succeeded" and row["next_position"] <= until:
            endings[row["job_id"]].append(_success_after(row))
    return endings


def _unsuccessful(row: Row) -> RunEnding:
    return RunEnding(
        row["ended_position"],
        parse_rfc3339(row["ended_at"]),
        row["fence"],
        row["status"],
        row["trigger"],
        row["failure_class"],
        row["signature"],
        row["error"] if row["status"] == "lost" else None,
    )


def _success_after(row: Row) -> RunEnding:
    at = parse_rfc3339(row["next_ended_at"])
    fence, position = row["next_fence"], row["next_position"]
    return RunEnding(position, at, fence, "succeeded", row["trigger"], None, None, None)


def _policy_event(event: RecordedEvent) -> PolicyEvent:
    at = parse_rfc3339(event.data["timestamp"])
    return PolicyEvent(event.position, at, event.version, event.topic, event.data)


def _name(event: RecordedEvent, name: str) -> str:
    if event.topic == Scheduled.TOPIC:
        return str(event.data["name"])
    if event.topic == Amended.TOPIC:
        return str(event.data["changes"].get("name", name))
    return name
