"""Storms worked out from raw events, slowly and obviously: what the read model must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.store.records import RecordedEvent

MINUTE = 60_000_000
LEAVES = {"job.run_succeeded", "job.paused", "job.circuit_tripped", "job.deleted"}


@dataclass
class Storm:
    """One storm, with the failures it took."""

    signature: str
    opened: RecordedEvent
    failures: list[RecordedEvent] = field(default_factory=list)
    returns: int = 0
    """How often it went on after it had been over."""

    @property
    def id(self) -> str:
        return f"S-{self.failures[0].position}"

    @property
    def last(self) -> RecordedEvent:
        return self.failures[-1]


def storms_of(facts: Sequence[RecordedEvent]) -> list[Storm]:
    """Every storm of a history, in the order of their first failures."""
    storms: list[Storm] = []
    for number, fact in enumerate(facts):
        if fact.topic == "job.run_failed":
            take(storms, facts[: number + 1])
    return sorted(storms, key=lambda storm: storm.failures[0].position)


def take(storms: list[Storm], history: Sequence[RecordedEvent]) -> None:
    """Give the last event of a history, a failure, to the storm it belongs to, if any."""
    fact = history[-1]
    signature = fact.data["signature"]
    known = [storm for storm in storms if storm.signature == signature]
    taken = {failure.position for storm in known for failure in storm.failures}
    for storm in known:
        if is_open(storm, history[:-1], fact.recorded_at):
            storm.failures.append(fact)
            return
    window = [
        other
        for other in history
        if other.topic == "job.run_failed"
        and other.data["signature"] == signature
        and fact.recorded_at - other.recorded_at <= 10 * MINUTE
    ]
    if len({other.stream for other in window}) < 3:
        return
    free = [other for other in window if other.position not in taken]
    again = [storm for storm in known if storm.last in window]
    if again:
        again[-1].failures += free
        again[-1].returns += 1
    else:
        storms.append(Storm(signature, fact, free))


def present(storm: Storm, history: Sequence[RecordedEvent]) -> set[str]:
    """The jobs whose last failure in the storm was followed by nothing that makes them leave."""
    last = {str(failure.stream): failure.position for failure in storm.failures}
    left = {
        str(fact.stream)
        for fact in history
        if fact.topic in LEAVES and fact.position > last.get(str(fact.stream), 2**62)
    }
    return set(last) - left


def members(storm: Storm, history: Sequence[RecordedEvent]) -> list[dict[str, object]]:
    """Its jobs in the order they came into it: how often each failed, from when to when, and the
    first thing since that made it leave.
    """
    by_job: dict[str, list[RecordedEvent]] = {}
    for failure in storm.failures:
        by_job.setdefault(str(failure.stream), []).append(failure)
    return [
        {
            "id": job_id,
            "failure_count": len(failures),
            "first_failed_at": failures[0].recorded_at,
            "last_failed_at": failures[-1].recorded_at,
            **_left(failures[-1], history),
        }
        for job_id, failures in by_job.items()
    ]


def _left(last: RecordedEvent, history: Sequence[RecordedEvent]) -> dict[str, object]:
    for fact in history:
        if fact.topic in LEAVES and fact.stream == last.stream and fact.position > last.position:
            how = fact.topic.rpartition(".")[2].removeprefix("run_").removeprefix("circuit_")
            return {"left_at": fact.recorded_at, "left_by": how}
    return {"left_at": None, "left_by": None}


def per_minute(storm: Storm) -> list[dict[str, int]]:
    """Its failures, and how many jobs failed, in each minute that had one."""
    minutes = sorted({failure.recorded_at // MINUTE for failure in storm.failures})
    return [
        {
            "minute": minute * MINUTE,
            "failure_count": sum(one.recorded_at // MINUTE == minute for one in storm.failures),
            "job_count": len(
                {one.stream for one in storm.failures if one.recorded_at // MINUTE == minute}
            ),
        }
        for minute in minutes
    ]


def is_open(storm: Storm, history: Sequence[RecordedEvent], now: int) -> bool:
    is_silent = now - storm.last.recorded_at >= 70 * MINUTE
    return not is_silent and len(present(storm, history)) >= 2


def over_at(storm: Storm, facts: Sequence[RecordedEvent], now: int) -> int | None:
    """When the storm was over, or None: event by event from its last failure on."""
    silent_at = storm.last.recorded_at + 70 * MINUTE
    for number, fact in enumerate(facts):
        if fact.position < storm.last.position:
            continue
        if fact.recorded_at >= silent_at:
            break
        if len(present(storm, facts[: number + 1])) < 2:
            return fact.recorded_at
    return silent_at if silent_at <= now else None


def trips_of(storm: Storm, facts: Sequence[RecordedEvent]) -> int:
    """How many of its failures tripped their job's breaker: its next event is the trip."""
    count = 0
    for failure in storm.failures:
        later = [fact for fact in facts if fact.stream == failure.stream]
        after = [fact for fact in later if fact.position > failure.position]
        count += bool(after) and after[0].topic == "job.circuit_tripped"
    return count
