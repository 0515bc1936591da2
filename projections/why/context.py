"""What is looked at to answer why: the job as it stood, when, and what is known around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.clock import rfc3339
from ledger.dispatch.queues.capacity import QueuePosition
from ledger.domain.job.job import Job
from ledger.store.records import RecordedEvent
from projections.history.job_events import JobEvents
from projections.why.dispatcher_activity import DispatcherActivity

SHORT_ID = 8
"""Characters of an id that the commands in an answer name a job by."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that would make the job run: in words, and the command if there is one."""

    text: str
    command: str | None = None

    def plain(self) -> dict[str, str]:
        """As the answer shows it."""
        return {"text": self.text} | ({"command": self.command} if self.command else {})


START_ONE = Remedy("Start a node that dispatches.", "jobledger serve")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why, as one code and one sentence; the events that made it so; what would make it run."""

    code: str
    text: str
    links: Sequence[RecordedEvent | None] = ()
    ways: Sequence[Remedy] = ()


@dataclass(frozen=True, slots=True)
class WhyContext:
    """The job as it stood at an instant, which is the position `position` of the book. `is_now`
    says that nothing is known of what came later; else hindsight helps.
    """

    job: Job
    at: datetime
    position: int
    is_now: bool
    trail: JobEvents
    dispatching: DispatcherActivity
    here: QueuePosition | None
    """What the dispatcher of this process knows of it now, where there is one."""
    is_unattended: bool
    """Whether it is known that nobody dispatches now: the ledger is this process's alone."""
    storm_of: Callable[[int], str | None]
    """The storm that a failure, by its position, was of at that time."""

    @property
    def name(self) -> str:
        """How commands name the job."""
        return str(self.job.id)[:SHORT_ID]

    def planned(self) -> RecordedEvent | None:
        """The event that decided when the job runs next."""
        if self.job.is_run_requested:
            return self.trail.last(lambda fact: fact.topic == "job.run_requested")
        at = self.job.next_run_at
        wanted = rfc3339(at) if at is not None else None
        return self.trail.last(lambda fact: fact.data.get("next_run_at") == wanted)


def format_instant(at: datetime | str | None) -> str:
    """An instant to the second."""
    if at is None:
        return "never"
    text = at if isinstance(at, str) else rfc3339(at)
    head, dot, _ = text.partition(".")
    return f"{head}Z" if dot else text


def who(fact: RecordedEvent) -> str:
    """Who did it."""
    actor = fact.data["actor"]
    return "the dispatcher" if actor["id"] == "dispatcher" else str(actor["id"])


def because(fact: RecordedEvent) -> str:
    """Why somebody wanted it, if they said."""
    reason = fact.data["reason"]
    return f" ({reason})" if reason else ""
