"""An independent model of a ledger with several jobs: names, revisions, streaks and repeated keys.
Plain Python on top of tests.simulation.model; none of the ledger's code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.model import CHANGED, UNCHANGED, Model

OPERATIONS = ("amend", "pause", "resume", "force", "run", "delete")
"""Commands of operators."""
OUTCOMES = ("succeed", "fail", "lose", "block")
"""How a run ends."""
DISPATCH = ("fire", *OUTCOMES)
KEYED = ("schedule", "pause", "resume", "force", "run")
"""Commands that may have an idempotency key."""
REPEATED = "repeated"
MAX_LOSSES = 2

SAME_NAME = {
    "report": "report",
    "Report": "report",
    "REPORT": "report",
    "Straße": "strasse",
    "STRASSE": "strasse",
    "ﬁle": "file",  # a ligature: NFKC
    "File": "file",
    "backup": "backup",
}
"""Spellings, and which of them are one name, written out by hand."""


@dataclass(frozen=True)
class Order:
    """One command to the ledger. `job` counts from 1; 0 is a job that was never scheduled."""

    what: str
    job: int = 0
    fields: tuple[tuple[str, Any], ...] = ()
    key: str | None = None
    revision: int | None = None

    @property
    def address(self) -> tuple[Any, ...]:
        """The scope of a key: resuming with and without force is one address."""
        what = "resume" if self.what == "force" else self.what
        return (what, self.job, self.key)


@dataclass(frozen=True)
class JobModel:
    """One job: the state table's flags, with whatever else is visible of it."""

    state: Model
    name: str = ""
    trip_after: int = 1
    version: int = 0
    revision: int = 0
    errors: int = 0
    losses: int = 0

    def after(self, what: str) -> tuple[str, JobModel]:
        """The expected answer to a command, and the job after it."""
        answer, state = self._next_state(what)
        if answer != CHANGED:
            return answer, self
        does_end = what in OUTCOMES and state.status != self.state.status
        version = self.version + 1 + does_end  # tripped, or completed: an event of its own
        is_about_a_run = what in ("run", *DISPATCH) and not does_end
        errors, losses = self._streaks(what)
        return answer, replace(
            self,
            state=state,
            version=version,
            revision=self.revision if is_about_a_run else version,
            errors=errors,
            losses=losses,
        )

    def _next_state(self, what: str) -> tuple[str, Model]:
        errors, losses = self._streaks(what)
        if what == "lose" and not self.state.is_running:
            return UNCHANGED, self.state
        is_reached = errors >= self.trip_after if what == "fail" else losses >= MAX_LOSSES
        if what == "block" or (what in ("fail", "lose") and not is_reached):
            return self._try_again()
        return self.state.after("fail" if what == "lose" else what)

    def _try_again(self) -> tuple[str, Model]:
        """A run ended without a success, and the breaker does not trip."""
        if not self.state.is_running:
            return "run_superseded", self.state
        is_due = self.state.status == "active"
        return CHANGED, replace(self.state, is_running=False, is_due=is_due)

    def _streaks(self, what: str) -> tuple[int, int]:
        match what:
            case "succeed" | "resume" | "force":
                return 0, 0
            case "fail":
                return self.errors + 1, 0
            case "lose":
                return self.errors, self.losses + 1
        return self.errors, self.losses


def never_was() -> JobModel:
    """A job that was never scheduled: it answers as a deleted one does."""
    return JobModel(Model(is_one_shot=False, status="deleted", is_due=False))


@dataclass
class Fleet:
    """All jobs, and the answers by key."""

    jobs: list[JobModel] = field(default_factory=lambda: [never_was()])
    kept: dict[tuple[Any, ...], Order] = field(default_factory=dict)

    @property
    def live(self) -> list[JobModel]:
        return [job for job in self.jobs if job.state.status != "deleted"]

    def answer(self, order: Order) -> str:
        """The expected answer to the order; the fleet has its state after it."""
        kept = self.kept.get(order.address) if order.key else None
        if kept is not None:
            is_same = (kept.what, kept.fields) == (order.what, order.fields)
            return REPEATED if is_same else "idempotency_mismatch"
        answer = self._decide(order)
        if answer == CHANGED and order.key:
            self.kept[order.address] = order
        return answer

    def _decide(self, order: Order) -> str:
        if order.what == "schedule":
            return self._schedule(**dict(order.fields))
        job = self.jobs[order.job]
        if order.revision is not None and job.state.status == "deleted":
            return "job_not_found"
        if order.revision not in (None, job.revision):
            return "stale_revision"
        if order.what == "rename":
            return self._rename(order.job, **dict(order.fields))
        answer, self.jobs[order.job] = job.after(order.what)
        return answer

    def _schedule(self, name: str, kind: str, trip_after: int, at: str) -> str:
        if self._is_taken(name, but=None):
            return "name_taken"
        state = Model(is_one_shot=kind == "at")
        self.jobs.append(JobModel(state, name, trip_after, version=1, revision=1))
        return CHANGED

    def _rename(self, number: int, name: str) -> str:
        job = self.jobs[number]
        answer, amended = job.after("amend")
        if answer != CHANGED:
            return answer
        if self._is_taken(name, but=job):
            return "name_taken"
        if name == job.name:
            return UNCHANGED
        self.jobs[number] = replace(amended, name=name)
        return CHANGED

    def _is_taken(self, name: str, *, but: JobModel | None) -> bool:
        return any(SAME_NAME[job.name] == SAME_NAME[name] for job in self.live if job is not but)
