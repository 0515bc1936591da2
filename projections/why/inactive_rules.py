"""Why a job does not fire at all: deleted, completed, tripped, disabled, paused, or without a
further fire. Each rule names the actor or event behind it, and the remedies.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ledger.domain.events import (
    RESUME_TOPICS,
    RUN_END_TOPICS,
    Amended,
    CircuitHalfOpened,
    CircuitTripped,
    Completed,
    Deleted,
    Imported,
    Paused,
    Resumed,
    RunFailed,
    RunLost,
    RunStarted,
    RunSucceeded,
    Scheduled,
)
from ledger.plurals import counted
from ledger.store.records import RecordedEvent
from projections.history.job_events import of_topics
from projections.why.chain import error_text
from projections.why.context import (
    Remedy,
    Verdict,
    WhyContext,
    actor_name,
    format_instant,
    reason_of,
)
from projections.why.overdue import Overdue, why_not_done

MAX_FAILURES = 10
"""Failures of a streak that a chain shows, beside the first."""
ACTIVATING_TOPICS = (*RESUME_TOPICS, Scheduled.TOPIC)


def deleted(context: WhyContext) -> Verdict | None:
    """It was deleted."""
    if context.job.status != "deleted":
        return None
    event = context.events.last(of_topics(Deleted.TOPIC))
    by = f" by {actor_name(event)}{reason_of(event)}" if event else ""
    remedies = [Remedy("Schedule a new job; its name is free again.")]
    return Verdict("deleted", f"It was deleted{by}.", [event], remedies)


def completed(context: WhyContext) -> Verdict | None:
    """It ran as often as it was meant to."""
    if context.job.status != "completed":
        return None
    event = context.events.last(of_topics(Completed.TOPIC))
    run = context.events.last(of_topics(RunSucceeded.TOPIC))
    last_run = context.job.last_run
    by = f" with its run of {format_instant(last_run['started_at'])}" if last_run else ""
    text = f"It completed{by}; a completed job cannot be resumed."
    return Verdict("completed", text, [run, event], [Remedy("Schedule a new job.")])


def tripped(context: WhyContext) -> Verdict | None:
    """Its breaker tripped: after which failures, in which storm, and whether a probe is set."""
    job = context.job
    if job.status != "failed":
        return None
    trip = context.events.at(job.trip_version)
    failures = _failures(context)
    latest = context.events.last(of_topics(CircuitTripped.TOPIC, CircuitHalfOpened.TOPIC))
    storm = next(filter(None, (context.storm_of(event.position) for event in failures)), None)
    several = "the first of them " if len(failures) > 1 else ""
    first = f", {several}event {failures[0].position}" if failures else ""
    since = (
        f"its breaker tripped at {format_instant(job.tripped_at)}"
        if job.tripped_at
        else "it had failed when it was imported"
    )
    streak = job.consecutive_errors or job.consecutive_losses
    in_a_row = f" after {counted(streak, 'failure')} in a row" if streak else ""
    probe = _overdue_probe(context)
    then = probe.text if probe is not None else _next_step(context)
    text = (
        f"It is failed: {since}{in_a_row}{first} "
        f"({job.trip_class or 'class unknown'}: {error_text(job.trip_error)})"
        f"{f', as part of the storm {storm}' if storm else ''}. {then}"
    )
    events = [*failures, trip, latest, *(probe.events if probe is not None else ())]
    return Verdict("tripped", text, events, _remedies_of_trip(context, probe))


def _overdue_probe(context: WhyContext) -> Verdict | None:
    """Why a probe that is due was not made; None before it is due."""
    at = context.job.probe_at
    if at is None or at > context.at or not context.job.enabled:
        return None
    served = None if context.is_now else context.events.next(of_topics(RunStarted.TOPIC))
    text = f"Its probe has been due since {format_instant(at)}"
    return why_not_done(context, Overdue(at, text, "claimed", None, served))


def _next_step(context: WhyContext) -> str:
    if context.job.probe_at is None or not context.job.enabled:
        return "It stays failed until an operator resumes it with force."
    return f"A probe will run at {format_instant(context.job.probe_at)}."


def _failures(context: WhyContext) -> list[RecordedEvent]:
    """The first error of the streak and the latest ones before the trip, oldest first."""
    job = context.job
    found: list[RecordedEvent] = []
    for event in context.events.before():
        is_over = event.topic in (RunSucceeded.TOPIC, *ACTIVATING_TOPICS)
        if event.version < job.trip_version and (is_over or len(found) == MAX_FAILURES):
            break
        is_failure = event.topic in (RunFailed.TOPIC, RunLost.TOPIC)
        if event.version < job.trip_version and is_failure:
            found.append(event)
    first = context.events.at(job.first_error_version)
    is_in = first is None or any(event.position == first.position for event in found)
    return found[::-1] if is_in or first is None else [first, *found[::-1]]


def _remedies_of_trip(context: WhyContext, probe: Verdict | None) -> list[Remedy]:
    job = context.job
    remedies: list[Remedy] = []
    if not job.enabled:
        remedies.append(Remedy("Enable it first.", f"jobledger amend {context.name} --enable"))
    force = f"jobledger resume {context.name} --force --reason WHY"
    if job.is_one_shot and job.next_slot(context.at) is None:
        text = "Its instant has passed: once the cause is fixed, run it now or at a new instant."
        remedies.append(Remedy(text, f"{force} --run-now"))
    else:
        remedies.append(Remedy("Once the cause is fixed, resume it with force.", force))
    if probe is not None:
        remedies += probe.remedies
    elif job.probe_at is not None and job.enabled:
        at = format_instant(job.probe_at)
        remedies.append(Remedy(f"Or wait for the probe at {at}: its success closes the breaker."))
    return remedies


def disabled(context: WhyContext) -> Verdict | None:
    """It was disabled."""
    if context.job.enabled:
        return None
    event = context.events.last(of_topics(Scheduled.TOPIC, Amended.TOPIC, where=_disables))
    by = f" by {actor_name(event)} in event {event.position}{reason_of(event)}" if event else ""
    text = f"It was disabled{by}, so it never fires."
    enable = f"jobledger amend {context.name} --enable"
    if context.job.status != "paused":
        return Verdict("disabled", text, [event], [Remedy("Enable it.", enable)])
    resume = _remedies_of_pause(context)
    remedies = [
        Remedy("Enable it first.", enable),
        *(replace(remedy, text=_then(remedy)) for remedy in resume[:1]),
    ]
    text = f"{text} It is also paused."
    return Verdict("disabled", text, [event, *_pauses(context)], [*remedies, *resume[1:]])


def _then(remedy: Remedy) -> str:
    return f"Then {remedy.text[0].lower()}{remedy.text[1:]}"


def _disables(event: RecordedEvent) -> bool:
    if event.topic == Scheduled.TOPIC:
        return event.data["enabled"] is False
    return event.topic == Amended.TOPIC and event.data["changes"].get("enabled") is False


def paused(context: WhyContext) -> Verdict | None:
    """It was paused: who did it, why and until when; and whether a resume is enough."""
    job = context.job
    if job.status != "paused":
        return None
    pauses = _pauses(context)
    by = f" by {actor_name(pauses[-1])}{reason_of(pauses[-1])}" if pauses else ""
    if _has_no_slot_left(context):
        text = (
            f"It is paused{by}, and its one instant has passed since: a resume alone would leave "
            "it with nothing to fire."
        )
        return Verdict("exhausted", text, pauses, _remedies_of_pause(context))
    if job.paused_until is not None and job.paused_until <= context.at:
        return _pause_has_ended(context, job.paused_until, pauses)
    until = f" until {format_instant(job.paused_until)}" if job.paused_until else ", with no end"
    return Verdict("paused", f"It is paused{by}{until}.", pauses, _remedies_of_pause(context))


def _pause_has_ended(context: WhyContext, until: datetime, pauses: list[RecordedEvent]) -> Verdict:
    """A dispatcher has to resume it, and has not yet."""
    served = None if context.is_now else context.events.next(of_topics(Resumed.TOPIC))
    planned = pauses[-1] if pauses else None
    text = f"It was paused until {format_instant(until)}"
    overdue = Overdue(until, text, "resumed", planned, served, is_claim=False)
    verdict = why_not_done(context, overdue)
    return replace(verdict, events=[*pauses, *verdict.events])


def _remedies_of_pause(context: WhyContext) -> list[Remedy]:
    until = context.job.paused_until
    if _has_no_slot_left(context):
        return [Remedy("Run it now.", f"jobledger resume {context.name} --run-now")]
    remedies = [Remedy("Resume it.", f"jobledger resume {context.name}")]
    if until is not None and until > context.at:
        remedies.append(Remedy(f"Or wait: it resumes by itself at {format_instant(until)}."))
    return remedies


def _pauses(context: WhyContext) -> list[RecordedEvent]:
    """Every pause since it was last active: the first began it, the last one has its end."""
    found: list[RecordedEvent] = []
    for event in context.events.before(Paused.TOPIC, Imported.TOPIC, *ACTIVATING_TOPICS):
        if event.topic in ACTIVATING_TOPICS:
            break
        found.append(event)
    return found[::-1]


def _has_no_slot_left(context: WhyContext) -> bool:
    job = context.job
    if not job.is_one_shot or job.next_slot(context.at) is not None:
        return False
    catches_up = job.paused_until is not None and job.owed_from is not None
    return not catches_up


def exhausted(context: WhyContext) -> Verdict | None:
    """It is active, and its schedule has no further fire."""
    job = context.job
    if job.is_run_requested or job.next_run_at is not None:
        return None
    event = context.events.last(of_topics(*RUN_END_TOPICS, *ACTIVATING_TOPICS, Amended.TOPIC))
    text = "Its schedule has no further fire, so it will never run again."
    remedies = [
        Remedy("Run it now.", f"jobledger run {context.name}"),
        Remedy("Or give it a new schedule.", f"jobledger amend {context.name} --at INSTANT"),
    ]
    return Verdict("exhausted", text, [event], remedies)
