"""The context of a command: its actor, expected revision and idempotency key, from a request."""

from __future__ import annotations

import re
from hashlib import sha256

from fastapi import Request

from api.security.auth import principal_of
from ledger.application.command_context import CommandContext, Idempotency
from ledger.application.ledger import Ledger
from ledger.domain.streams.idempotency import request_stream
from ledger.errors import InvalidField

KEY_HEADER = "Idempotency-Key"
MATCH_HEADER = "If-Match"
_KEY = re.compile(r"[ -~]{1,255}")
_STRONG_TAG = re.compile(r'"([0-9]{1,18})"')


async def command_context(request: Request, ledger: Ledger, reason: str | None) -> CommandContext:
    """The context of the command in a request. Refuses InvalidField for invalid headers."""
    caller = principal_of(request)
    return CommandContext(
        ledger.clock.now(),
        str(ledger.chance.new_id()),
        caller.actor,
        caller.source,
        request.state.correlation_id,
        reason,
        revision=_revision(request),
        idempotency=await _idempotency(request),
    )


def _revision(request: Request) -> int | None:
    tag = request.headers.get(MATCH_HEADER)
    if tag is None or tag.strip() == "*":
        return None
    found = _STRONG_TAG.fullmatch(tag.strip())
    if found is None:
        raise InvalidField(MATCH_HEADER, 'must be one revision such as "3", quoted, or *')
    return int(found[1])


async def _idempotency(request: Request) -> Idempotency | None:
    key = request.headers.get(KEY_HEADER)
    if key is None or request.method != "POST":
        return None
    if not _KEY.fullmatch(key):
        raise InvalidField(KEY_HEADER, "must be 1 to 255 printable ASCII characters")
    actor, path = principal_of(request).actor.id, request.scope["path"]
    fingerprint = sha256(await request.body()).hexdigest()
    return Idempotency(key, request_stream(actor, request.method, path, key), fingerprint)
