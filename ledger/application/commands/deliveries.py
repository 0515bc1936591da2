"""The commands of whoever tells people: what was delivered, what was told, how far it has come."""

from __future__ import annotations

from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands.jobs import CommandContext
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.job.deliveries import Delivery, record_delivery
from ledger.domain.streams.notices import Told
from ledger.store.records import Checkpoint


def keep_delivery(job_id: UUID, delivery: Delivery, call: CommandContext) -> Command[None]:
    """Record on the job how one of its results was delivered."""
    return lambda unit: record_delivery(
        unit.job(job_id), delivery, now=call.now, metadata=call.metadata
    )


def keep_notice(told: Told, call: CommandContext) -> Command[bool]:
    """Record that people were told; False when that was recorded before."""
    return lambda unit: unit.notice(told.stream).record_told(
        told, now=call.now, metadata=call.metadata
    )


def keep_mark(reader: str, position: int) -> Command[None]:
    """Remember how far a reader has come. No event: nothing happened."""

    def command(unit: UnitOfWork) -> None:
        unit.add_side_row(Checkpoint(reader, position))

    return command
