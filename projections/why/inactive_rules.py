"""Why a job does not fire at all: deleted, completed, tripped, disabled, paused, or nothing left to
fire. Each says who or what made it so, and the way back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.store.records import RecordedEvent
from projections.history.job_events import of
from projections.why.chain import error
from projections.why.context import Remedy, Verdict, WhyContext, because, format_instant, who
from projections.why.dispatcher_activity import ENDS, STARTED
from projections.why.overdue import Overdue, why_not_done

MAX_FAILURES = 10
"""Failures of a streak that a chain shows, beside the first."""
REVIVALS = ("job.resumed", "job.force_resumed", "job.circuit_closed", "job.scheduled")


def deleted(case: WhyContext) -> Verdict | None:
    """It is gone for good."""
    if case.job.status != "deleted":
        return None
    fact = case.trail.last(of("job.deleted"))
    text = f"It was deleted by {who(fact)}{because(fact)}." if fact else "It was deleted."
    return Verdict("deleted", text, [fact], [Remedy("Schedule a new job; its name is free again.")])


def completed(case: WhyContext) -> Verdict | None:
    """It did all that it was for."""
    if case.job.status != "completed":
        return None
    fact = case.trail.last(of("job.completed"))
    run = case.trail.last(of("job.run_succeeded"))
    when = (
        f" with its run of {format_instant(case.job.last_run['started_at'])}"
        if case.job.last_run
        else ""
    )
    text = f"It completed{when}, and a completed job never comes back."
    return Verdict("completed", text, [run, fact], [Remedy("Schedule a new job.")])


def tripped(case: WhyContext) -> Verdict | None:
    """Its breaker tripped: since which failures, in which storm, and whether a probe is set."""
    job = case.job
    if job.status != "failed":
        return None
    trip = case.trail.at(job.trip_version)
    failures = _failures(case)
    latest = case.trail.last(of("job.circuit_tripped", "job.circuit_half_opened"))
    storm = next(filter(None, (case.storm_of(fact.position) for fact in failures)), None)
    first = f" of which the first is event {failures[0].position}" if failures else ""
    since = (
        f"its breaker tripped at {format_instant(job.tripped_at)}"
        if job.tripped_at
        else "it had failed"
    )
    streak = job.consecutive_errors or job.consecutive_losses
    probe = _overdue_probe(case)
    then = probe.text if probe is not None else _probing(case)
    text = (
        f"It is failed: {since}{f' after {streak} in a row' if streak else ''}{first} "
        f"({job.trip_class or 'class unknown'}: {error(job.trip_error)})"
        f"{f', as part of the storm {storm}' if storm else ''}. {then}"
    )
    links = [*failures, trip, latest, *(probe.links if probe is not None else ())]
    return Verdict("tripped", text, links, _ways_back(case, probe))


def _overdue_probe(case: WhyContext) -> Verdict | None:
    """Why the probe was not made whose time has come; None before that."""
    at = case.job.probe_at
    if at is None or at > case.at or not case.job.enabled:
        return None
    served = None if case.is_now else case.trail.next(of(STARTED))
    text = f"Its probe is due since {format_instant(at)}"
    return why_not_done(case, Overdue(at, text, "claimed", None, served))


def _probing(case: WhyContext) -> str:
    if case.job.probe_at is None or not case.job.enabled:
        return "It stays so until somebody forces it back."
    return f"A probe is to try it at {format_instant(case.job.probe_at)}."


def _failures(case: WhyContext) -> list[RecordedEvent]:
    """The first error of the streak and the latest ones before the trip, oldest first."""
    job = case.job
    found: list[RecordedEvent] = []
    for fact in case.trail.back():
        is_over = fact.topic in ("job.run_succeeded", *REVIVALS)
        if fact.version < job.trip_version and (is_over or len(found) == MAX_FAILURES):
            break
        if fact.version < job.trip_version and fact.topic in ("job.run_failed", "job.run_lost"):
            found.append(fact)
    first = case.trail.at(job.first_error_version)
    is_in = first is None or any(fact.position == first.position for fact in found)
    return found[::-1] if is_in or first is None else [first, *found[::-1]]


def _ways_back(case: WhyContext, probe: Verdict | None) -> list[Remedy]:
    job = case.job
    ways: list[Remedy] = []
    if not job.enabled:
        ways.append(Remedy("Enable it first.", f"jobledger amend {case.name} --enable"))
    force = f"jobledger resume {case.name} --force --reason WHY"
    if job.is_one_shot and job.next_slot(case.at) is None:
        text = "Its instant has passed: if the cause is gone, run it now or at a new instant."
        ways.append(Remedy(text, f"{force} --run-now"))
    else:
        ways.append(Remedy("If the cause is gone, force it past its breaker.", force))
    if probe is not None:
        ways += probe.ways
    elif job.probe_at is not None and job.enabled:
        ways.append(
            Remedy(f"Or wait for the probe at {format_instant(job.probe_at)}: a success closes it.")
        )
    return ways


def disabled(case: WhyContext) -> Verdict | None:
    """Somebody took it out of service."""
    if case.job.enabled:
        return None
    fact = case.trail.last(of("job.scheduled", "job.amended", where=_disables))
    by = f" by {who(fact)} in event {fact.position}{because(fact)}" if fact else ""
    text = f"It was disabled{by}, so it never fires."
    enable = f"jobledger amend {case.name} --enable"
    if case.job.status != "paused":
        return Verdict("disabled", text, [fact], [Remedy("Enable it.", enable)])
    resume = _ways_out(case)
    ways = [
        Remedy("Enable it first.", enable),
        *(replace(way, text=_then(way)) for way in resume[:1]),
    ]
    text = f"{text} It is paused besides."
    return Verdict("disabled", text, [fact, *_pauses(case)], [*ways, *resume[1:]])


def _then(way: Remedy) -> str:
    return f"Then {way.text[0].lower()}{way.text[1:]}"


def _disables(fact: RecordedEvent) -> bool:
    if fact.topic == "job.scheduled":
        return fact.data["enabled"] is False
    return fact.topic == "job.amended" and fact.data["changes"].get("enabled") is False


def paused(case: WhyContext) -> Verdict | None:
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
        return Verdict("exhausted", text, pauses, _ways_out(case))
    if job.paused_until is not None and job.paused_until <= case.at:
        return _pause_is_over(case, job.paused_until, pauses)
    until = (
        f" until {format_instant(job.paused_until)}" if job.paused_until else ", with no end set"
    )
    return Verdict("paused", f"It is paused{by}{until}.", pauses, _ways_out(case))


def _pause_is_over(case: WhyContext, until: datetime, pauses: list[RecordedEvent]) -> Verdict:
    """A dispatcher is to resume it by itself, and has not yet."""
    served = None if case.is_now else case.trail.next(of("job.resumed"))
    planned = pauses[-1] if pauses else None
    text = f"Its pause is over since {format_instant(until)}"
    verdict = why_not_done(case, Overdue(until, text, "lifted", planned, served, is_claim=False))
    return replace(verdict, links=[*pauses, *verdict.links])


def _ways_out(case: WhyContext) -> list[Remedy]:
    """Out of a pause."""
    until = case.job.paused_until
    if _is_over_for_good(case):
        return [Remedy("Run it now.", f"jobledger resume {case.name} --run-now")]
    ways = [Remedy("Resume it.", f"jobledger resume {case.name}")]
    if until is not None and until > case.at:
        ways.append(Remedy(f"Or wait: it resumes by itself at {format_instant(until)}."))
    return ways


def _pauses(case: WhyContext) -> list[RecordedEvent]:
    """Every pause since it last was active: the first began it, the last says until when."""
    found: list[RecordedEvent] = []
    for fact in case.trail.back("job.paused", "job.imported", *REVIVALS):
        if fact.topic in REVIVALS:
            break
        found.append(fact)
    return found[::-1]


def _is_over_for_good(case: WhyContext) -> bool:
    job = case.job
    if not job.is_one_shot or job.next_slot(case.at) is not None:
        return False
    catches_up = job.paused_until is not None and job.owed_from is not None
    return not catches_up


def exhausted(case: WhyContext) -> Verdict | None:
    """It is active, and nothing is left that could fire."""
    job = case.job
    if job.is_run_requested or job.next_run_at is not None:
        return None
    fact = case.trail.last(of(*ENDS, *REVIVALS, "job.amended"))
    text = "Its schedule has no fire left, so it would never run again."
    ways = [
        Remedy("Run it now.", f"jobledger run {case.name}"),
        Remedy("Or give it a new schedule.", f"jobledger amend {case.name} --at INSTANT"),
    ]
    return Verdict("exhausted", text, [fact], ways)
