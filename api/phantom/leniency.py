"""A command that Phantom answers with 200 where the ledger refuses it."""

from __future__ import annotations

from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands.jobs import CommandResult
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.job.view import view
from ledger.errors import JobFailed


def unless_failed(command: Command[CommandResult], job_id: UUID) -> Command[CommandResult]:
    """A pause that does not change a failed job, where the ledger's pause refuses."""

    def decide(unit: UnitOfWork) -> CommandResult:
        try:
            return command(unit)
        except JobFailed:
            job = unit.job(job_id)
            return CommandResult(job_id, view(job), False, job.version)

    return decide
