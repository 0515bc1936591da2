"""How the storms stood at a position. Nothing is ever taken from a storm, so that is what the model
holds without what came later.
"""

from __future__ import annotations

from collections.abc import Mapping

from projections.models.storms import aftermath as storm_aftermath

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
AT: Mapping[str, str] = {
    "storms": _STORMS,
    "storm_failures": _FAILURES,
    "storm_members": _MEMBERS,
    **storm_aftermath.AT,
}
"""By table, what was in it at `:position`, but for when storms and jobs failed last."""
LAST_FAILED = """
UPDATE storms SET last_failed_at = (
    SELECT MAX(recorded_at) FROM storm_failures WHERE storm = storms.number
)
"""
"""When a storm failed last, from its failures of then; of its jobs no question asks."""
