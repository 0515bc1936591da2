"""What became of a run's result on its way to people: recorded on the job, whatever its status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ledger.domain import events as e
from ledger.domain.job.job import Job
from ledger.domain.metadata import EventMetadata


@dataclass(frozen=True, slots=True)
class Delivery:
    """One result sent, or not sent; `outcome` says in a line what the channel said."""

    run_id: str
    channel: str
    target: str | None
    is_delivered: bool
    outcome: str


def record_delivery(
    job: Job, delivery: Delivery, *, now: datetime, metadata: EventMetadata
) -> None:
    """Record how it went. Changes neither status nor revision; a job that is gone takes it too."""
    job.record(
        e.Delivered if delivery.is_delivered else e.DeliveryFailed,
        now,
        metadata,
        run_id=delivery.run_id,
        channel=delivery.channel,
        target=delivery.target,
        outcome=delivery.outcome,
    )
