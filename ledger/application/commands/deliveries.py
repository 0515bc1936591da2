"""Commands of the notifier: what was delivered, which notice was sent, how far it has read."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ledger.application.command_context import CommandContext
from ledger.application.commands.command import Command
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.job.lifecycle import Delivery, record_delivery
from ledger.domain.streams.notices import NoticeOutcome
from ledger.store.records import Checkpoint


@dataclass(frozen=True, slots=True)
class RecordDelivery(Command[None]):
    """Record on the job how one of its results was delivered."""

    job_id: UUID
    delivery: Delivery
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> None:
        record_delivery(unit.job(self.job_id), self.delivery, self.context)


@dataclass(frozen=True, slots=True)
class RecordNotice(Command[bool]):
    """Record that a notice was sent, or failed; False when that was recorded before."""

    notice: NoticeOutcome
    context: CommandContext

    def execute(self, unit: UnitOfWork) -> bool:
        return unit.notice(self.notice.stream).record_outcome(self.notice, self.context)


@dataclass(frozen=True, slots=True)
class SaveCheckpoint(Command[None]):
    """Save how far a reader of the ledger has come. Records no event."""

    reader: str
    position: int

    def execute(self, unit: UnitOfWork) -> None:
        unit.add_side_row(Checkpoint(self.reader, self.position))
