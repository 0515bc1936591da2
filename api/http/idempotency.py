"""A repeated Idempotency-Key gets the first answer again, from the event store."""

from __future__ import annotations

from itertools import takewhile
from typing import Any
from uuid import UUID

from ledger.application.commands.jobs import CommandResult, Idempotency
from ledger.application.ledger import Ledger
from ledger.errors import IdempotencyMismatch
from ledger.store.audit_query import AuditQuery

LONGEST_APPEND = 64
"""More events than one command ever appends."""


def first_answer(ledger: Ledger, asked: Idempotency) -> CommandResult | None:
    """The first answer to this key, or None. Refuses IdempotencyMismatch for another body.

    Looked up before the command is made: a schedule that was valid then may be in the past now.
    """
    events = ledger.queries.audit(AuditQuery(stream=asked.stream, limit=1)).events
    if not events:
        return None
    [kept] = events
    if kept["data"]["fingerprint"] != asked.fingerprint:
        raise IdempotencyMismatch(asked.key)
    job_id, version = UUID(kept["data"]["job_id"]), kept["data"]["version"]
    job = ledger.queries.job_at(job_id, version)
    return CommandResult(job_id, job, True, version, _last_position(ledger, kept))


def _last_position(ledger: Ledger, kept: dict[str, Any]) -> int:
    """The last position of the append with the event `kept`: its events share a command."""
    query = AuditQuery(after_position=kept["position"] - 1, limit=LONGEST_APPEND)
    events = ledger.queries.audit(query).events
    same = takewhile(lambda event: event["command_id"] == kept["command_id"], events)
    return max(int(event["position"]) for event in same)
