"""An event in one line, for histories and the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from api.cli.output.times import to_the_second, took
from ledger.plurals import counted

Event = Mapping[str, Any]
LONGEST = 300


def details(event: Event) -> str:
    """What an event decided, and the reason given for it, in one line."""
    data = event["data"]
    describe = DESCRIPTIONS.get(event["topic"])
    what = describe(data) if describe is not None else ""
    reason = f"reason: {event['reason']}" if event["reason"] else ""
    return "; ".join(part for part in (what, _missed(data), reason) if part)[:LONGEST]


def actor(event: Event) -> str:
    """The actor, and the source where that is not the actor itself."""
    name, source = event["actor"]["id"], event["source"]
    return str(name) if name == source else f"{name} ({source})"


def topic(event: Event) -> str:
    """The topic, without the prefix `job.`."""
    return str(event["topic"]).removeprefix("job.")


def _missed(data: Mapping[str, Any]) -> str:
    missed = data.get("missed")
    if not missed:
        return ""
    least = "at least " if missed.get("capped") else ""
    return f"{least}{counted(missed['count'], 'slot')} missed ({missed['cause']})"


def _scheduled(data: Mapping[str, Any]) -> str:
    first = data["next_run_at"]
    when = f"first run {to_the_second(first)}" if first else "disabled: no first run"
    return f"{data['name']}, {when}"


def _started(data: Mapping[str, Any]) -> str:
    return (
        f"{data['trigger']}, attempt {data['attempt']}, for {to_the_second(data['scheduled_for'])}"
    )


def _succeeded(data: Mapping[str, Any]) -> str:
    return f"after {took(data['duration_ms'])}"


def _failed(data: Mapping[str, Any]) -> str:
    return (
        f"consecutive error {data['consecutive_errors']}, {data['failure_class']}: {data['error']}"
    )


def _tripped(data: Mapping[str, Any]) -> str:
    return (
        f"{counted(data['consecutive_errors'], 'consecutive error')} "
        f"(threshold {data['threshold']}), "
        f"{data['failure_class']}: {data['last_error']}"
    )


def _forced(data: Mapping[str, Any]) -> str:
    return (
        f"{counted(data['cleared_errors'], 'error')} cleared "
        f"(tripped at position {data['trip_position']}, "
        f"{data['failure_class'] or 'cause unknown'}); "
        f"next run {to_the_second(data['next_run_at'])}"
        + (f", by recovery {data['recovery_id']}" if data["recovery_id"] else "")
    )


def _imported(data: Mapping[str, Any]) -> str:
    runs = f", {data['run_count']} runs" if data["run_count"] else ""
    error = f", {data['last_error']}" if data["last_error"] else ""
    return f"{data['status']} in {data['origin']} ({data['origin_id']}){runs}{error}"


def _amended(data: Mapping[str, Any]) -> str:
    return f"changed {', '.join(data['changes'])}"


def _named(data: Mapping[str, Any]) -> str:
    return str(data["name"])


def _sent(data: Mapping[str, Any]) -> str:
    target = f" {data['target']}" if data["target"] else ""
    return f"{data['channel']}{target}: {data['outcome']}"


def _noticed(data: Mapping[str, Any]) -> str:
    first, last = data["first_position"], data["last_position"]
    what = f"{data['kind']} {data['storm_id']}" if data["storm_id"] else data["kind"]
    return f"{what} (events {first} to {last}), {_sent(data)}"


def _recovery_planned(data: Mapping[str, Any]) -> str:
    storm = f" of {data['storm_id']}" if data["storm_id"] else ""
    refused = f", {len(data['refused'])} refused" if data["refused"] else ""
    rate = f"{data['rate_per_minute']:g}/min"
    return f"{data['recovery_id']}: {counted(len(data['jobs']), 'job')}{storm}{refused}, {rate}"


def _recovery_stepped(data: Mapping[str, Any]) -> str:
    what = f"{data['recovery_id']}, step {data['place'] + 1}: {data['outcome']}"
    if data["code"]:
        return f"{what}, {data['code']}"
    return f"{what}, next run {to_the_second(data['next_run_at'])}"


def _recovery_aborted(data: Mapping[str, Any]) -> str:
    cause = ABORT_CAUSES[data["cause"]]
    return (
        f"{data['recovery_id']}: aborted ({cause}), {counted(len(data['left']), 'job')} not resumed"
    )


def _recovery_completed(data: Mapping[str, Any]) -> str:
    again = f", {data['re_trips']} re-tripped" if data["re_trips"] else ""
    return f"{data['recovery_id']}: {data['resumed']} resumed, {data['refused']} refused{again}"


ABORT_CAUSES = {
    "asked": "on request",
    "probe_failed": "the probe failed",
    "re_trips": "too many re-trips",
}
DESCRIPTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "job.scheduled": _scheduled,
    "job.amended": _amended,
    "job.paused": lambda data: f"until {to_the_second(data['until'])}" if data["until"] else "",
    "job.resumed": lambda data: f"next run {to_the_second(data['next_run_at'])}",
    "job.force_resumed": _forced,
    "job.run_started": _started,
    "job.run_succeeded": _succeeded,
    "job.run_failed": _failed,
    "job.run_lost": lambda data: str(data["cause"]),
    "job.run_blocked": lambda data: str(data["cause"]),
    "job.circuit_tripped": _tripped,
    "job.imported": _imported,
    "job.delivered": _sent,
    "job.delivery_failed": _sent,
    "notice.sent": _noticed,
    "notice.failed": _noticed,
    "name.reserved": _named,
    "name.released": _named,
    "token.created": lambda data: f"{data['name']}, {data['role']}",
    "token.revoked": _named,
    "recovery.planned": _recovery_planned,
    "recovery.stepped": _recovery_stepped,
    "recovery.aborted": _recovery_aborted,
    "recovery.completed": _recovery_completed,
}
