"""Adds to the refusal `force_required` how earlier forced resumes turned out."""

from __future__ import annotations

from datetime import datetime

from ledger.errors import ForceRequired
from projections.models.resumes.queries import QUOTED_DAYS, TrackRecord
from projections.queries.best_effort import known_track_record
from projections.read_models import ReadModels


def with_track_record(
    refusal: ForceRequired, read_models: ReadModels, now: datetime
) -> ForceRequired:
    """The refusal with the number of forced resumes after such failures that held, in its message
    and facts; unchanged when there were none or the read models do not answer.
    """
    failure_class = refusal.facts.get("failure_class")
    if not isinstance(failure_class, str):
        return refusal
    track_record = known_track_record(read_models, failure_class, now=now)
    if track_record is None or track_record.decided_count == 0:
        return refusal
    refusal.message = f"{refusal.message} {_sentence(track_record, failure_class)}"
    refusal.args = (refusal.message,)
    refusal.facts |= {
        "resumes_decided": track_record.decided_count,
        "resumes_held": track_record.held_count,
        "resumes_days": QUOTED_DAYS,
    }
    return refusal


def _sentence(track_record: TrackRecord, failure_class: str) -> str:
    decided, held = track_record.decided_count, track_record.held_count
    scope = f"after {failure_class} failures in the last {QUOTED_DAYS} days"
    if decided == 1:
        return f"The one forced resume {scope} {'held' if held else 'did not hold'}."
    return f"Of {decided} forced resumes {scope} {held or 'none'} held."
