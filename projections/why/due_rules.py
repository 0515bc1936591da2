"""Why a job whose time has come was not claimed: nobody on its queue, or what is in the way of any
claim.
"""

from __future__ import annotations

from ledger.clock import parse_rfc3339
from ledger.domain.job.executor_spec import queue_of
from ledger.store.records import RecordedEvent
from projections.history.job_events import of
from projections.why.context import START_ONE, Remedy, Verdict, WhyContext, format_instant
from projections.why.dispatcher_activity import STARTED, when
from projections.why.overdue import GRACE, Overdue, in_a_moment, why_not_done


def due_verdict(case: WhyContext) -> Verdict | None:
    """Its time has come. Why it is not claimed, if it was not claimed in a moment."""
    it = _claim(case)
    if it is None or it.since > case.at:
        return None
    queue = queue_of(case.job.executor)
    if queue is None:
        return why_not_done(case, it)
    is_soon = it.lasts(case) <= GRACE and not case.is_unattended
    return in_a_moment(it) if is_soon else _no_worker(case, it, queue)


def _claim(case: WhyContext) -> Overdue | None:
    job, planned = case.job, case.planned()
    served = None if case.is_now else case.trail.next(_serves)
    if job.is_run_requested:
        since = when(planned) if planned is not None else case.at
        return Overdue(since, "A run was asked for", "claimed", planned, served)
    if job.next_run_at is None:
        return None
    since = job.next_run_at + job.parsed_policy.jitter(job.id)
    text = f"It is due since {format_instant(job.next_run_at)}"
    return Overdue(since, text, "claimed", planned, served)


def _serves(fact: RecordedEvent) -> bool:
    """Whether an event ended the wait: a start, or that its slots were given up. Slots may be given
    up beside a late retry, which then starts all the same.
    """
    if fact.topic != "job.fires_skipped":
        return fact.topic == STARTED
    upcoming = fact.data["next_run_at"]
    return upcoming is None or parse_rfc3339(upcoming) > when(fact)


def _no_worker(case: WhyContext, it: Overdue, queue: str) -> Verdict:
    last = case.trail.last(of(STARTED))
    by = (
        f"; the last to take one was {last.data['node']}, at {format_instant(when(last))}"
        if last
        else ""
    )
    ways = [Remedy("Start a worker on its queue.", f"jobledger worker COMMAND --queue {queue}")]
    if case.is_unattended:
        by = f"{by}. There is no node to claim it from either"
        ways.insert(0, START_ONE)
    text = (
        f"{it.text} for workers of the queue {queue!r}, and none claimed it for "
        f"{_span(case, it)}{by}."
    )
    return Verdict("no_worker", text, [last, it.planned, it.served], ways)


def _span(case: WhyContext, it: Overdue) -> str:
    seconds = int(it.lasts(case).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
