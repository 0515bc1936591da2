"""The one place where a repeated idempotency key is answered."""

from __future__ import annotations

from itertools import takewhile
from typing import TypeVar
from uuid import UUID

from ledger.application.command_context import Idempotency
from ledger.application.commands.command import Command, FirstAnswer, RepeatableCommand
from ledger.errors import IdempotencyMismatch
from ledger.store.audit_query import AuditQuery
from ledger.store.event_queries import EventQueries

T = TypeVar("T")

MAX_APPEND = 64
"""More events than any command appends."""


def answer_again(command: Command[T], queries: EventQueries) -> T | None:
    """The answer that the command's idempotency key was given before; None when there is none.
    Refuses IdempotencyMismatch when that was for another body.
    """
    if not isinstance(command, RepeatableCommand):
        return None
    first = first_answer(command.context.idempotency, queries)
    return command.answer_again(first, queries) if first is not None else None


def first_answer(key: Idempotency | None, queries: EventQueries) -> FirstAnswer | None:
    """The first answer of a key; None when it was not used, or there is no key. Refuses
    IdempotencyMismatch when it was answered for another body.
    """
    if key is None:
        return None
    events = queries.audit(AuditQuery(stream=key.stream, limit=1)).events
    if not events:
        return None
    [answered] = events
    if answered["data"]["fingerprint"] != key.fingerprint:
        raise IdempotencyMismatch(key.key)
    # The events of one append share a command id and have consecutive positions.
    query = AuditQuery(after_position=answered["position"] - 1, limit=MAX_APPEND)
    command_id = answered["command_id"]
    append = takewhile(lambda one: one["command_id"] == command_id, queries.audit(query).events)
    position = max(int(event["position"]) for event in append)
    return FirstAnswer(UUID(answered["data"]["job_id"]), answered["data"]["version"], position)
