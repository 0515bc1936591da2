"""Why an active job is running at an instant, or not: a run is open, it waits for its next fire, it
backs off, the clock skipped its slot.
"""

from __future__ import annotations

from datetime import timedelta

from ledger.clock import parse_rfc3339
from ledger.domain.events import (
    RESUME_TOPICS,
    RUN_END_TOPICS,
    RunBlocked,
    RunFailed,
    RunLost,
    RunStarted,
    Scheduled,
)
from ledger.domain.job.job import is_interval_from_end
from ledger.domain.job.missed_slots import NODE_ENDED
from ledger.domain.job.runs import is_slot
from ledger.domain.job.state import OpenRun
from ledger.domain.schedule.dst_gaps import Skipped, skipped_fire
from ledger.domain.schedule.recurrence import describe, next_fire
from ledger.plurals import counted
from ledger.store.records import RecordedEvent
from projections.history.job_events import of_topics
from projections.why.chain import error_text
from projections.why.context import START_NODE, Remedy, Verdict, WhyContext, format_instant


def running(context: WhyContext) -> Verdict | None:
    """A run is open: it runs, or seemed to; a slot in the meantime starts nothing."""
    run = context.job.open_run
    if run is None:
        return None
    start = context.events.at(run.fence)
    if context.is_unattended and not context.dispatchers.is_leased(run.run_id):
        return _orphaned(run, start)
    end = None if context.is_now else _end_of(context, run)
    if end is not None and end.topic == RunLost.TOPIC and end.data["cause"] in NODE_ENDED:
        return _lost_later(context, run, start, end)
    slot = _slot_during(context, run)
    if slot is not None:
        text = (
            f"A {_began(run)} and was still open at {format_instant(slot)}, so that slot started "
            "nothing."
        )
        remedy = Remedy("Nothing to do: the slot is recorded as missed, and the next one runs.")
        return Verdict("overlap", text, [start, end], [remedy])
    attempt = "" if run.trigger == "schedule" else f" ({run.trigger}, attempt {run.attempt})"
    text = f"It is running: {_began(run)}{attempt}, for {format_instant(run.scheduled_for)}."
    return Verdict("running", text, [start, end])


def _began(run: OpenRun) -> str:
    return f"run {run.run_id[:8]} began at {format_instant(run.started_at)} on {run.node}"


def _end_of(context: WhyContext, run: OpenRun) -> RecordedEvent | None:
    return context.events.next(
        lambda event: event.topic in RUN_END_TOPICS and event.data["run_id"] == run.run_id
    )


def _slot_during(context: WhyContext, run: OpenRun) -> str | None:
    """The last slot of the schedule while the run was open."""
    job = context.job
    if job.is_one_shot or is_interval_from_end(job.parsed_schedule) or not job.may_fire:
        return None
    slot = next_fire(job.parsed_schedule, after=max(run.scheduled_for, run.started_at))
    if slot is None or slot > context.at:
        return None
    missed = job.missed_slots(context.at, "overlap")
    return missed["last"] if missed is not None else None


def _orphaned(run: OpenRun, start: RecordedEvent | None) -> Verdict:
    text = (
        f"Its node is gone: {_began(run)}, and no running node has it. It is recorded as lost as "
        "soon as a node starts."
    )
    return Verdict("node_down", text, [start], [START_NODE])


def _lost_later(
    context: WhyContext, run: OpenRun, start: RecordedEvent | None, end: RecordedEvent
) -> Verdict:
    last, following = context.dispatchers.last(), context.dispatchers.next()
    text = (
        f"Its node was down: {_began(run)} and was lost ({end.data['cause']}), as event "
        f"{end.position} recorded later."
    )
    return Verdict("node_down", text, [start, last, following, end])


def jitter(context: WhyContext) -> Verdict | None:
    """It is due, and the job's own share of the jitter delays the claim."""
    job = context.job
    if job.is_run_requested or job.next_run_at is None or job.next_run_at > context.at:
        return None
    claim_at = job.next_run_at + job.parsed_policy.jitter(job.id)
    if claim_at <= context.at:
        return None
    text = (
        f"Its slot of {format_instant(job.next_run_at)} has come; its share of the jitter "
        f"({job.parsed_policy.jitter_seconds:g} s at most) delays the claim until "
        f"{format_instant(claim_at)}."
    )
    return Verdict("jitter", text, [context.planned()], [Remedy("Nothing to do: wait.")])


def clock_change(context: WhyContext) -> Verdict | None:
    """The wall time of its last slot did not exist."""
    job = context.job
    found = skipped_fire(job.parsed_schedule, after=job.settled_until, until=context.at)
    if found is None or job.is_run_requested:
        return None
    text = (
        f"{found.wall:%H:%M} did not exist on {found.wall:%Y-%m-%d} in {found.tz}: clocks went "
        f"forward by {_minutes(found)} at {format_instant(found.change.at)}. It runs next at "
        f"{format_instant(job.next_run_at)}."
    )
    vixie = Remedy('With "dst": "vixie" such a slot runs at the first minute after the change.')
    return Verdict("clock_change", text, [context.planned()], [*_wait_or_run(context), vixie])


def _minutes(found: Skipped) -> str:
    leap = found.change.later - found.change.before
    return f"{leap // timedelta(minutes=1)} minutes"


def not_executed(context: WhyContext) -> Verdict | None:
    """The last run executed nothing, or was lost."""
    last = context.job.last_run
    if last is None or last["status"] not in ("blocked", "lost"):
        return None
    end = context.events.last(of_topics(RunBlocked.TOPIC, RunLost.TOPIC))
    is_blocked = last["status"] == "blocked"
    what = (
        f"The last run was blocked: {error_text(last['error'])}"
        if is_blocked
        else f"The last run was lost ({last['error']})"
    )
    text = f"{what}. It is tried again at {format_instant(context.job.next_run_at)}."
    remedies = _unblock(context) if is_blocked else _wait_or_run(context)
    return Verdict(str(last["status"]), text, [_start_of(context, end), end], remedies)


def _unblock(context: WhyContext) -> list[Remedy]:
    """What blocked the last run blocks the next one too, until an operator removes it."""
    cause = context.job.last_run["error"] if context.job.last_run else None
    return [
        Remedy(f"First remove what blocked it: {error_text(cause)}."),
        Remedy(
            f"Then wait for {format_instant(context.job.next_run_at)}, or run it now.",
            f"jobledger run {context.name}",
        ),
    ]


def _start_of(context: WhyContext, end: RecordedEvent | None) -> RecordedEvent | None:
    if end is None:
        return None
    run_id = end.data["run_id"]
    return context.events.last(
        lambda event: event.topic == RunStarted.TOPIC and event.data["run_id"] == run_id
    )


def backoff(context: WhyContext) -> Verdict | None:
    """It failed and is tried again earlier than its schedule says."""
    job = context.job
    if job.attempts == 0 or is_slot(job):
        return None
    failure = context.events.last(of_topics(RunFailed.TOPIC))
    if failure is None:
        return None
    data = failure.data
    is_requested = data["retry_after"] is not None and data["retry_after"] == data["next_run_at"]
    pause = job.parsed_policy.backoff(job.attempts)
    why = (
        "as the target requested (Retry-After)"
        if is_requested
        else f"{pause.total_seconds():g} s after failure {job.attempts}"
    )
    storm = context.storm_of(failure.position)
    part = f", as part of the storm {storm}," if storm else ""
    text = (
        f"It failed ({data['failure_class']}: {error_text(data['error'])}){part} and backs off: it "
        f"is tried again at {format_instant(job.next_run_at)}, {why}. The breaker trips "
        f"at {counted(job.parsed_policy.trip_after, 'error')} in a row; this is "
        f"{job.consecutive_errors}."
    )
    first = context.events.at(job.first_error_version)
    return Verdict("backoff", text, [first, failure], _wait_or_run(context))


def waiting(context: WhyContext) -> Verdict:
    """Its next fire has not come."""
    job = context.job
    planned = context.planned()
    by = f", decided in event {planned.position}" if planned is not None else ""
    given_up = _given_up(context)
    before = f", and slots before were given up in event {given_up.position}" if given_up else ""
    text = (
        f"It waits for its fire at {format_instant(job.next_run_at)}{by}; its schedule is "
        f"{describe(job.parsed_schedule)}{before}."
    )
    activating = (*RUN_END_TOPICS, *RESUME_TOPICS, Scheduled.TOPIC)
    events = [planned, context.events.last(of_topics(*activating)), given_up]
    return Verdict("waiting", text, events, _wait_or_run(context))


def _given_up(context: WhyContext) -> RecordedEvent | None:
    """The event that gave up slots between now and the next run: a resume or a success cut a
    backoff short.
    """
    if context.job.settled_until <= context.at:
        return None
    return context.events.last(
        lambda event: (
            bool(event.data.get("missed"))
            and parse_rfc3339(event.data["missed"]["last"]) > context.at
        )
    )


def _wait_or_run(context: WhyContext) -> list[Remedy]:
    return [
        Remedy(f"Wait for {format_instant(context.job.next_run_at)}."),
        Remedy("Or run it now.", f"jobledger run {context.name}"),
    ]
