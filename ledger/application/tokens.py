"""Access tokens. A secret is shown once; only its SHA-256 is stored."""

from __future__ import annotations

import threading
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from ledger.application.command_context import CommandContext
from ledger.application.commands.tokens import CreateToken, RevokeToken
from ledger.application.ledger import Ledger
from ledger.chance import random_bytes
from ledger.clock import from_microseconds, microseconds, rfc3339
from ledger.domain.job.spec import read_name
from ledger.domain.streams.names import folded
from ledger.errors import NotFound, Refused
from ledger.store.audit_query import DISPATCHER
from ledger.store.records import TokenRow

PREFIX = "jl_"
SECRET_BYTES = 32
RESERVED_NAMES = (DISPATCHER, "jobledger", "library")
"""The actors of the ledger's own parts in the audit; no token may have such a name."""
KINDS = {"worker": "worker"}
"""The default kind of actor of a role; `user` for the others."""


class TokenNameTaken(Refused):
    """The audit names actors by their token, so two valid tokens never share a name."""

    code = "name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The token name {name!r} is in use or reserved (names ignore case): "
            "choose another, or revoke that token first.",
            name=name,
        )


class TokenNotFound(NotFound):
    def __init__(self, wanted: str) -> None:
        super().__init__(f"There is no token {wanted!r}; list them with GET /v1/tokens.")


class Tokens:
    """The tokens of one ledger: created and revoked by commands, looked up in memory."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._changing = threading.Lock()
        self._rows: dict[bytes, TokenRow] = {}
        self.reload()
        ledger.writer.listeners.append(self._follow)

    def reload(self) -> None:
        """Read all tokens again."""
        self._rows = {row.digest: row for row in self._ledger.event_store.tokens()}

    def _follow(self, _: int) -> None:
        """Called by the writer after a commit: another node may have changed a token."""
        streams = self._ledger.writer.streams
        if streams.has_token_changes:
            self.reload()
            streams.has_token_changes = False

    def create(
        self,
        name: str,
        role: str,
        kind: str | None,
        expires_at: datetime | None,
        context: CommandContext,
    ) -> tuple[TokenRow, str]:
        """A new token and its secret, which is shown only here. Without a kind it is that of the
        role. Blocks until durable.

        Refuses InvalidField (role, kind, expires_at, name) and TokenNameTaken.
        """
        secret = new_secret()
        actor_kind = kind if kind is not None else KINDS.get(role, "user")
        return self.adopt(secret, name, role, actor_kind, expires_at, context), secret

    def adopt(
        self,
        secret: str,
        name: str,
        role: str,
        kind: str,
        expires_at: datetime | None,
        context: CommandContext,
    ) -> TokenRow:
        """A token whose secret the operator chose (JOBLEDGER_TOKEN at the first start)."""
        ends_at = microseconds(expires_at) if expires_at is not None else None
        token_id = str(self._ledger.chance.new_id())
        row = TokenRow(token_id, read_name(name), role, kind, digest_of(secret), ends_at, None)
        with self._changing:
            self._require_free(name, context.now)
            self._rows[row.digest] = self._ledger.execute(CreateToken(row, context))
        return row

    def revoke(self, wanted: str, context: CommandContext) -> tuple[TokenRow, bool]:
        """Revoke a token, named by its id or by its name; False when it was revoked before.

        Refuses TokenNotFound. Blocks until durable.
        """
        with self._changing:
            row = self._named(wanted)
            revoked = replace(row, revoked_at=row.revoked_at or microseconds(context.now))
            has_changed = self._ledger.execute(RevokeToken(revoked, context))
            self._rows[row.digest] = revoked
        return revoked, has_changed

    def authenticate(self, secret: str, now: datetime) -> TokenRow | None:
        """The valid token of a secret. The look-up is by hash, so its timing reveals nothing."""
        row = self._rows.get(digest_of(secret))
        return row if row is not None and is_alive(row, now) else None

    def alive(self, token_id: str, now: datetime) -> TokenRow | None:
        """The token with this id, unless it is revoked or expired."""
        row = next((row for row in self.listing() if row.id == token_id), None)
        return row if row is not None and is_alive(row, now) else None

    def listing(self) -> list[TokenRow]:
        """Every token, revoked ones too, by name."""
        rows = list(self._rows.values())
        return sorted(rows, key=lambda row: (row.name.casefold(), row.id))

    def _named(self, wanted: str) -> TokenRow:
        rows = self.listing()
        same_name = [row for row in rows if folded(row.name) == folded(wanted)]
        found = [row for row in rows if row.id == wanted] + sorted(
            same_name, key=lambda row: row.revoked_at is not None
        )
        if not found:
            raise TokenNotFound(wanted)
        return found[0]

    def _require_free(self, name: str, now: datetime) -> None:
        held = [row.name for row in self._rows.values() if is_alive(row, now)]
        if folded(name) in {folded(other) for other in (*held, *RESERVED_NAMES)}:
            raise TokenNameTaken(name)


def new_secret() -> str:
    """A random secret of 256 bits, as `jl_…`."""
    return PREFIX + urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode()


def digest_of(secret: str) -> bytes:
    """What is stored of a secret."""
    return sha256(secret.encode(errors="surrogatepass")).digest()


def is_alive(row: TokenRow, now: datetime) -> bool:
    """Whether the token is neither revoked nor expired."""
    is_expired = row.expires_at is not None and row.expires_at <= microseconds(now)
    return row.revoked_at is None and not is_expired


def token_view(row: TokenRow) -> dict[str, object]:
    """A token as JSON, without its secret and hash."""
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "kind": row.kind,
        "expires_at": _instant(row.expires_at),
        "revoked_at": _instant(row.revoked_at),
    }


def _instant(at: int | None) -> str | None:
    return rfc3339(from_microseconds(at)) if at is not None else None
