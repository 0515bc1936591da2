"""Browser sessions: one-time login codes and cookies, in memory only, each standing for a token."""

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
"""With more, the oldest ends."""


@dataclass(frozen=True, slots=True)
class _Held:
    token_id: str
    ends_at: datetime


class Sessions:
    """Who is logged in. A session opens what its token opens, and ends when the token does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: OrderedDict[bytes, _Held] = OrderedDict()
        self._open: OrderedDict[bytes, _Held] = OrderedDict()

    def new_code(self, token: TokenRow) -> str:
        """A code that logs in once within 15 minutes."""
        return self._hold(self._codes, token.id, CODE_LIFE, MAX_CODES)

    def redeem(self, code: str) -> str | None:
        """The secret of a new session for a code, which is used up; None when it opens nothing."""
        held = self._codes.pop(digest_of(code), None)
        if held is None or held.ends_at <= self._clock.now():
            return None
        return self._hold(self._open, held.token_id, SESSION_LIFE, MAX_SESSIONS)

    def open(self, token: TokenRow) -> str:
        """The secret of a new session for someone who showed their token."""
        return self._hold(self._open, token.id, SESSION_LIFE, MAX_SESSIONS)

    def token_of(self, secret: str) -> str | None:
        """The id of the token that a session stands for; None when there is no such session."""
        held = self._open.get(digest_of(secret))
        return held.token_id if held is not None and held.ends_at > self._clock.now() else None

    def end(self, secret: str) -> None:
        """Log out."""
        self._open.pop(digest_of(secret), None)

    def _hold(
        self, shelf: OrderedDict[bytes, _Held], token_id: str, life: timedelta, most: int
    ) -> str:
        secret = new_secret()
        shelf[digest_of(secret)] = _Held(token_id, self._clock.now() + life)
        while len(shelf) > most:
            shelf.popitem(last=False)
        return secret


def csrf_of(secret: str) -> str:
    """The word that a page of this session must send with every change (double submit)."""
    return sha256(b"csrf\0" + secret.encode()).hexdigest()


def is_csrf(given: str, secret: str) -> bool:
    """Whether `given` is the session's word."""
    return compare_digest(given.encode(), csrf_of(secret).encode())
