"""The chain of an answer: each event with its position and one sentence about what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from ledger.clock import from_microseconds, rfc3339
from ledger.domain import events
from ledger.plurals import counted
from ledger.store.records import RecordedEvent
from projections.why.context import SHORT_ID, actor_name, format_instant, reason_of

LONGEST_ERROR = 200
Data = Mapping[str, Any]


def chain(job_id: UUID, links: Iterable[RecordedEvent | None]) -> list[dict[str, Any]]:
    """The events in order of position, each once. Those of other jobs show that a dispatcher was
    running.
    """
    found = {event.position: event for event in links if event is not None}
    return [_link(found[position], job_id) for position in sorted(found)]


def _link(event: RecordedEvent, job_id: UUID) -> dict[str, Any]:
    return {
        "position": event.position,
        "topic": event.topic,
        "recorded_at": rfc3339(from_microseconds(event.recorded_at)),
        "actor": event.data["actor"],
        "reason": event.data["reason"],
        "text": _sentence(event) if event.stream == job_id else _other_job(event),
    }


def _sentence(event: RecordedEvent) -> str:
    describe = _DESCRIPTIONS.get(event.topic)
    what = describe(event.data) if describe is not None else f"recorded {event.topic}"
    is_decision = event.topic in _DECISIONS or describe is None
    by = f"{actor_name(event)} {what}" if is_decision else what
    return f"{by}{_missed(event.data)}{reason_of(event)}."


def _other_job(event: RecordedEvent) -> str:
    stream, _, what = event.topic.partition(".")
    whose = f"job {str(event.stream)[:SHORT_ID]}" if stream == "job" else f"a {stream}"
    return f"A dispatcher was running: {what.replace('_', ' ')} of {whose}."


def _missed(data: Data) -> str:
    missed = data.get("missed")
    if not missed:
        return ""
    count = f"{'at least ' if missed['capped'] else ''}{counted(missed['count'], 'slot')}"
    first, last = format_instant(missed["first"]), format_instant(missed["last"])
    span = first if first == last else f"{first} to {last}"
    return f"; {count} missed: {span} (cause: {missed['cause']})"


def error_text(text: str | None) -> str:
    """An error as part of a sentence, shortened to fit a line."""
    line = " ".join((text or "no error was given").split()).rstrip(".")
    return line if len(line) <= LONGEST_ERROR else f"{line[: LONGEST_ERROR - 1]}…"


def _next(data: Data) -> str:
    return f", to run next at {format_instant(data['next_run_at'])}" if data["next_run_at"] else ""


def _amended(data: Data) -> str:
    enabled = data["changes"].get("enabled")
    if enabled is not None:
        return f"{'enabled' if enabled else 'disabled'} it{_next(data)}"
    return f"changed {', '.join(data['changes'])}{_next(data)}"


def _paused(data: Data) -> str:
    return f"paused it until {format_instant(data['until'])}" if data["until"] else "paused it"


def _forced(data: Data) -> str:
    by_plan = f" under recovery {data['recovery_id']}" if data["recovery_id"] else ""
    return f"resumed it with force{by_plan}{_next(data)}"


def _started(data: Data) -> str:
    how = "was claimed" if data["trigger"] == "schedule" else f"was claimed ({data['trigger']})"
    return f"The run for {format_instant(data['scheduled_for'])} {how} by {data['node']}"


def _failed(data: Data) -> str:
    streak = f"error {data['consecutive_errors']} in a row"
    return f"The run failed, {streak}, {data['failure_class']}: {error_text(data['error'])}"


def _tripped(data: Data) -> str:
    probe = f"; a probe is set for {format_instant(data['probe_at'])}" if data["probe_at"] else ""
    return (
        f"The breaker tripped after {counted(data['consecutive_errors'], 'error')} in a row "
        f"(threshold {data['threshold']}), {data['failure_class']}: "
        f"{error_text(data['last_error'])}{probe}"
    )


_DESCRIPTIONS: Mapping[str, Callable[[Data], str]] = {
    events.Scheduled.TOPIC: lambda data: f"scheduled it{_next(data)}",
    events.Amended.TOPIC: _amended,
    events.Paused.TOPIC: _paused,
    events.Resumed.TOPIC: lambda data: f"resumed it{_next(data)}",
    events.ForceResumed.TOPIC: _forced,
    events.RunRequested.TOPIC: lambda _: "requested a run",
    events.Imported.TOPIC: lambda data: f"imported it from {data['origin']} as {data['status']}",
    events.Deleted.TOPIC: lambda _: "deleted it",
    events.RunStarted.TOPIC: _started,
    events.RunSucceeded.TOPIC: lambda _: "The run succeeded",
    events.RunFailed.TOPIC: _failed,
    events.RunLost.TOPIC: lambda data: f"The run was lost ({data['cause']}) with {data['node']}",
    events.RunBlocked.TOPIC: lambda data: f"Nothing was executed: {error_text(data['cause'])}",
    events.FiresSkipped.TOPIC: lambda _: "Slots were given up",
    events.CircuitTripped.TOPIC: _tripped,
    events.CircuitHalfOpened.TOPIC: lambda _: "The breaker let one probe through",
    events.CircuitClosed.TOPIC: lambda data: (
        f"The probe succeeded and closed the breaker{_next(data)}"
    ),
    events.Completed.TOPIC: lambda _: "The job was completed",
}
_DECISIONS = frozenset(
    event.TOPIC
    for event in (
        events.Scheduled, events.Amended, events.Paused, events.Resumed, events.ForceResumed,
        events.RunRequested, events.Imported, events.Deleted,
    )
)  # fmt: skip
"""Events whose sentence names the actor; the others only happen."""
