"""Records the event `access.refused` when an authenticated caller lacks the role for a change.

Refused reads are not recorded, and the same attempt only once a minute, so that a caller cannot
fill the event store.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from fastapi import Request

from api.security.auth import CHANGING, Principal
from ledger.application.commands.tokens import RecordRefusedAccess
from ledger.application.ledger import Ledger
from ledger.domain.streams.access import Attempt
from ledger.errors import LedgerError

REPEAT_SECONDS = 60.0
MAX_REMEMBERED = 10_000
LONGEST_PATH = 300


class AccessAudit:
    """Records refusals of one ledger, without delaying the answer."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def note(self, request: Request, error: LedgerError) -> None:
        """Record that a change was refused, unless the same attempt was recorded just now."""
        caller = getattr(request.state, "caller", None)
        if not isinstance(caller, Principal) or request.method not in CHANGING:
            return
        path = request.scope["path"][:LONGEST_PATH]
        if not self._is_new((caller.token.id, request.method, path)):
            return
        token = caller.token
        attempt = Attempt(token.id, token.role, request.method, path, error.message)
        context = self._ledger.context(
            actor=caller.actor, source=caller.source, correlation_id=request.state.correlation_id
        )
        with suppress(LedgerError):  # the ledger may accept no commands now
            self._ledger.submit([RecordRefusedAccess(attempt, context)])

    def _is_new(self, attempt: tuple[str, str, str]) -> bool:
        now = self._ledger.clock.elapsed()
        last = self._seen.get(attempt)
        if last is not None and now - last < REPEAT_SECONDS:
            return False
        self._seen[attempt] = now
        self._seen.move_to_end(attempt)
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return True
