"""The commands of whoever tells people: what was delivered, what was told, how far it has come."""

from __future__ import annotations

from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands.jobs import Call
from ledger.application.unit_of_work import Unit
from ledger.domain.job.deliveries import Delivery, record_delivery
from ledger.domain.streams.notices import Told
from ledger.store.records import Mark


def keep_delivery(job_id: UUID, delivery: Delivery, call: Call) -> Command[None]:
    """Record on the job how one of its results was delivered."""
    return lambda unit: record_delivery(unit.job(job_id), delivery, now=call.now, by=call.by)


def keep_notice(told: Told, call: Call) -> Command[bool]:
    """Record that people were told; False when that was recorded before."""
    return lambda unit: unit.notice(told.stream).record_told(told, now=call.now, by=call.by)


def keep_mark(reader: str, position: int) -> Command[None]:
    """Remember how far a reader has come. No event: nothing happened."""

    def command(unit: Unit) -> None:
        unit.keep(Mark(reader, position))

    return command
