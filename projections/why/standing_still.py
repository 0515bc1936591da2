"""Why a job does not fire at all: deleted, completed, tripped, disabled, paused, or nothing left to
fire. Each says who or what made it so, and the way back.
"""

from __future__ import annotations

from ledger.store.records import Fact
from projections.why.case import Case, Verdict, Way, because, told, who
from projections.why.dispatching import ENDS
from projections.why.links import error
from projections.why.trail import of

MAX_FAILURES = 10
"""Failures of a streak that a chain shows, beside the first."""
REVIVALS = ("job.resumed", "job.force_resumed", "job.circuit_closed", "job.scheduled")


def deleted(case: Case) -> Verdict | None:
    """It is gone for good."""
    if case.job.status != "deleted":
        return None
    fact = case.trail.last(of("job.deleted"))
    text = f"It was deleted by {who(fact)}{because(fact)}." if fact else "It was deleted."
    return Verdict("deleted", text, [fact], [Way("Schedule a new job; its name is free again.")])


def completed(case: Case) -> Verdict | None:
    """It did all that it was for."""
    if case.job.status != "completed":
        return None
    fact = case.trail.last(of("job.completed"))
    run = case.trail.last(of("job.run_succeeded"))
    when = f" with its run of {told(case.job.last_run['started_at'])}" if case.job.last_run else ""
    text = f"It completed{when}, and a completed job never comes back."
    return Verdict("completed", text, [run, fact], [Way("Schedule a new job.")])


def tripped(case: Case) -> Verdict | None:
    """Its breaker tripped: since which failures, in which storm, and whether a probe is set."""
    job = case.job
    if job.status != "failed":
        return None
    trip = case.trail.at(job.trip_version)
    failures = _failures(case)
    latest = case.trail.last(of("job.circuit_tripped", "job.circuit_half_opened"))
    storm = next(filter(None, (case.storm_of(fact.position) for fact in failures)), None)
    first = f" of which the first is event {failures[0].position}" if failures else ""
    since = f"its breaker tripped at {told(job.tripped_at)}" if job.tripped_at else "it had failed"
    streak = job.consecutive_errors or job.consecutive_losses
    text = (
        f"It is failed: {since}{f' after {streak} in a row' if streak else ''}{first} "
        f"({job.trip_class or 'class unknown'}: {error(job.trip_error)})"
        f"{f', as part of the storm {storm}' if storm else ''}. {_probing(case)}"
    )
    return Verdict("tripped", text, [*failures, trip, latest], _ways_back(case))


def _probing(case: Case) -> str:
    if case.job.probe_at is None or not case.job.enabled:
        return "It stays so until somebody forces it back."
    return f"A probe is to try it at {told(case.job.probe_at)}."


def _failures(case: Case) -> list[Fact]:
    """The first error of the streak and the latest ones before the trip, oldest first."""
    job = case.job
    found: list[Fact] = []
    for fact in case.trail.back():
        is_over = fact.topic in ("job.run_succeeded", *REVIVALS)
        if fact.version < job.trip_version and (is_over or len(found) == MAX_FAILURES):
            break
        if fact.version < job.trip_version and fact.topic in ("job.run_failed", "job.run_lost"):
            found.append(fact)
    first = case.trail.at(job.first_error_version)
    is_in = first is None or any(fact.position == first.position for fact in found)
    return found[::-1] if is_in or first is None else [first, *found[::-1]]


def _ways_back(case: Case) -> list[Way]:
    job = case.job
    ways = []
    if not job.enabled:
        ways.append(Way("Enable it first.", f"jobledger amend {case.name} --enable"))
    force = f"jobledger resume {case.name} --force --reason WHY"
    if job.is_one_shot and job.next_slot(case.at) is None:
        text = "Its instant has passed: if the cause is gone, run it now or at a new instant."
        ways.append(Way(text, f"{force} --run-now"))
    else:
        ways.append(Way("If the cause is gone, force it past its breaker.", force))
    if job.probe_at is not None and job.enabled:
        ways.append(Way(f"Or wait for the probe at {told(job.probe_at)}: a success closes it."))
    return ways


def disabled(case: Case) -> Verdict | None:
    """Somebody took it out of service."""
    if case.job.enabled:
        return None
    fact = case.trail.last(_disables)
    by = f" by {who(fact)} in event {fact.position}{because(fact)}" if fact else ""
    way = Way("Enable it.", f"jobledger amend {case.name} --enable")
    return Verdict("disabled", f"It was disabled{by}, so it never fires.", [fact], [way])


def _disables(fact: Fact) -> bool:
    if fact.topic == "job.scheduled":
        return fact.data["enabled"] is False
    return fact.topic == "job.amended" and fact.data["changes"].get("enabled") is False


def paused(case: Case) -> Verdict | None:
    """Somebody paused it: who, why and until when; and whether resuming would do."""
    job = case.job
    if job.status != "paused":
        return None
    pauses = _pauses(case)
    by = f" by {who(pauses[-1])}{because(pauses[-1])}" if pauses else ""
    if _is_over_for_good(case):
        text = (
            f"It is paused{by}, and its one instant has passed meanwhile: resuming alone would "
            "leave it with nothing to fire."
        )
        ways = [Way("Run it now.", f"jobledger resume {case.name} --run-now")]
        return Verdict("exhausted", text, pauses, ways)
    until = f" until {told(job.paused_until)}" if job.paused_until else ", with no end set"
    ways = [Way("Resume it.", f"jobledger resume {case.name}")]
    if job.paused_until is not None:
        ways.append(Way(f"Or wait: it resumes by itself at {told(job.paused_until)}."))
    return Verdict("paused", f"It is paused{by}{until}.", pauses, ways)


def _pauses(case: Case) -> list[Fact]:
    """Every pause since it last was active: the first began it, the last says until when."""
    found: list[Fact] = []
    for fact in case.trail.back():
        if fact.topic in REVIVALS:
            break
        if fact.topic in ("job.paused", "job.imported"):
            found.append(fact)
    return found[::-1]


def _is_over_for_good(case: Case) -> bool:
    job = case.job
    if not job.is_one_shot or job.next_slot(case.at) is not None:
        return False
    catches_up = job.paused_until is not None and job.owed_from is not None
    return not catches_up


def exhausted(case: Case) -> Verdict | None:
    """It is active, and nothing is left that could fire."""
    job = case.job
    if job.is_run_requested or job.next_run_at is not None:
        return None
    fact = case.trail.last(of(*ENDS, *REVIVALS, "job.amended"))
    text = "Its schedule has no fire left, so it would never run again."
    ways = [
        Way("Run it now.", f"jobledger run {case.name}"),
        Way("Or give it a new schedule.", f"jobledger amend {case.name} --at INSTANT"),
    ]
    return Verdict("exhausted", text, [fact], ways)
