"""Why a job that fires is running at this moment, or not: under way, waiting for its time, backed
off, skipped by the clock.
"""

from __future__ import annotations

from datetime import timedelta

from ledger.clock import parse_rfc3339
from ledger.domain.job.job import is_interval_from_end
from ledger.domain.job.missed_slots import NODE_ENDED
from ledger.domain.job.runs import is_slot
from ledger.domain.job.state import OpenRun
from ledger.domain.schedule.dst_gaps import Skipped, skipped_fire
from ledger.domain.schedule.recurrence import describe, next_fire
from ledger.store.records import RecordedEvent
from projections.history.job_events import of
from projections.why.chain import error
from projections.why.context import START_ONE, Remedy, Verdict, WhyContext, format_instant
from projections.why.dispatcher_activity import ENDS
from projections.why.inactive_rules import REVIVALS


def under_way(case: WhyContext) -> Verdict | None:
    """A run is open: it runs, or was thought to; a slot that came meanwhile starts nothing."""
    run = case.job.open_run
    if run is None:
        return None
    start = case.trail.at(run.fence)
    if case.is_unattended and not case.dispatching.is_leased(run.run_id):
        return _orphaned(run, start)
    end = None if case.is_now else _end_of(case, run)
    if end is not None and end.topic == "job.run_lost" and end.data["cause"] in NODE_ENDED:
        return _lost_meanwhile(case, run, start, end)
    slot = _slot_during(case, run)
    began = f"run {run.run_id[:8]} began at {format_instant(run.started_at)} on {run.node}"
    if slot is not None:
        text = (
            f"A {began} and was still under way at {format_instant(slot)}, "
            "so that slot started nothing."
        )
        way = Remedy("Nothing to do: the slot is recorded as missed, and the next one runs.")
        return Verdict("overlap", text, [start, end], [way])
    late = "" if run.trigger == "schedule" else f" ({run.trigger}, attempt {run.attempt})"
    text = f"It is running: {began}{late}, for {format_instant(run.scheduled_for)}."
    return Verdict("running", text, [start, end])


def _end_of(case: WhyContext, run: OpenRun) -> RecordedEvent | None:
    return case.trail.next(lambda fact: fact.topic in ENDS and fact.data["run_id"] == run.run_id)


def _slot_during(case: WhyContext, run: OpenRun) -> str | None:
    """The last slot of the schedule that came while the run was under way."""
    job = case.job
    if job.is_one_shot or is_interval_from_end(job.parsed_schedule) or not job.may_fire:
        return None
    slot = next_fire(job.parsed_schedule, after=max(run.scheduled_for, run.started_at))
    if slot is None or slot > case.at:
        return None
    missed = job.missed_slots(case.at, "overlap")
    return missed["last"] if missed is not None else None


def _orphaned(run: OpenRun, start: RecordedEvent | None) -> Verdict:
    text = (
        f"Its node is gone: run {run.run_id[:8]} began at {format_instant(run.started_at)} "
        f"on {run.node}, and no node holds it. It is recorded as lost as soon as a node starts."
    )
    return Verdict("node_down", text, [start], [START_ONE])


def _lost_meanwhile(
    case: WhyContext, run: OpenRun, start: RecordedEvent | None, end: RecordedEvent
) -> Verdict:
    last, following = case.dispatching.last(), case.dispatching.next()
    text = (
        f"Its node was down: run {run.run_id[:8]} began at {format_instant(run.started_at)} "
        f"on {run.node} and was lost ({end.data['cause']}), as event {end.position} recorded later."
    )
    return Verdict("node_down", text, [start, last, following, end])


def jitter(case: WhyContext) -> Verdict | None:
    """Its slot has come, and the claim waits for the job's own share of the jitter."""
    job = case.job
    if job.is_run_requested or job.next_run_at is None or job.next_run_at > case.at:
        return None
    claim_at = job.next_run_at + job.parsed_policy.jitter(job.id)
    if claim_at <= case.at:
        return None
    text = (
        f"Its slot of {format_instant(job.next_run_at)} has come; its share of the jitter "
        f"({job.parsed_policy.jitter_seconds:g} s at most) delays the claim until "
        f"{format_instant(claim_at)}."
    )
    return Verdict("jitter", text, [case.planned()], [Remedy("Nothing to do: wait.")])


def skipped(case: WhyContext) -> Verdict | None:
    """The wall time of its last slot did not exist."""
    job = case.job
    found = skipped_fire(job.parsed_schedule, after=job.settled_until, until=case.at)
    if found is None or job.is_run_requested:
        return None
    text = (
        f"{found.wall:%H:%M} did not exist on {found.wall:%Y-%m-%d} in {found.tz}: the clock was "
        f"put forward by {_minutes(found)} at {format_instant(found.change.at)}. It runs next at "
        f"{format_instant(job.next_run_at)}."
    )
    return Verdict("clock_change", text, [case.planned()], [*_now(case), _caught_up()])


def _minutes(found: Skipped) -> str:
    leap = found.change.later - found.change.before
    return f"{leap // timedelta(minutes=1)} minutes"


def _caught_up() -> Remedy:
    return Remedy('With "dst": "vixie" such a slot runs at the first minute after the change.')


def not_executed(case: WhyContext) -> Verdict | None:
    """The last run executed nothing, or nobody knows how it ended."""
    last = case.job.last_run
    if last is None or last["status"] not in ("blocked", "lost"):
        return None
    end = case.trail.last(of("job.run_blocked", "job.run_lost"))
    what = (
        f"The last run executed nothing: {error(last['error'])}"
        if last["status"] == "blocked"
        else f"The last run was lost ({last['error']})"
    )
    text = f"{what}. It is tried next at {format_instant(case.job.next_run_at)}."
    links = [_start_of(case, end), end]
    is_blocked = last["status"] == "blocked"
    return Verdict(str(last["status"]), text, links, _unblocked(case) if is_blocked else _now(case))


def _unblocked(case: WhyContext) -> list[Remedy]:
    """Whatever blocked the last run blocks the next one, until somebody does something about it."""
    cause = case.job.last_run["error"] if case.job.last_run else None
    return [
        Remedy(f"Remove first what blocked it: {error(cause)}."),
        Remedy(
            f"Then wait for {format_instant(case.job.next_run_at)}, or run it now.",
            f"jobledger run {case.name}",
        ),
    ]


def _start_of(case: WhyContext, end: RecordedEvent | None) -> RecordedEvent | None:
    if end is None:
        return None
    return case.trail.last(
        lambda fact: fact.topic == "job.run_started" and fact.data["run_id"] == end.data["run_id"]
    )


def backoff(case: WhyContext) -> Verdict | None:
    """It failed and is tried again, before its schedule would have it."""
    job = case.job
    if job.attempts == 0 or is_slot(job):
        return None
    failure = case.trail.last(of("job.run_failed"))
    if failure is None:
        return None
    data = failure.data
    asked = data["retry_after"] is not None and data["retry_after"] == data["next_run_at"]
    pause = job.parsed_policy.backoff(job.attempts)
    why = (
        "as the target asked (Retry-After)"
        if asked
        else f"{pause.total_seconds():g} s after failure {job.attempts}"
    )
    storm = case.storm_of(failure.position)
    part = f", as part of the storm {storm}," if storm else ""
    text = (
        f"It failed ({data['failure_class']}: {error(data['error'])}){part} and backs off: it "
        f"is tried again at {format_instant(job.next_run_at)}, {why}. The breaker trips "
        f"at {job.parsed_policy.trip_after} errors in a row; this is {job.consecutive_errors}."
    )
    first = case.trail.at(job.first_error_version)
    return Verdict("backoff", text, [first, failure], _now(case))


def waiting(case: WhyContext) -> Verdict:
    """Its time has not come."""
    job = case.job
    planned = case.planned()
    by = f", decided in event {planned.position}" if planned is not None else ""
    given_up = _given_up(case)
    text = (
        f"It waits for its fire at {format_instant(job.next_run_at)}{by}; its schedule is "
        f"{describe(job.parsed_schedule)}"
        f"{f', and slots before were given up in event {given_up.position}' if given_up else ''}."
    )
    links = [planned, case.trail.last(of(*ENDS, *REVIVALS)), given_up]
    return Verdict("waiting", text, links, _now(case))


def _given_up(case: WhyContext) -> RecordedEvent | None:
    """The event that gave up slots which are still to come before the next run: a backoff that a
    resume or a success cut short.
    """
    job = case.job
    if job.settled_until <= case.at:
        return None
    return case.trail.last(
        lambda fact: (
            bool(fact.data.get("missed")) and parse_rfc3339(fact.data["missed"]["last"]) > case.at
        )
    )


def _now(case: WhyContext) -> list[Remedy]:
    return [
        Remedy(f"Wait for {format_instant(case.job.next_run_at)}."),
        Remedy("Or run it now.", f"jobledger run {case.name}"),
    ]
