"""Commands on access: tokens created and revoked, refused access recorded."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands.command import Command
from ledger.application.unit_of_work import UnitOfWork
from ledger.clock import from_microseconds
from ledger.domain.streams.access import Attempt, access_stream
from ledger.store.records import TokenRow


@dataclass(frozen=True, slots=True)
class CreateToken(Command[TokenRow]):
    """Record a new token; its row contains the hash of the secret."""

    row: TokenRow
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> TokenRow:
        row = self.row
        expires_at = from_microseconds(row.expires_at) if row.expires_at is not None else None
        token = unit.token(UUID(row.id))
        token.create(
            self.context, name=row.name, role=row.role, kind=row.kind, expires_at=expires_at
        )
        unit.add_side_row(row)
        return row


@dataclass(frozen=True, slots=True)
class RevokeToken(Command[bool]):
    """Record that a token is revoked; False when it was before. `row` contains the instant."""

    row: TokenRow
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> bool:
        token = unit.token(UUID(self.row.id))
        has_changed = token.revoke(self.context)
        if has_changed:
            unit.add_side_row(self.row)
        return has_changed


@dataclass(frozen=True, slots=True)
class RecordRefusedAccess(Command[None]):
    """Record a request for which a token had no permission."""

    attempt: Attempt
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> None:
        access = unit.access(access_stream(self.attempt.token_id))
        access.refuse(self.attempt, self.context)
