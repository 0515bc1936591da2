"""What the tables of storms, resumes and gaps contained at a position: the present rows without
what came later.

Nothing is ever removed from a storm. The runs of a resume that was open then are counted anew,
because the model went on counting.
"""

from __future__ import annotations

from collections.abc import Mapping

_STORMS = """
SELECT number, signature, failure_class, first_failed_at, opened_at, opened_position,
    0 AS last_failed_at
FROM storms WHERE opened_position <= :position
"""
_FAILURES = """
SELECT position, storm, signature, job_id, version, recorded_at, taken_position,
    CASE WHEN tripped_position <= :position THEN tripped_position END AS tripped_position
FROM storm_failures WHERE storm > 0 AND taken_position <= :position
"""
_MEMBERS = """
SELECT storm, signature, job_id, taken_position, 0 AS last_failed_at,
    CASE WHEN left_position <= :position THEN left_at END AS left_at,
    CASE WHEN left_position <= :position THEN left_by END AS left_by,
    CASE WHEN left_position <= :position THEN left_position END AS left_position
FROM (
    SELECT member.storm, member.signature, member.job_id, member.taken_position,
        CASE WHEN stay.storm IS NULL THEN member.left_at ELSE stay.left_at END AS left_at,
        CASE WHEN stay.storm IS NULL THEN member.left_by ELSE stay.left_by END AS left_by,
        CASE WHEN stay.storm IS NULL THEN member.left_position ELSE stay.left_position END
            AS left_position
    FROM storm_members AS member LEFT JOIN past_storm_members AS stay
    ON stay.storm = member.storm AND stay.signature = member.signature
    AND stay.job_id = member.job_id AND stay.returned_position = (
        SELECT MIN(returned_position) FROM past_storm_members AS later
        WHERE later.storm = member.storm AND later.signature = member.signature
        AND later.job_id = member.job_id AND later.returned_position > :position
    )
    WHERE member.storm > 0 AND member.taken_position <= :position
) AS stays
"""
STORMS_AT: Mapping[str, str] = {
    "storms": _STORMS,
    "storm_failures": _FAILURES,
    "storm_members": _MEMBERS,
    "storm_losses": "SELECT * FROM storm_losses WHERE position <= :position",
    "storm_notices": "SELECT * FROM storm_notices WHERE position <= :position",
}
"""By table, its rows at `:position`, but for when storms and jobs failed last."""
LAST_FAILED = """
UPDATE storms SET last_failed_at = (
    SELECT MAX(recorded_at) FROM storm_failures WHERE storm = storms.number
)
"""
"""When a storm failed last, from its failures until then; no query asks it of its jobs."""

_OWN = (
    "position", "job_id", "recorded_at", "actor", "kind", "source", "reason", "failure_class",
    "trip_position", "cleared_errors", "last_error", "recovery_id",
)  # fmt: skip
_RESUMES = f"""
SELECT {", ".join(_OWN)}, 0 AS is_tripped, 0 AS is_latest,
    CASE WHEN decided_position <= :position THEN outcome ELSE 'open' END AS outcome,
    CASE WHEN decided_position <= :position THEN decided_position END AS decided_position,
    CASE WHEN decided_position <= :position THEN decided_at END AS decided_at,
    CASE WHEN decided_position <= :position THEN run_count ELSE (
        SELECT COUNT(*) FROM runs WHERE runs.job_id = resumes.job_id
        AND ended_position > resumes.position AND ended_position <= :position
    ) END AS run_count,
    CASE WHEN next_trip_position <= :position THEN next_trip_position END AS next_trip_position,
    CASE WHEN next_trip_position <= :position THEN next_trip_at END AS next_trip_at
FROM resumes WHERE position <= :position
"""
RESUMES_AT: Mapping[str, str] = {
    "resumes": _RESUMES,
    "resume_trips": "SELECT * FROM resume_trips WHERE position <= :position",
}
"""By table, its rows at `:position`: enough for queries, not for applying further events."""

GAPS_AT: Mapping[str, str] = {"gaps": "SELECT * FROM gaps WHERE position <= :position"}
"""By table, its rows at `:position`."""
