"""What the read models add to answers that do not depend on them; None while they cannot answer."""

from __future__ import annotations

from datetime import datetime

from ledger.errors import Unavailable
from projections.models.resumes import model as resumes
from projections.models.resumes.queries import TrackRecord, track_record
from projections.models.storms import model as storms
from projections.models.storms import queries as storm_queries
from projections.read_models import ReadModels


def known_storm(read_models: ReadModels, failure: int, *, as_of: int) -> str | None:
    """The storm that the failure at a position belonged to, as known at a later position."""
    try:
        read_models.wait_for(failure, needs=(storms.NAME,))
        with read_models.reading() as reader:
            return storm_queries.of_failure(reader, failure, as_of=as_of)
    except Unavailable:
        return None


def known_track_record(
    read_models: ReadModels, failure_class: str, *, now: datetime
) -> TrackRecord | None:
    """What came of the forced resumes after failures of a class, for a ForceRequired refusal."""
    statuses = read_models.statuses()
    if not any(status.name == resumes.NAME and status.position >= 0 for status in statuses):
        return None
    try:
        with read_models.reading() as reader:
            return track_record(reader, failure_class, now=now)
    except Unavailable:
        return None
