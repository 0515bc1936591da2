"""The executor that does nothing and succeeds: for measuring, for teaching, and for jobs whose time
of run is all that matters.
"""

from __future__ import annotations

from typing import ClassVar

from ledger.dispatch.executors.outcomes import RunTicket
from ledger.dispatch.executors.output import Output
from ledger.domain.job.outcomes import Success


class NoopExecutor:
    """Succeeds at once with an empty output."""

    kind: ClassVar[str] = "noop"
    is_instant: ClassVar[bool] = True

    result: ClassVar[Success] = Output().success(0)
    """The only outcome, for a dispatcher that needs it without using an event loop."""

    async def execute(self, ticket: RunTicket) -> Success:  # noqa: ARG002 - the protocol's
        return self.result

    async def aclose(self) -> None:
        """Has nothing to close."""
