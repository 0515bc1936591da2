"""What the rules of why look at: the job at an instant, its events, the dispatchers around it; and
what they give: a verdict with remedies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.clock import rfc3339
from ledger.dispatch.queues.ready_queue import QueuePosition
from ledger.domain.events import RunRequested
from ledger.domain.job.job import Job
from ledger.store.records import RecordedEvent
from projections.history.job_events import JobEvents
from projections.why.dispatcher_activity import DispatcherActivity

SHORT_ID = 8
"""Characters of a job's id that the commands of remedies use."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that would make the job run: a text, and the command if there is one."""

    text: str
    command: str | None = None

    def plain(self) -> dict[str, str]:
        """As the answer shows it."""
        return {"text": self.text} | ({"command": self.command} if self.command else {})


START_NODE = Remedy("Start a node that dispatches.", "jobledger serve")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why, as a code and a sentence; the events that explain it; what would make the job run."""

    code: str
    text: str
    events: Sequence[RecordedEvent | None] = ()
    remedies: Sequence[Remedy] = ()


@dataclass(frozen=True, slots=True)
class WhyContext:
    """The job at the instant `at`, which is the position `position`. Unless `is_now`, later events
    are known too, and rules may use them.
    """

    job: Job
    at: datetime
    position: int
    is_now: bool
    events: JobEvents
    dispatchers: DispatcherActivity
    queue_position: QueuePosition | None
    """Where the job is in the queue of this process's dispatcher now, if it has one."""
    is_unattended: bool
    """Whether it is certain that nothing dispatches now: only this process has the ledger open."""
    storm_of: Callable[[int], str | None]
    """The storm that the failure at a position belonged to, as known at that time."""

    @property
    def name(self) -> str:
        """What commands call the job."""
        return str(self.job.id)[:SHORT_ID]

    def planned(self) -> RecordedEvent | None:
        """The event that decided when the job runs next."""
        if self.job.is_run_requested:
            return self.events.last(lambda event: event.topic == RunRequested.TOPIC)
        at = self.job.next_run_at
        wanted = rfc3339(at) if at is not None else None
        return self.events.last(lambda event: event.data.get("next_run_at") == wanted)


def format_instant(at: datetime | str | None) -> str:
    """An instant to the second."""
    if at is None:
        return "never"
    text = at if isinstance(at, str) else rfc3339(at)
    head, dot, _ = text.partition(".")
    return f"{head}Z" if dot else text


def actor_name(event: RecordedEvent) -> str:
    """The actor of an event, for a sentence."""
    actor = event.data["actor"]
    return "the dispatcher" if actor["id"] == "dispatcher" else str(actor["id"])


def reason_of(event: RecordedEvent) -> str:
    """The reason of an event, for the end of a sentence; empty without one."""
    reason = event.data["reason"]
    return f" ({reason})" if reason else ""
