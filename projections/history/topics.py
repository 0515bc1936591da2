"""The topics that timelines and playback go by, written out: the command line shows both without
loading the ledger. A test compares them with `ledger.domain.events`.
"""

from __future__ import annotations

STATUS_AFTER = {
    "job.scheduled": "active",
    "job.paused": "paused",
    "job.resumed": "active",
    "job.force_resumed": "active",
    "job.circuit_closed": "active",
    "job.circuit_tripped": "failed",
    "job.completed": "completed",
    "job.deleted": "deleted",
}
"""The status a job has after an event; `job.imported` brings its own."""
IMPORTED = "job.imported"
TRIPPED = "job.circuit_tripped"
STARTED = "job.run_started"
SUCCEEDED = "job.run_succeeded"
FAILED = "job.run_failed"
LOST = "job.run_lost"
ENDS = (SUCCEEDED, FAILED, LOST, "job.run_blocked")
MANUAL_RESUMES = ("job.resumed", "job.force_resumed")
DELIVERED = "job.delivered"
RECOVERY_TOPICS = ("recovery.planned", "recovery.aborted", "recovery.completed")
