"""The links of a chain: what each event did, in one sentence, with its position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from ledger.clock import from_microseconds, rfc3339
from ledger.store.records import RecordedEvent
from projections.why.context import SHORT_ID, because, format_instant, who

LONGEST_ERROR = 200
Data = Mapping[str, Any]


def chain(job_id: UUID, facts: Iterable[RecordedEvent | None]) -> list[dict[str, Any]]:
    """The links in the order of the book, each once; of other jobs they are signs of life."""
    found = {fact.position: fact for fact in facts if fact is not None}
    return [_link(found[position], job_id) for position in sorted(found)]


def _link(fact: RecordedEvent, job_id: UUID) -> dict[str, Any]:
    return {
        "position": fact.position,
        "topic": fact.topic,
        "recorded_at": rfc3339(from_microseconds(fact.recorded_at)),
        "actor": fact.data["actor"],
        "reason": fact.data["reason"],
        "text": _sentence(fact) if fact.stream == job_id else _sign(fact),
    }


def _sentence(fact: RecordedEvent) -> str:
    teller = _TELLERS.get(fact.topic)
    what = teller(fact.data) if teller is not None else f"{who(fact)} recorded {fact.topic}"
    by = f"{who(fact)} {what}" if fact.topic in _DEEDS else what
    return f"{by}{_missed(fact.data)}{because(fact)}."


def _sign(fact: RecordedEvent) -> str:
    stream, _, what = fact.topic.partition(".")
    whose = f"job {str(fact.stream)[:SHORT_ID]}" if stream == "job" else f"a {stream}"
    return f"A dispatcher was at work: {what.replace('_', ' ')} of {whose}."


def _missed(data: Data) -> str:
    missed = data.get("missed")
    if not missed:
        return ""
    count = f"{missed['count']}{' or more' if missed['capped'] else ''}"
    slots = "slot" if missed["count"] == 1 else "slots"
    first, last = format_instant(missed["first"]), format_instant(missed["last"])
    span = first if first == last else f"{first} to {last}"
    return f"; {count} {slots} missed: {span} (cause: {missed['cause']})"


def error(text: str | None) -> str:
    """An error, as long as a line bears, to stand within a sentence."""
    line = " ".join((text or "no error was told").split()).rstrip(".")
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
    return f"forced it past its breaker{by_plan}{_next(data)}"


def _started(data: Data) -> str:
    how = "was claimed" if data["trigger"] == "schedule" else f"was claimed ({data['trigger']})"
    return f"The run for {format_instant(data['scheduled_for'])} {how} by {data['node']}"


def _failed(data: Data) -> str:
    streak = f"error {data['consecutive_errors']} in a row"
    return f"The run failed, {streak}, {data['failure_class']}: {error(data['error'])}"


def _tripped(data: Data) -> str:
    probe = f"; a probe is set for {format_instant(data['probe_at'])}" if data["probe_at"] else ""
    return (
        f"The breaker tripped after {data['consecutive_errors']} errors in a row (threshold "
        f"{data['threshold']}), {data['failure_class']}: {error(data['last_error'])}{probe}"
    )


_TELLERS: Mapping[str, Callable[[Data], str]] = {
    "job.scheduled": lambda data: f"scheduled it{_next(data)}",
    "job.amended": _amended,
    "job.paused": _paused,
    "job.resumed": lambda data: f"resumed it{_next(data)}",
    "job.force_resumed": _forced,
    "job.run_requested": lambda _: "asked for a run",
    "job.imported": lambda data: f"took it over from {data['origin']} as {data['status']}",
    "job.deleted": lambda _: "deleted it",
    "job.run_started": _started,
    "job.run_succeeded": lambda _: "The run succeeded",
    "job.run_failed": _failed,
    "job.run_lost": lambda data: f"The run was lost ({data['cause']}) with {data['node']}",
    "job.run_blocked": lambda data: f"Nothing was executed: {error(data['cause'])}",
    "job.fires_skipped": lambda _: "Slots were given up",
    "job.circuit_tripped": _tripped,
    "job.circuit_half_opened": lambda _: "The breaker let one probe through",
    "job.circuit_closed": lambda data: f"The probe succeeded and closed the breaker{_next(data)}",
    "job.completed": lambda _: "The job was done for good",
}
_DEEDS = frozenset(
    {
        "job.scheduled", "job.amended", "job.paused", "job.resumed", "job.force_resumed",
        "job.run_requested", "job.imported", "job.deleted",
    }
)  # fmt: skip
"""What somebody does; the rest happens."""
