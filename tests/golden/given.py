"""One event of each topic, written out by hand: what its golden file must always load to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ledger.domain.events import Event
from ledger.store.mapper import TOPICS

STREAM = UUID("0de50000-0000-4000-8000-000000000001")
OTHER = UUID("0de50000-0000-4000-8000-000000000002")
RUN = "5b0e9a39-7b3b-5d3c-9a55-0c1f6a3f0001"
AT = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
NEXT = datetime(2026, 3, 2, 13, tzinfo=UTC)
MISSED = {
    "count": 3,
    "first": "2026-03-02T12:01:00Z",
    "last": "2026-03-02T12:03:00Z",
    "cause": "overlap",
    "capped": False,
}
POLICY = {
    "trip_after": 10,
    "backoff_seconds": [30, 60, 300, 900, 3600],
    "counts": ["rate_limited", "timeout"],
    "max_losses": 3,
    "probe_after_seconds": None,
    "catch_up": "one",
    "timeout_seconds": 300,
    "lease_seconds": 60,
    "jitter_seconds": 0.5,
}
NOTICE = {
    "kind": "trip",
    "job_id": "0de50000-0000-4000-8000-000000000002",
    "storm_id": None,
    "channel": "slack",
    "target": "owner",
    "first_position": 17,
    "last_position": 42,
    "outcome": "sent",
}
LOOKS_LIKE_TYPES = {
    "_type_": "uuid_hex",
    "_data_": "00" * 16,
    "__class__": "os:system",
    "originator_topic": "antigravity:fly",
    "nested": {"_type_": "datetime_iso", "_data_": "2026-03-02", "list": [None, True, 1.5, -1]},
    "": "an empty key",
    "ключ": "ünïcödé 🙂",
}
COMMON: dict[str, Any] = {
    "originator_id": STREAM,
    "originator_version": 7,
    "timestamp": AT,
    "command_id": "00000000-0000-4000-8000-000000000042",
    "actor": {"id": "olga", "kind": "user"},
    "source": "http",
    "correlation_id": "req-1",
    "reason": "the provider is back – „really“",
}
OUTCOME: dict[str, Any] = {"run_id": RUN, "next_run_at": NEXT, "missed": MISSED}

OWN: dict[str, dict[str, Any]] = {
    "job.scheduled": {
        "name": "Nightly report",
        "description": "two\nlines",
        "schedule": {"kind": "cron", "expr": "0 3 * * *", "tz": "Europe/Berlin", "dst": "vixie"},
        "task": "write the report",
        "executor": {"kind": "command", "argv": ["true"], "env": {"_type_": "x"}},
        "delivery": {"channel": "slack", "target": "owner"},
        "policy": POLICY,
        "tags": ["a", "b"],
        "enabled": True,
        "delete_after_run": False,
        "next_run_at": NEXT,
        "planner": {"croniter": "7.0.0", "tzdata": "2026a"},
    },
    "job.amended": {
        "changes": {"description": "new words", "task": "another", "executor": LOOKS_LIKE_TYPES},
        "next_run_at": None,
    },
    "job.paused": {"until": NEXT},
    "job.resumed": {"next_run_at": NEXT, "missed": None},
    "job.force_resumed": {
        "next_run_at": NEXT,
        "missed": MISSED,
        "tripped_at": AT,
        "trip_position": 5,
        "cleared_errors": 10,
        "last_error": "429 Too Many Requests",
        "failure_class": "rate_limited",
        "recovery_id": None,
    },
    "job.run_requested": {"trigger": "manual"},
    "job.run_started": {
        "run_id": RUN,
        "fence": 7,
        "scheduled_for": NEXT,
        "trigger": "schedule",
        "attempt": 1,
        "node": "node-1",
        "lease_until": NEXT,
    },
    "job.run_succeeded": {
        **OUTCOME,
        "duration_ms": 12,
        "output": "done\n",
        "output_bytes": 5,
        "output_sha256": "ab" * 32,
    },
    "job.run_failed": {
        **OUTCOME,
        "duration_ms": 12,
        "error": "Error: 429",
        "failure_class": "rate_limited",
        "signature": "rate_limited api.example.com Error: <n>",
        "retry_after": NEXT,
        "consecutive_errors": 4,
    },
    "job.run_lost": {
        **OUTCOME,
        "node": "node-1",
        "lease_until": NEXT,
        "cause": "owner_restarted",
        "consecutive_losses": 0,
    },
    "job.run_blocked": {**OUTCOME, "cause": "commands are off", "missed": None},
    "job.fires_skipped": {"missed": MISSED, "next_run_at": NEXT},
    "job.circuit_tripped": {
        "consecutive_errors": 10,
        "threshold": 10,
        "failure_class": "rate_limited",
        "signature": "rate_limited api.example.com Error: <n>",
        "last_error": "Error: 429",
        "first_error_position": 17,
        "probe_at": None,
    },
    "job.circuit_half_opened": {"run_id": RUN},
    "job.circuit_closed": {"run_id": RUN, "next_run_at": NEXT, "missed": MISSED},
    "job.delivered": {"run_id": RUN, "channel": "slack", "target": "C123", "outcome": "ok"},
    "job.delivery_failed": {"run_id": RUN, "channel": "slack", "target": None, "outcome": "no"},
    "job.imported": {
        "origin": "phantom",
        "origin_id": "42",
        "status": "failed",
        "consecutive_errors": 10,
        "last_error": "Error: quota",
        "last_run_at": AT,
        "run_count": 99,
        "next_run_at": None,
        "imported": LOOKS_LIKE_TYPES,
    },
    "job.completed": {},
    "job.deleted": {},
    "name.reserved": {"name": "Nightly report", "job_id": str(STREAM)},
    "name.released": {"name": "Nightly report", "job_id": str(STREAM)},
    "request.answered": {
        "fingerprint": "cd" * 32,
        "status": 201,
        "job_id": str(STREAM),
        "version": 1,
        "positions": [1, 2],
    },
    "token.created": {
        "token_id": str(STREAM),
        "name": "olga",
        "role": "operator",
        "kind": "user",
        "expires_at": NEXT,
    },
    "access.refused": {
        "token_id": str(STREAM),
        "role": "viewer",
        "method": "POST",
        "path": "/v1/jobs",
        "detail": "This needs the role operator; the token 'eve' is viewer.",
    },
    "notice.sent": NOTICE,
    "notice.failed": NOTICE | {"target": None, "outcome": "No owner is set"},
    "token.revoked": {"token_id": str(STREAM), "name": "olga"},
    "recovery.planned": {
        "recovery_id": "R-7",
        "storm_id": "S-4711",
        "selector": {"tag": "mail", "failure_class": "rate_limited", "job_ids": None},
        "jobs": [str(STREAM), str(OTHER)],
        "refused": [{"job_id": str(OTHER), "code": "job_disabled", "message": "It is disabled."}],
        "probe": str(STREAM),
        "rate_per_minute": 7.5,
        "abort_on": 3,
    },
    "recovery.stepped": {
        "recovery_id": "R-7",
        "job_id": str(STREAM),
        "place": 1,
        "outcome": "resumed",
        "code": None,
        "message": None,
        "next_run_at": NEXT,
        "job_version": 42,
    },
    "recovery.aborted": {
        "recovery_id": "R-7",
        "cause": "re_trips",
        "re_trips": 3,
        "left": [str(OTHER)],
    },
    "recovery.completed": {"recovery_id": "R-7", "resumed": 36, "refused": 2, "re_trips": 1},
}
BARE = ("job.completed", "job.run_started", "job.resumed")
"""Topics whose golden event has no correlation id and no reason."""


def given(topic: str) -> Event:
    """The event of a topic, as it was given when its golden file was written."""
    common = COMMON | ({"correlation_id": None, "reason": None} if topic in BARE else {})
    return TOPICS[topic](**common, **OWN[topic])
