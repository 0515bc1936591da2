"""What a dispatcher is to do and has not done at its time (a claim, the end of a pause): whether it
comes in a moment, and if not, what the book shows to be in its way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.dispatch.queues.capacity import QueuePosition
from ledger.domain.job.missed_slots import LATE
from ledger.store.records import RecordedEvent
from projections.why.context import START_ONE, Remedy, Verdict, WhyContext, format_instant
from projections.why.dispatcher_activity import STARTED, when

GRACE = timedelta(seconds=10)
"""How long a dispatcher may take before something must be in its way."""
WAIT = Remedy("Nothing to do: wait.")


@dataclass(frozen=True, slots=True)
class Overdue:
    """What is to be done since an instant: how a sentence about it begins, and what it is for it to
    be done; the event that planned it, and the one that did it, if it is known.
    """

    since: datetime
    text: str
    deed: str
    planned: RecordedEvent | None
    served: RecordedEvent | None
    is_claim: bool = True
    """Whether it takes a place among the runs of a node."""

    def lasts(self, case: WhyContext) -> timedelta:
        """How long it waited, as far as is known."""
        return (when(self.served) if self.served is not None else case.at) - self.since


def why_not_done(case: WhyContext, it: Overdue) -> Verdict:
    """Why it was not done at its time; or that it is done in a moment."""
    if case.is_unattended:
        return _node_down(case, it)
    if case.here is not None and it.is_claim:
        return _waits_here(case, it, case.here)
    if it.lasts(case) <= GRACE:
        return in_a_moment(it)
    if _is_silent(case, it):
        return _node_down(case, it)
    return _waits_elsewhere(case, it)


def in_a_moment(it: Overdue) -> Verdict:
    """Nothing is in its way."""
    then = (
        f"was {it.deed} at {format_instant(when(it.served))} (event {it.served.position})"
        if it.served is not None
        else f"is {it.deed} in a moment"
    )
    return Verdict("due", f"{it.text} and {then}.", [it.planned, it.served], [WAIT])


def _waits_here(case: WhyContext, it: Overdue, here: QueuePosition) -> Verdict:
    if here.release_at is not None and here.release_at > case.at and here.is_late:
        text = (
            f"{it.text} and was found late; late starts are spread out, and this one is released "
            f"at {format_instant(here.release_at)}."
        )
        return Verdict("catch_up_spread", text, [it.planned], [WAIT])
    if here.are_taken:
        return _at_limit(it, f"no place is free on this node ({here.concurrency} in all)")
    return in_a_moment(it)


def _is_silent(case: WhyContext, it: Overdue) -> bool:
    """Whether the book shows a stretch around the instant in which nobody dispatched, though this
    was to be done; runs that were held to their end say that somebody did.
    """
    last, following = case.dispatching.last(), case.dispatching.next()
    begin = max(it.since, when(last)) if last is not None else it.since
    end = when(following) if following is not None else case.at
    if end - begin <= GRACE:
        return False
    return not case.dispatching.ended_well(case.dispatching.open_runs())


def _node_down(case: WhyContext, it: Overdue) -> Verdict:
    last, following = case.dispatching.last(), case.dispatching.next()
    before = (
        f"the last sign of a dispatcher is event {last.position} of {format_instant(when(last))}"
        if last is not None
        else "the ledger shows no dispatcher before"
    )
    after = (
        f"the next one is event {following.position} of {format_instant(when(following))}"
        if following is not None
        else "there is none since"
    )
    text = f"{it.text}, and nobody dispatched: {before}, {after}."
    return Verdict("node_down", text, [last, it.planned, following, it.served], [START_ONE])


def _waits_elsewhere(case: WhyContext, it: Overdue) -> Verdict:
    if it.served is not None and _was_found_late(case, it, it.served):
        then = "released" if it.served.topic == STARTED else "given up, as its policy says,"
        text = (
            f"{it.text} and was found late; late starts are spread out, and this one was "
            f"{then} at {format_instant(when(it.served))} (event {it.served.position})."
        )
        return Verdict("catch_up_spread", text, [it.planned, it.served], [WAIT])
    others = len(case.dispatching.open_runs())
    if others == 0 or not it.is_claim:
        return in_a_moment(it)
    seen = f"{others} other runs were" if others > 1 else "one other run was"
    until = (
        f" until {format_instant(when(it.served))} (event {it.served.position})"
        if it.served is not None
        else ""
    )
    how = (
        f"it was not {it.deed}{until} while {seen} under way: perhaps no place was free, but the "
        "book does not tell how many there are"
    )
    return _at_limit(it, how)


def _was_found_late(case: WhyContext, it: Overdue, served: RecordedEvent) -> bool:
    """Whether its start was spread out after a silence: its trigger says so, or it is a retry that
    came due while nobody dispatched.
    """
    if not it.is_claim or case.job.is_run_requested:
        return False
    if served.topic != STARTED or served.data["trigger"] == "catch_up":
        return True
    then = case.dispatching.at(it.since)
    following = then.next()
    if following is None or when(following) - it.since <= LATE:
        return False
    return not then.ended_well(then.open_runs())


def _at_limit(it: Overdue, how: str) -> Verdict:
    ways = [
        Remedy("Wait for a run to end."),
        Remedy("Or give the node more places.", "jobledger serve --concurrency N"),
    ]
    return Verdict("at_limit", f"{it.text}, and {how}.", [it.planned, it.served], ways)
