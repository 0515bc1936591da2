"""What a dispatcher should have done by now (claim a run, end a pause): whether it does so in a
moment, and if not, what prevents it as far as the events show.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.dispatch.queues.ready_queue import QueuePosition
from ledger.domain.events import RunStarted
from ledger.domain.job.missed_slots import LATE
from ledger.store.records import RecordedEvent
from projections.why.context import START_NODE, Remedy, Verdict, WhyContext, format_instant
from projections.why.dispatcher_activity import when

GRACE = timedelta(seconds=10)
"""How long a dispatcher may take before something must prevent it."""
WAIT = Remedy("Nothing to do: wait.")


@dataclass(frozen=True, slots=True)
class Overdue:
    """Something due since an instant: how a sentence about it begins, and its past participle; the
    event that planned it, and the one that did it, if known.
    """

    since: datetime
    text: str
    done: str
    planned: RecordedEvent | None
    served: RecordedEvent | None
    is_claim: bool = True
    """Whether it counts against a node's limit of runs."""

    def lasts(self, context: WhyContext) -> timedelta:
        """How long it waited, as far as is known."""
        return (when(self.served) if self.served is not None else context.at) - self.since


def why_not_done(context: WhyContext, overdue: Overdue) -> Verdict:
    """Why it was not done on time; or that it is done in a moment."""
    if context.is_unattended:
        return _node_down(context, overdue)
    if context.queue_position is not None and overdue.is_claim:
        return _waits_here(context, overdue, context.queue_position)
    if overdue.lasts(context) <= GRACE:
        return in_a_moment(overdue)
    if _was_unattended(context, overdue):
        return _node_down(context, overdue)
    return _waits_elsewhere(context, overdue)


def in_a_moment(overdue: Overdue) -> Verdict:
    """Nothing prevents it."""
    served = overdue.served
    then = (
        f"was {overdue.done} at {format_instant(when(served))} (event {served.position})"
        if served is not None
        else f"will be {overdue.done} in a moment"
    )
    return Verdict("due", f"{overdue.text} and {then}.", [overdue.planned, served], [WAIT])


def _waits_here(context: WhyContext, overdue: Overdue, here: QueuePosition) -> Verdict:
    if here.release_at is not None and here.release_at > context.at and here.is_late:
        text = (
            f"{overdue.text} and was found late; late starts are spread out, and this one is "
            f"released at {format_instant(here.release_at)}."
        )
        return Verdict("catch_up_spread", text, [overdue.planned], [WAIT])
    if here.are_slots_full:
        return _at_limit(overdue, f"this node already executes {here.concurrency} runs, its limit")
    return in_a_moment(overdue)


def _was_unattended(context: WhyContext, overdue: Overdue) -> bool:
    """Whether the events show a gap around the instant in which no dispatcher did anything, though
    this was due; a run that ended in the meantime other than lost shows that one was alive.
    """
    last, following = context.dispatchers.last(), context.dispatchers.next()
    begin = max(overdue.since, when(last)) if last is not None else overdue.since
    end = when(following) if following is not None else context.at
    if end - begin <= GRACE:
        return False
    return not context.dispatchers.has_finished_one(context.dispatchers.open_runs())


def _node_down(context: WhyContext, overdue: Overdue) -> Verdict:
    last, following = context.dispatchers.last(), context.dispatchers.next()
    before = (
        f"a dispatcher's last event is {last.position} of {format_instant(when(last))}"
        if last is not None
        else "the ledger shows no dispatcher before"
    )
    after = (
        f"the next one is {following.position} of {format_instant(when(following))}"
        if following is not None
        else "there is none since"
    )
    text = f"{overdue.text}, but no dispatcher was running: {before}, {after}."
    events = [last, overdue.planned, following, overdue.served]
    return Verdict("node_down", text, events, [START_NODE])


def _waits_elsewhere(context: WhyContext, overdue: Overdue) -> Verdict:
    served = overdue.served
    if served is not None and _was_found_late(context, overdue, served):
        then = "released" if served.topic == RunStarted.TOPIC else "given up, as its policy says,"
        text = (
            f"{overdue.text} and was found late; late starts are spread out, and this one was "
            f"{then} at {format_instant(when(served))} (event {served.position})."
        )
        return Verdict("catch_up_spread", text, [overdue.planned, served], [WAIT])
    others = len(context.dispatchers.open_runs())
    if others == 0 or not overdue.is_claim:
        return in_a_moment(overdue)
    runs = f"{others} other runs were" if others > 1 else "one other run was"
    until = (
        f" until {format_instant(when(served))} (event {served.position})"
        if served is not None
        else ""
    )
    how = (
        f"was not {overdue.done}{until} while {runs} open: perhaps its node was at its limit, "
        "which the events do not show"
    )
    return _at_limit(overdue, how)


def _was_found_late(context: WhyContext, overdue: Overdue, served: RecordedEvent) -> bool:
    """Whether its start was spread out after a gap without a dispatcher: its trigger says so, or it
    is a retry that came due in the gap.
    """
    if not overdue.is_claim or context.job.is_run_requested:
        return False
    if served.topic != RunStarted.TOPIC or served.data["trigger"] == "catch_up":
        return True
    then = context.dispatchers.at(overdue.since)
    following = then.next()
    if following is None or when(following) - overdue.since <= LATE:
        return False
    return not then.has_finished_one(then.open_runs())


def _at_limit(overdue: Overdue, how: str) -> Verdict:
    remedies = [
        Remedy("Wait for a run to end."),
        Remedy("Or raise the limit of the node.", "jobledger serve --concurrency N"),
    ]
    events = [overdue.planned, overdue.served]
    return Verdict("at_limit", f"{overdue.text}, but {how}.", events, remedies)
