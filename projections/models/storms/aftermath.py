"""What follows a storm: the fires that its jobs missed while they were tripped, and the notices
sent about it.

Rows are only added, so the rows up to a position are those there were at it. Fires still being
missed have no row: they are counted when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ledger.domain.events import CircuitClosed, ForceResumed
from ledger.domain.streams.notices import NoticeFailed, NoticeSent
from ledger.store.records import RecordedEvent
from projections.filters.paging import instant_text
from projections.stores.model import Statement
from projections.stores.rows import RowReader

TABLES = ("storm_losses", "storm_notices")
SCHEMA = """
CREATE TABLE storm_losses{g} (
    position BIGINT PRIMARY KEY,
    job_id TEXT NOT NULL,
    tripped_position BIGINT NOT NULL,
    slot_count BIGINT NOT NULL,
    capped BIGINT NOT NULL
);
CREATE INDEX storm_losses{g}_by_job ON storm_losses{g} (job_id, tripped_position);
CREATE TABLE storm_notices{g} (
    position BIGINT PRIMARY KEY,
    storm BIGINT NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    target TEXT,
    is_sent BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    recorded_at BIGINT NOT NULL
);
CREATE INDEX storm_notices{g}_by_storm ON storm_notices{g} (storm);
"""
"""Every resume of a tripped job adds a loss, perhaps of 0 slots. It belongs to a trip, and the
trip's failure to a storm.
"""

LOSE = """
INSERT INTO storm_losses{g} (position, job_id, tripped_position, slot_count, capped)
VALUES (:position, :job_id, COALESCE(:trip_position, (
    SELECT MIN(tripped_position) FROM storm_failures{g}
    WHERE job_id = :job_id AND tripped_position > (
        SELECT COALESCE(MAX(position), 0) FROM storm_losses{g} WHERE job_id = :job_id
    )
), 0), :slot_count, :capped)
"""
"""For the trip that the resume names, or for the first one since the last resume."""
NOTIFY = """
INSERT INTO storm_notices{g} (
    position, storm, kind, channel, target, is_sent, outcome, recorded_at
) VALUES (:position, :storm, :kind, :channel, :target, :is_sent, :outcome, :recorded_at)
"""
LOST = """
SELECT COALESCE(SUM(loss.slot_count), 0) AS slot_count, COALESCE(MAX(loss.capped), 0) AS capped
FROM storm_losses AS loss JOIN storm_failures AS failure
    ON failure.job_id = loss.job_id AND failure.tripped_position = loss.tripped_position
WHERE failure.storm = :number
"""
STILL_LOSING = """
SELECT failure.job_id FROM storm_failures AS failure
JOIN jobs ON jobs.id = failure.job_id AND jobs.status = 'failed'
WHERE failure.storm = :number AND failure.tripped_position IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM storm_losses AS loss
    WHERE loss.job_id = failure.job_id AND loss.position > failure.tripped_position
)
"""
NOTICES_OF = "SELECT * FROM storm_notices WHERE storm = :number ORDER BY position"
RESUMES = (ForceResumed.TOPIC, CircuitClosed.TOPIC)
NOTICES = (NoticeSent.TOPIC, NoticeFailed.TOPIC)


def project(event: RecordedEvent) -> Iterable[Statement]:
    """What one event adds."""
    if event.topic in RESUMES:
        yield LOSE, _loss(event)
    elif event.topic in NOTICES and event.data["storm_id"]:
        yield NOTIFY, _notice(event)


def _loss(event: RecordedEvent) -> dict[str, Any]:
    missed = event.data["missed"] or {"count": 0, "capped": False}
    return {
        "position": event.position,
        "job_id": str(event.stream),
        "trip_position": event.data.get("trip_position"),
        "slot_count": missed["count"],
        "capped": int(missed["capped"]),
    }


def _notice(event: RecordedEvent) -> dict[str, Any]:
    return {
        "position": event.position,
        "storm": int(event.data["storm_id"].removeprefix("S-")),
        **{key: event.data[key] for key in ("kind", "channel", "target", "outcome")},
        "is_sent": int(event.topic == NoticeSent.TOPIC),
        "recorded_at": event.recorded_at,
    }


def lost(reader: RowReader, number: int) -> tuple[int, bool]:
    """How many fires a storm's jobs missed until their resumes, and whether there may be more."""
    [row] = reader.rows(LOST, {"number": number})
    return int(row["slot_count"]), bool(row["capped"])


def still_losing(reader: RowReader, number: int) -> Sequence[str]:
    """The jobs that are failed since they tripped in a storm."""
    return sorted({row["job_id"] for row in reader.rows(STILL_LOSING, {"number": number})})


def notices(reader: RowReader, number: int) -> list[dict[str, Any]]:
    """The notices about a storm, and how sending each went."""
    return [
        {
            "kind": row["kind"],
            "channel": row["channel"],
            "target": row["target"],
            "is_sent": bool(row["is_sent"]),
            "outcome": row["outcome"],
            "position": row["position"],
            "recorded_at": instant_text(row["recorded_at"]),
        }
        for row in reader.rows(NOTICES_OF, {"number": number})
    ]
