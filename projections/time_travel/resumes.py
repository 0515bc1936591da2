"""The force-resumes as they stood at a position: what came later is left out of each.

The runs of those that were open then are counted anew, for the model counts on.
"""

from __future__ import annotations

from collections.abc import Mapping

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
AT: Mapping[str, str] = {
    "resumes": _RESUMES,
    "resume_trips": "SELECT * FROM resume_trips WHERE position <= :position",
}
"""By table, what was in it at `:position`; of use to questions, not to be carried on from."""
