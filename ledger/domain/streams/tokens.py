"""Access tokens in the audit: who got which role, from whom, until when. Never the secret."""

from __future__ import annotations

from datetime import datetime

from ledger.domain.aggregate import Stream
from ledger.domain.event_context import ACTOR_KINDS, EventContext
from ledger.domain.events import Event
from ledger.errors import InvalidField

ROLES = ("viewer", "operator", "admin", "worker")


class TokenCreated(Event):
    TOPIC = "token.created"

    token_id: str
    name: str
    role: str
    kind: str
    expires_at: datetime | None


class TokenRevoked(Event):
    TOPIC = "token.revoked"

    token_id: str
    name: str


class Token(Stream):
    """One token: created once, possibly revoked."""

    def begin(self) -> None:
        self.name = ""
        self.is_revoked = False

    def create(
        self,
        context: EventContext,
        *,
        name: str,
        role: str,
        kind: str,
        expires_at: datetime | None,
    ) -> None:
        """Record that a token was created; refuses an unknown role or kind, or an expiry in the
        past.
        """
        if role not in ROLES:
            raise InvalidField("role", f"must be one of {', '.join(ROLES)}")
        if kind not in ACTOR_KINDS:
            raise InvalidField("kind", f"must be one of {', '.join(ACTOR_KINDS)}")
        if expires_at is not None and expires_at <= context.now:
            raise InvalidField("expires_at", "must be in the future")
        self.record(
            TokenCreated,
            context,
            token_id=str(self.id),
            name=name,
            role=role,
            kind=kind,
            expires_at=expires_at,
        )

    def revoke(self, context: EventContext) -> bool:
        """Record that the token is no longer valid; False when it was revoked before."""
        if self.is_revoked or self.version == 0:
            return False
        self.record(TokenRevoked, context, token_id=str(self.id), name=self.name)
        return True

    def evolve(self, event: Event) -> None:
        match event:
            case TokenCreated():
                self.name = event.name
            case TokenRevoked():
                self.is_revoked = True
