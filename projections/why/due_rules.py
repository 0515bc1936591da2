"""Why a job that is due was not claimed: no worker on its queue, or what prevents any claim."""

from __future__ import annotations

from ledger.clock import parse_rfc3339
from ledger.domain.events import FiresSkipped, RunStarted
from ledger.domain.job.executor_spec import queue_of
from ledger.store.records import RecordedEvent
from projections.history.job_events import of_topics
from projections.why.context import START_NODE, Remedy, Verdict, WhyContext, format_instant
from projections.why.dispatcher_activity import when
from projections.why.overdue import GRACE, Overdue, in_a_moment, why_not_done


def due(context: WhyContext) -> Verdict | None:
    """It is due: why it is not claimed, unless it is claimed in a moment."""
    overdue = _claim(context)
    if overdue is None or overdue.since > context.at:
        return None
    queue = queue_of(context.job.executor)
    if queue is None:
        return why_not_done(context, overdue)
    is_soon = overdue.lasts(context) <= GRACE and not context.is_unattended
    return in_a_moment(overdue) if is_soon else _no_worker(context, overdue, queue)


def _claim(context: WhyContext) -> Overdue | None:
    job, planned = context.job, context.planned()
    served = None if context.is_now else context.events.next(_ends_waiting)
    if job.is_run_requested:
        since = when(planned) if planned is not None else context.at
        return Overdue(since, "A run was requested", "claimed", planned, served)
    if job.next_run_at is None:
        return None
    since = job.next_run_at + job.parsed_policy.jitter(job.id)
    text = f"It has been due since {format_instant(job.next_run_at)}"
    return Overdue(since, text, "claimed", planned, served)


def _ends_waiting(event: RecordedEvent) -> bool:
    """Whether an event ended the wait: a start, or that its slots were given up. Slots may also be
    given up beside a late retry, which starts all the same.
    """
    if event.topic != FiresSkipped.TOPIC:
        return event.topic == RunStarted.TOPIC
    upcoming = event.data["next_run_at"]
    return upcoming is None or parse_rfc3339(upcoming) > when(event)


def _no_worker(context: WhyContext, overdue: Overdue, queue: str) -> Verdict:
    last = context.events.last(of_topics(RunStarted.TOPIC))
    by = (
        f"; the last one that did was {last.data['node']}, at {format_instant(when(last))}"
        if last
        else ""
    )
    remedies = [Remedy("Start a worker on its queue.", f"jobledger worker COMMAND --queue {queue}")]
    if context.is_unattended:
        by = f"{by}. There is no node either that workers could claim from"
        remedies.insert(0, START_NODE)
    text = (
        f"{overdue.text}, and no worker of the queue {queue!r} has claimed it for "
        f"{_duration(context, overdue)}{by}."
    )
    return Verdict("no_worker", text, [last, overdue.planned, overdue.served], remedies)


def _duration(context: WhyContext, overdue: Overdue) -> str:
    seconds = int(overdue.lasts(context).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
