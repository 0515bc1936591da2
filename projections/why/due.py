"""Why a job whose time has come was not claimed: nobody on its queue, no node, no free place, or a
start spread out after a silence.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ledger.dispatch.places import Places
from ledger.store.records import Fact
from ledger.store.run_commands import queue_of
from projections.why.case import START_ONE, Case, Verdict, Way, told
from projections.why.dispatching import STARTED, when
from projections.why.trail import of

GRACE = timedelta(seconds=10)
"""How long a claim may take before something must be in its way."""


def due(case: Case) -> Verdict | None:
    """Its time has come. Why it is not claimed, if it was not claimed in a moment."""
    since = _due_since(case)
    if since is None or since > case.at:
        return None
    if case.is_unattended:
        return _node_down(case, None)
    served = None if case.is_now else _served(case)
    if (when(served) if served else case.at) - since <= GRACE:
        return _in_a_moment(case, served)
    if queue_of(case.job.executor) is not None:
        return _no_worker(case, since, served)
    if case.is_now and case.here is not None:
        return _waits_here(case, case.here)
    if _is_silent(case, since):
        return _node_down(case, served)
    return _waits_elsewhere(case, served)


def _due_since(case: Case) -> datetime | None:
    job = case.job
    if job.is_run_requested:
        asked = case.planned()
        return when(asked) if asked is not None else case.at
    return job.next_run_at + job.rules.jitter(job.id) if job.next_run_at else None


def _served(case: Case) -> Fact | None:
    """What ended the wait: a start, or that its slots were given up."""
    return case.trail.next(of(STARTED, "job.fires_skipped"))


def _asked_for(case: Case) -> str:
    job = case.job
    return (
        "A run was asked for"
        if job.is_run_requested
        else f"It is due since {told(job.next_run_at)}"
    )


def _in_a_moment(case: Case, served: Fact | None) -> Verdict:
    then = (
        f"was claimed at {told(when(served))} (event {served.position})"
        if served is not None
        else "is claimed in a moment"
    )
    text = f"{_asked_for(case)} and {then}."
    return Verdict("due", text, [case.planned(), served], [Way("Nothing to do: wait.")])


def _no_worker(case: Case, since: datetime, served: Fact | None) -> Verdict:
    queue = queue_of(case.job.executor)
    last = case.trail.last(of(STARTED))
    by = f"; the last to take one was {last.data['node']}, at {told(when(last))}" if last else ""
    text = (
        f"{_asked_for(case)} for workers of the queue {queue!r}, and none claimed it for "
        f"{_span(case, since, served)}{by}."
    )
    way = Way("Start a worker on its queue.", f"jobledger worker COMMAND --queue {queue}")
    return Verdict("no_worker", text, [last, case.planned(), served], [way])


def _waits_here(case: Case, here: Places) -> Verdict:
    links = [case.planned()]
    if here.release_at is not None and here.release_at > case.at and here.is_late:
        text = (
            f"{_asked_for(case)} and was found late; late starts are spread out, and this one is "
            f"released at {told(here.release_at)}."
        )
        return Verdict("catch_up_spread", text, links, [Way("Nothing to do: wait.")])
    if here.are_taken:
        return _at_limit(case, links, f"no place is free on this node ({here.concurrency} in all)")
    return _in_a_moment(case, None)


def _is_silent(case: Case, since: datetime) -> bool:
    """Whether the book shows a stretch around the instant in which nobody dispatched, though this
    job was due; runs that were held to their end say that somebody did.
    """
    last, following = case.dispatching.last(), case.dispatching.next()
    begin = max(since, when(last)) if last is not None else since
    end = when(following) if following is not None else case.at
    if end - begin <= GRACE:
        return False
    return not case.dispatching.ended_well(case.dispatching.open_runs())


def _node_down(case: Case, served: Fact | None) -> Verdict:
    last, following = case.dispatching.last(), case.dispatching.next()
    before = (
        f"the last sign of a dispatcher is event {last.position} of {told(when(last))}"
        if last is not None
        else "the ledger shows no dispatcher before"
    )
    after = (
        f"the next one is event {following.position} of {told(when(following))}"
        if following is not None
        else "there is none since"
    )
    text = f"{_asked_for(case)}, and nobody dispatched: {before}, {after}."
    return Verdict("node_down", text, [last, case.planned(), following, served], [START_ONE])


def _waits_elsewhere(case: Case, served: Fact | None) -> Verdict:
    links = [case.planned(), served]
    if served is not None and _was_late(served):
        then = "released" if served.topic == STARTED else "given up, as its policy says,"
        text = (
            f"{_asked_for(case)} and was found late; late starts are spread out, and this one was "
            f"{then} at {told(when(served))} (event {served.position})."
        )
        return Verdict("catch_up_spread", text, links, [Way("Nothing to do: wait.")])
    others = len(case.dispatching.open_runs())
    if others == 0:
        return _in_a_moment(case, served)
    return _at_limit(case, links, f"{others} other runs were under way and no place was free")


def _was_late(served: Fact) -> bool:
    return served.topic != STARTED or served.data["trigger"] == "catch_up"


def _at_limit(case: Case, links: list[Fact | None], how: str) -> Verdict:
    ways = [
        Way("Wait for a run to end."),
        Way("Or give the node more places.", "jobledger serve --concurrency N"),
    ]
    return Verdict("at_limit", f"{_asked_for(case)}, and {how}.", links, ways)


def _span(case: Case, since: datetime, served: Fact | None) -> str:
    seconds = int(((when(served) if served is not None else case.at) - since).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
