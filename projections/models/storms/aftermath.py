"""What comes of a storm besides its failures: the fires that its jobs lost while they were tripped,
and who was told.

Rows are only added, so that what there was at a position is what stands up to it. Fires that are
being lost still are no rows: they are counted when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ledger.clock import from_microseconds, rfc3339
from ledger.store.records import RecordedEvent
from projections.stores.contract import RowReader
from projections.stores.model import Statement

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
"""Every resume of a tripped job is a loss, perhaps of nothing. It belongs to a trip, and the trip's
failure says of which storm that was.
"""
AT = {
    "storm_losses": "SELECT * FROM storm_losses WHERE position <= :position",
    "storm_notices": "SELECT * FROM storm_notices WHERE position <= :position",
}
"""By table, what was in it at `:position`."""

LOSE = """
INSERT INTO storm_losses{g} (position, job_id, tripped_position, slot_count, capped)
VALUES (:position, :job_id, COALESCE(:trip_position, (
    SELECT MIN(tripped_position) FROM storm_failures{g}
    WHERE job_id = :job_id AND tripped_position > (
        SELECT COALESCE(MAX(position), 0) FROM storm_losses{g} WHERE job_id = :job_id
    )
), 0), :slot_count, :capped)
"""
"""Of the trip that the resume names, or of the first one since it came back last."""
TELL = """
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
TOLD = "SELECT * FROM storm_notices WHERE storm = :number ORDER BY position"
RESUMES = ("job.force_resumed", "job.circuit_closed")
NOTICES = ("notice.sent", "notice.failed")


def project(fact: RecordedEvent) -> Iterable[Statement]:
    """What one event adds."""
    if fact.topic in RESUMES:
        missed = fact.data["missed"] or {"count": 0, "capped": False}
        yield (
            LOSE,
            {
                "position": fact.position,
                "job_id": str(fact.stream),
                "trip_position": fact.data.get("trip_position"),
                "slot_count": missed["count"],
                "capped": int(missed["capped"]),
            },
        )
    elif fact.topic in NOTICES and fact.data["storm_id"]:
        yield (
            TELL,
            {
                "position": fact.position,
                "storm": int(fact.data["storm_id"].removeprefix("S-")),
                **{key: fact.data[key] for key in ("kind", "channel", "target", "outcome")},
                "is_sent": int(fact.topic == "notice.sent"),
                "recorded_at": fact.recorded_at,
            },
        )


def lost(questions: RowReader, number: int) -> tuple[int, bool]:
    """How many fires its jobs lost until they came back, and whether that is only the least."""
    [row] = questions.rows(LOST, {"number": number})
    return int(row["slot_count"]), bool(row["capped"])


def still_losing(questions: RowReader, number: int) -> Sequence[str]:
    """The jobs that are failed since they tripped in it."""
    return sorted({row["job_id"] for row in questions.rows(STILL_LOSING, {"number": number})})


def told(questions: RowReader, number: int) -> list[dict[str, Any]]:
    """Who was told of it, and how that went."""
    return [
        {
            "kind": row["kind"],
            "channel": row["channel"],
            "target": row["target"],
            "is_sent": bool(row["is_sent"]),
            "outcome": row["outcome"],
            "position": row["position"],
            "recorded_at": rfc3339(from_microseconds(row["recorded_at"])),
        }
        for row in questions.rows(TOLD, {"number": number})
    ]
