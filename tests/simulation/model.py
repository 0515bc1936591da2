"""An independent model of the state table: a few flags, no events, none of the ledger's code."""

from __future__ import annotations

from dataclasses import dataclass, replace

COMMANDS = (
    "amend",
    "pause",
    "resume",
    "force",
    "run",
    "fire",
    "succeed",
    "fail",
    "delete",
)
"""What can be done to a job. `fire` lets a dispatcher claim whatever is due."""

CHANGED = "changed"
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Model:
    """One job that trips at its first failure. A one-shot's instant has passed once the first step
    is taken.
    """

    is_one_shot: bool
    status: str = "active"
    is_due: bool = True
    is_running: bool = False
    is_requested: bool = False

    def after(self, command: str) -> tuple[str, Model]:
        """The expected answer to the command (CHANGED, UNCHANGED or a refusal's code), and the
        state after it.
        """
        return getattr(self, f"_{command}")()  # type: ignore[no-any-return]

    def _refusal(self) -> str | None:
        return {"deleted": "job_not_found", "completed": "job_completed"}.get(self.status)

    def _amend(self) -> tuple[str, Model]:
        return self._refusal() or CHANGED, self

    def _pause(self) -> tuple[str, Model]:
        if self._refusal() or self.status == "failed":
            return self._refusal() or "job_failed", self
        if self.status == "paused":
            return UNCHANGED, self
        return CHANGED, replace(self, status="paused", is_due=False, is_requested=False)

    def _resume(self) -> tuple[str, Model]:
        if self.status == "failed":
            return "force_required", self
        return self._force()

    def _force(self) -> tuple[str, Model]:
        if self._refusal():
            return str(self._refusal()), self
        if self.status == "active":
            return UNCHANGED, self
        if self.is_one_shot:
            return "schedule_exhausted", self
        return CHANGED, replace(self, status="active", is_due=True)

    def _run(self) -> tuple[str, Model]:
        refusal = self._refusal() or {"failed": "job_failed", "paused": "job_paused"}.get(
            self.status
        )
        if refusal:
            return refusal, self
        if self.is_running or self.is_requested:
            return "run_in_progress", self
        return CHANGED, replace(self, is_requested=True)

    def _fire(self) -> tuple[str, Model]:
        if self.status != "active" or self.is_running:
            return UNCHANGED, self
        if self.is_requested:
            return CHANGED, replace(self, is_running=True, is_requested=False)
        if self.is_due:
            return CHANGED, replace(self, is_running=True, is_due=False)
        return UNCHANGED, self

    def _succeed(self) -> tuple[str, Model]:
        if not self.is_running:
            return "run_superseded", self
        ended = replace(self, is_running=False, is_due=False)
        if self.status != "active":
            return CHANGED, ended
        if self.is_one_shot:
            return CHANGED, replace(ended, status="completed")
        return CHANGED, replace(ended, is_due=True)

    def _fail(self) -> tuple[str, Model]:
        if not self.is_running:
            return "run_superseded", self
        ended = replace(self, is_running=False, is_due=False)
        return CHANGED, replace(ended, status="failed") if self.status == "active" else ended

    def _delete(self) -> tuple[str, Model]:
        if self.status == "deleted":
            return "job_not_found", self
        return CHANGED, replace(self, status="deleted", is_due=False, is_requested=False)
