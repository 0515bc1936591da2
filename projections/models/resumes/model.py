"""Did it hold: every force-resume, and what came of it (DESIGN §12).

What comes first after it decides: a run that succeeded (held), a trip (re_tripped), a pause
(paused_again) or the end of the job (deleted); until then it is open. A trip after a resume that
held is told beside it and changes no verdict. The position of the force-resume is its id.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.store.records import RecordedEvent
from projections.stores.model import Statement

NAME = "resumes"
VERSION = 2
OUTCOMES = ("open", "held", "re_tripped", "paused_again", "deleted")
UNKNOWN_CLASS = "unknown"
"""The failure class of a job that was taken over failed."""

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
"""`run_count`: the runs that ended until it was decided. Its trips are those until the job was next
forced; a probe that failed is none.
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
"""In one statement, for most of the book are successes."""
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
    "job.force_resumed": (SUPERSEDE, INSERT),
    "job.run_succeeded": (HOLD,),
    "job.run_failed": (COUNT_RUN,),
    "job.run_lost": (COUNT_RUN,),
    "job.run_blocked": (COUNT_RUN,),
    "job.circuit_tripped": (DECIDE, COUNT_TRIP, TRIP),
    "job.circuit_closed": (CLOSE,),
    "job.paused": (DECIDE,),
    "job.deleted": (DECIDE,),
}
_VERDICTS = {
    "job.circuit_tripped": "re_tripped",
    "job.paused": "paused_again",
    "job.deleted": "deleted",
}


def project(fact: RecordedEvent) -> Iterable[Statement]:
    """What one event changes."""
    statements = _STATEMENTS.get(fact.topic)
    if statements is None:
        return ()
    values = {
        "position": fact.position,
        "job_id": str(fact.stream),
        "at": fact.recorded_at,
        "outcome": _VERDICTS.get(fact.topic),
    }
    if fact.topic == "job.force_resumed":
        values |= _of_resume(fact)
    return [(statement, values) for statement in statements]


def _of_resume(fact: RecordedEvent) -> dict[str, object]:
    data = fact.data
    own = ("source", "reason", "trip_position", "cleared_errors", "last_error", "recovery_id")
    return {
        **{name: data[name] for name in own},
        "actor": data["actor"]["id"],
        "kind": data["actor"]["kind"],
        "failure_class": data["failure_class"] or UNKNOWN_CLASS,
    }
