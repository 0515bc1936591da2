"""Storms: several jobs that fail with the same error signature at about the same time.

A storm opens at the failure that gives 3 jobs one signature within 10 minutes. Its number is the
position of the earliest failure in that window, so a rebuild gives the same one. While it is open
it takes every failure of that signature. It is over when fewer than 2 of its jobs remain (a job
leaves by success, pause, trip or delete), or after 70 minutes without a failure.

A failure belongs to one storm at most. So when the signature of a storm that is over returns, with
3 jobs within 10 minutes one of whose failures the storm took, that storm continues.

Whether a storm is open is not stored: time passes without events. It follows from its last failure
and its remaining jobs; for the next failure by that event's instant, for a query by the query's
(`projections.models.storms.queries`). Events are applied one by one, so pages make no difference.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.domain.events import CircuitTripped, Deleted, Paused, RunFailed, RunSucceeded
from ledger.store.records import RecordedEvent
from projections.models.storms import aftermath as storm_aftermath
from projections.stores.model import Statement

NAME = "storms"
VERSION = 3
MINUTE = 60_000_000
"""Instants and durations here are in µs."""
WINDOW = 10 * MINUTE
SILENCE = 70 * MINUTE
OPENING_JOBS = 3
REMAINING_JOBS = 2

TABLES = (
    "storms",
    "storm_failures",
    "storm_members",
    "past_storm_members",
    *storm_aftermath.TABLES,
)
_STORMS = """
CREATE TABLE storms{g} (
    number BIGINT PRIMARY KEY,
    signature TEXT NOT NULL,
    failure_class TEXT NOT NULL,
    first_failed_at BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    opened_position BIGINT NOT NULL,
    last_failed_at BIGINT NOT NULL
);
CREATE INDEX storms{g}_by_signature ON storms{g} (signature, last_failed_at);
CREATE INDEX storms{g}_by_last ON storms{g} (last_failed_at);
CREATE TABLE storm_failures{g} (
    position BIGINT PRIMARY KEY,
    storm BIGINT NOT NULL,
    signature TEXT NOT NULL,
    job_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    taken_position BIGINT NOT NULL,
    tripped_position BIGINT
);
CREATE INDEX storm_failures{g}_by_storm ON storm_failures{g} (storm, job_id);
CREATE INDEX storm_failures{g}_by_job ON storm_failures{g} (job_id, version);
CREATE INDEX storm_failures{g}_of_none ON storm_failures{g} (signature, recorded_at)
    WHERE storm = 0;
CREATE TABLE storm_members{g} (
    storm BIGINT NOT NULL,
    signature TEXT NOT NULL,
    job_id TEXT NOT NULL,
    taken_position BIGINT NOT NULL,
    last_failed_at BIGINT NOT NULL,
    left_at BIGINT,
    left_by TEXT,
    left_position BIGINT,
    PRIMARY KEY (storm, signature, job_id)
);
CREATE INDEX storm_members{g}_by_signature ON storm_members{g} (signature, last_failed_at);
CREATE INDEX storm_members{g}_present ON storm_members{g} (job_id) WHERE left_at IS NULL;
CREATE TABLE past_storm_members{g} (
    storm BIGINT NOT NULL,
    signature TEXT NOT NULL,
    job_id TEXT NOT NULL,
    returned_position BIGINT NOT NULL,
    left_at BIGINT NOT NULL,
    left_by TEXT NOT NULL,
    left_position BIGINT NOT NULL,
    PRIMARY KEY (storm, signature, job_id, returned_position)
);
"""
SCHEMA = _STORMS + storm_aftermath.SCHEMA
"""Storm 0 is no storm: failures and jobs that may still become part of one. The positions in each
row make it possible to answer how the storms were before (`projections.time_travel.models`).
"""

# -- a failure ----------------------------------------------------------------------------------

_NONE = "storm = 0 AND signature = :signature"
_TAKER = "(SELECT storm FROM storm_failures{g} WHERE position = :position)"
"""The storm that takes this failure, once DECIDE has run."""
PRESENT = (
    "(SELECT COUNT(*) FROM storm_members{g} AS member "
    "WHERE member.storm = storms{g}.number AND member.left_at IS NULL)"
)

DELETE_OLD_FAILURES = (
    f"DELETE FROM storm_failures{{g}} WHERE {_NONE} AND recorded_at < :window_from"
)
DELETE_OLD_JOBS = f"DELETE FROM storm_members{{g}} WHERE {_NONE} AND last_failed_at < :window_from"
INSERT_FAILURE = """
INSERT INTO storm_failures{g} (
    position, storm, signature, job_id, version, recorded_at, taken_position
) VALUES (:position, 0, :signature, :job_id, :version, :at, :position)
"""
INSERT_JOB = """
INSERT INTO storm_members{g} (storm, signature, job_id, taken_position, last_failed_at)
VALUES (0, :signature, :job_id, :position, :at)
ON CONFLICT (storm, signature, job_id) DO UPDATE
SET last_failed_at = excluded.last_failed_at, left_at = NULL, left_by = NULL, left_position = NULL
"""
DECIDE = f"""
UPDATE storm_failures{{g}} SET storm = COALESCE(
    (
        SELECT MAX(number) FROM storms{{g}}
        WHERE signature = :signature AND last_failed_at > :silent_from
        AND {PRESENT} >= {REMAINING_JOBS}
    ),
    (
        SELECT COALESCE(
            (
                SELECT MAX(number) FROM storms{{g}}
                WHERE signature = :signature AND last_failed_at >= :window_from
            ),
            (SELECT MIN(position) FROM storm_failures{{g}} WHERE {_NONE})
        )
        WHERE {OPENING_JOBS} <= (
            SELECT COUNT(DISTINCT job_id) FROM storm_members{{g}}
            WHERE signature = :signature AND last_failed_at >= :window_from
        )
    ),
    0
) WHERE position = :position
"""
"""An open storm of the signature; else, with enough jobs in the window, the storm that took a
failure in the window, or a new one; else none.
"""
TAKE_FAILURES = (
    f"UPDATE storm_failures{{g}} SET storm = {_TAKER}, taken_position = :position "
    f"WHERE {_NONE} AND {_TAKER} <> 0"
)
OPEN = """
INSERT INTO storms{g} (
    number, signature, failure_class, first_failed_at, opened_at, opened_position, last_failed_at
)
SELECT first.position, first.signature, :failure_class, first.recorded_at, this.recorded_at,
    this.position, this.recorded_at
FROM storm_failures{g} AS this JOIN storm_failures{g} AS first ON first.position = this.storm
WHERE this.position = :position
ON CONFLICT (number) DO UPDATE SET last_failed_at = excluded.last_failed_at
"""
INSERT_PAST_MEMBERS = f"""
INSERT INTO past_storm_members{{g}} (
    storm, signature, job_id, returned_position, left_at, left_by, left_position
)
SELECT storm, signature, job_id, :position, left_at, left_by, left_position
FROM storm_members{{g}} AS member
WHERE storm = {_TAKER} AND storm <> 0 AND signature = :signature AND left_at IS NOT NULL
AND EXISTS (SELECT 1 FROM storm_members{{g}} WHERE {_NONE} AND job_id = member.job_id)
"""
"""How the jobs that return had left."""
TAKE_JOBS = f"""
INSERT INTO storm_members{{g}} (
    storm, signature, job_id, taken_position, last_failed_at, left_at, left_by, left_position
)
SELECT {_TAKER}, signature, job_id, :position, last_failed_at, left_at, left_by, left_position
FROM storm_members{{g}} WHERE {_NONE} AND {_TAKER} <> 0
ON CONFLICT (storm, signature, job_id) DO UPDATE
SET last_failed_at = excluded.last_failed_at, left_at = excluded.left_at,
    left_by = excluded.left_by, left_position = excluded.left_position
"""
RELEASE_JOBS = f"DELETE FROM storm_members{{g}} WHERE {_NONE} AND {_TAKER} <> 0"
FAILURE = (
    DELETE_OLD_FAILURES, DELETE_OLD_JOBS, INSERT_FAILURE, INSERT_JOB, DECIDE, TAKE_FAILURES, OPEN,
    INSERT_PAST_MEMBERS, TAKE_JOBS, RELEASE_JOBS,
)  # fmt: skip
"""What a failure changes, in this order."""

# -- leaving ------------------------------------------------------------------------------------

LEAVE = """
UPDATE storm_members{g} SET left_at = :at, left_by = :left_by, left_position = :position
WHERE job_id = :job_id AND left_at IS NULL
"""
TRIP = """
UPDATE storm_failures{g} SET tripped_position = :position
WHERE job_id = :job_id AND version = :version - 1
"""
"""A failure and the trip it causes are in one append, one after the other."""
_LEAVES = {
    RunSucceeded.TOPIC: "succeeded",
    Paused.TOPIC: "paused",
    CircuitTripped.TOPIC: "tripped",
    Deleted.TOPIC: "deleted",
}


def project(event: RecordedEvent) -> Iterable[Statement]:
    """What one event changes: a failure much, whatever makes a job leave one row."""
    if event.topic == RunFailed.TOPIC:
        return _failed(event)
    left_by = _LEAVES.get(event.topic)
    return _left(event, left_by) if left_by is not None else storm_aftermath.project(event)


def _failed(event: RecordedEvent) -> Iterable[Statement]:
    values = {
        "position": event.position,
        "job_id": str(event.stream),
        "version": event.version,
        "signature": event.data["signature"],
        "failure_class": event.data["failure_class"],
        "at": event.recorded_at,
        "window_from": event.recorded_at - WINDOW,
        "silent_from": event.recorded_at - SILENCE,
    }
    return [(statement, values) for statement in FAILURE]


def _left(event: RecordedEvent, left_by: str) -> Iterable[Statement]:
    values = {
        "job_id": str(event.stream),
        "at": event.recorded_at,
        "left_by": left_by,
        "position": event.position,
    }
    yield LEAVE, values
    if event.topic == CircuitTripped.TOPIC:
        yield TRIP, values | {"version": event.version}
