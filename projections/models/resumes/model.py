"""Forced resumes, and what came of each.

The first of these after it decides the outcome: a successful run (held), a trip (re_tripped), a
pause (paused_again), the end of the job (deleted). Until then it is open. A trip after a resume
that held is counted beside it and does not change the outcome. Its id is the position of the
`job.force_resumed` event.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.domain import events
from ledger.store.records import RecordedEvent
from projections.stores.model import Statement

NAME = "resumes"
VERSION = 2
OUTCOMES = ("open", "held", "re_tripped", "paused_again", "deleted")
UNKNOWN_CLASS = "unknown"
"""The failure class of a job that was failed when it was imported."""

TABLES = ("resumes", "resume_trips")
SCHEMA = """
CREATE TABLE resumes{g} (
    position BIGINT PRIMARY KEY,
    job_id TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT,
    failure_class TEXT NOT NULL,
    trip_position BIGINT,
    cleared_errors BIGINT NOT NULL,
    last_error TEXT,
    recovery_id TEXT,
    outcome TEXT NOT NULL,
    decided_position BIGINT,
    decided_at BIGINT,
    run_count BIGINT NOT NULL,
    next_trip_position BIGINT,
    next_trip_at BIGINT,
    is_tripped BIGINT NOT NULL,
    is_latest BIGINT NOT NULL
);
CREATE INDEX resumes{g}_open ON resumes{g} (job_id) WHERE outcome = 'open';
CREATE INDEX resumes{g}_latest ON resumes{g} (job_id) WHERE is_latest = 1;
CREATE INDEX resumes{g}_by_time ON resumes{g} (recorded_at);
CREATE TABLE resume_trips{g} (
    position BIGINT PRIMARY KEY,
    resume BIGINT NOT NULL
);
CREATE INDEX resume_trips{g}_of ON resume_trips{g} (resume);
"""
"""`run_count`: the runs that ended until the outcome was decided. Its trips are those until the
next forced resume of the job; a failed probe is not a trip.
"""

SUPERSEDE = "UPDATE resumes{g} SET is_latest = 0 WHERE job_id = :job_id AND is_latest = 1"
INSERT = """
INSERT INTO resumes{g} (
    position, job_id, recorded_at, actor, kind, source, reason, failure_class, trip_position,
    cleared_errors, last_error, recovery_id, outcome, run_count, is_tripped, is_latest
) VALUES (
    :position, :job_id, :at, :actor, :kind, :source, :reason, :failure_class, :trip_position,
    :cleared_errors, :last_error, :recovery_id, 'open', 0, 0, 1
)
"""
COUNT_RUN = """
UPDATE resumes{g} SET run_count = run_count + 1 WHERE job_id = :job_id AND outcome = 'open'
"""
HOLD = """
UPDATE resumes{g} SET run_count = run_count + 1, outcome = 'held', decided_position = :position,
    decided_at = :at
WHERE job_id = :job_id AND outcome = 'open'
"""
"""One statement: most events are successes."""
DECIDE = """
UPDATE resumes{g} SET outcome = :outcome, decided_position = :position, decided_at = :at
WHERE job_id = :job_id AND outcome = 'open'
"""
COUNT_TRIP = """
INSERT INTO resume_trips{g} (position, resume)
SELECT :position, position FROM resumes{g}
WHERE job_id = :job_id AND is_latest = 1 AND is_tripped = 0
"""
TRIP = """
UPDATE resumes{g} SET next_trip_position = COALESCE(next_trip_position, :position),
    next_trip_at = COALESCE(next_trip_at, :at), is_tripped = 1
WHERE job_id = :job_id AND is_latest = 1
"""
CLOSE = "UPDATE resumes{g} SET is_tripped = 0 WHERE job_id = :job_id AND is_latest = 1"

_STATEMENTS: dict[str, tuple[str, ...]] = {
    events.ForceResumed.TOPIC: (SUPERSEDE, INSERT),
    events.RunSucceeded.TOPIC: (HOLD,),
    events.RunFailed.TOPIC: (COUNT_RUN,),
    events.RunLost.TOPIC: (COUNT_RUN,),
    events.RunBlocked.TOPIC: (COUNT_RUN,),
    events.CircuitTripped.TOPIC: (DECIDE, COUNT_TRIP, TRIP),
    events.CircuitClosed.TOPIC: (CLOSE,),
    events.Paused.TOPIC: (DECIDE,),
    events.Deleted.TOPIC: (DECIDE,),
}
_OUTCOMES = {
    events.CircuitTripped.TOPIC: "re_tripped",
    events.Paused.TOPIC: "paused_again",
    events.Deleted.TOPIC: "deleted",
}


def project(event: RecordedEvent) -> Iterable[Statement]:
    """What one event changes."""
    statements = _STATEMENTS.get(event.topic)
    if statements is None:
        return ()
    values = {
        "position": event.position,
        "job_id": str(event.stream),
        "at": event.recorded_at,
        "outcome": _OUTCOMES.get(event.topic),
    }
    if event.topic == events.ForceResumed.TOPIC:
        values |= _of_resume(event)
    return [(statement, values) for statement in statements]


def _of_resume(event: RecordedEvent) -> dict[str, object]:
    data = event.data
    own = ("source", "reason", "trip_position", "cleared_errors", "last_error", "recovery_id")
    return {
        **{name: data[name] for name in own},
        "actor": data["actor"]["id"],
        "kind": data["actor"]["kind"],
        "failure_class": data["failure_class"] or UNKNOWN_CLASS,
    }
