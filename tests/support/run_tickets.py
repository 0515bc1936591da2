"""A run as an executor is given it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ledger.dispatch.executors.outcomes import RunTicket

PLENTY_SECONDS = 120.0


def a_run_ticket(
    executor: dict[str, Any] | None,
    *,
    run_id: str = "6f1f3d0e-8c56-5f43-9a55-0b6a52c7d001",
    task: str = "",
    seconds: float = PLENTY_SECONDS,
) -> RunTicket:
    return RunTicket(
        run_id=run_id,
        job_id="0b6a52c7-8c56-4f43-9a55-6f1f3d0ed001",
        name="daily report",
        task=task,
        scheduled_for=datetime(2026, 3, 1, 12, tzinfo=UTC),
        attempt=2,
        fence=17,
        timeout_seconds=seconds,
        executor=executor,
    )
