"""What came of forcing jobs before, said to whoever is about to force one."""

from __future__ import annotations

from datetime import datetime

from ledger.errors import ForceRequired
from projections.models.resumes.queries import QUOTED_DAYS, TrackRecord
from projections.queries.best_effort import known_track_record
from projections.read_models import ReadModels


def with_track_record(
    refusal: ForceRequired, read_models: ReadModels, now: datetime
) -> ForceRequired:
    """The refusal with how many forced resumes after such failures held, in its message and its
    facts; as it is when there were none, or the copies cannot say.
    """
    failure_class = refusal.facts.get("failure_class")
    if not isinstance(failure_class, str):
        return refusal
    record = known_track_record(read_models, failure_class, now=now)
    if record is None or record.decided_count == 0:
        return refusal
    refusal.message = f"{refusal.message} {_sentence(record, failure_class)}"
    refusal.args = (refusal.message,)
    refusal.facts |= {
        "resumes_decided": record.decided_count,
        "resumes_held": record.held_count,
        "resumes_days": QUOTED_DAYS,
    }
    return refusal


def _sentence(record: TrackRecord, failure_class: str) -> str:
    of = f"after {failure_class} failures in the last {QUOTED_DAYS} days"
    if record.decided_count == 1:
        return f"The one forced resume {of} {'held' if record.held_count else 'did not hold'}."
    return f"Of {record.decided_count} forced resumes {of} {record.held_count or 'none'} held."
