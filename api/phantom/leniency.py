"""Where Phantom answers 200 to what the ledger refuses."""

from __future__ import annotations

from uuid import UUID

from ledger.application.batch import Command
from ledger.application.commands.jobs import Answer
from ledger.application.unit_of_work import Unit
from ledger.domain.job.view import view
from ledger.errors import JobFailed


def unless_failed(command: Command[Answer], job_id: UUID) -> Command[Answer]:
    """A pause that leaves a failed job as it is: the ledger's refusal becomes "no change"."""

    def decide(unit: Unit) -> Answer:
        try:
            return command(unit)
        except JobFailed:
            job = unit.job(job_id)
            return Answer(job_id, view(job), False, job.version)

    return decide
