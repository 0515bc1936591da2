"""Browser sessions in memory: one-time login codes and cookies, each for a token."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

from ledger.application.tokens import digest_of, new_secret
from ledger.clock import Clock
from ledger.store.records import TokenRow

CODE_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(hours=12)
MAX_CODES = 100
MAX_SESSIONS = 1000
"""Beyond it, the oldest session ends."""


@dataclass(frozen=True, slots=True)
class _Grant:
    token_id: str
    ends_at: datetime


class Sessions:
    """The open sessions. Each has the rights of its token, and ends when the token does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: OrderedDict[bytes, _Grant] = OrderedDict()
        self._open: OrderedDict[bytes, _Grant] = OrderedDict()

    def new_code(self, token: TokenRow) -> str:
        """A code for one login within 15 minutes."""
        return self._grant(self._codes, token.id, CODE_LIFE, MAX_CODES)

    def redeem(self, code: str) -> str | None:
        """The secret of a new session for a valid code, else None. Uses the code up."""
        grant = self._codes.pop(digest_of(code), None)
        if grant is None or grant.ends_at <= self._clock.now():
            return None
        return self._grant(self._open, grant.token_id, SESSION_LIFE, MAX_SESSIONS)

    def open(self, token: TokenRow) -> str:
        """The secret of a new session for an authenticated token."""
        return self._grant(self._open, token.id, SESSION_LIFE, MAX_SESSIONS)

    def token_of(self, secret: str) -> str | None:
        """The id of the token behind a session; None without such a session."""
        grant = self._open.get(digest_of(secret))
        return grant.token_id if grant is not None and grant.ends_at > self._clock.now() else None

    def end(self, secret: str) -> None:
        """Log out."""
        self._open.pop(digest_of(secret), None)

    def _grant(
        self, grants: OrderedDict[bytes, _Grant], token_id: str, life: timedelta, limit: int
    ) -> str:
        secret = new_secret()
        grants[digest_of(secret)] = _Grant(token_id, self._clock.now() + life)
        while len(grants) > limit:
            grants.popitem(last=False)
        return secret


def csrf_of(secret: str) -> str:
    """The CSRF token that a page of this session sends with every change (double submit)."""
    return sha256(b"csrf\0" + secret.encode()).hexdigest()


def is_csrf(given: str, secret: str) -> bool:
    """Whether `given` is the session's CSRF token."""
    return compare_digest(given.encode(), csrf_of(secret).encode())
