"""What would have made a job run, asked of the past: what did so later, or what would have done so
then, with the command only where it still would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.store.records import RecordedEvent
from projections.history.job_events import Fits, of
from projections.why.context import Remedy, Verdict, WhyContext, format_instant, who
from projections.why.dispatcher_activity import STARTED, when


def ways_seen_from_later(case: WhyContext, verdict: Verdict, now: Sequence[Remedy]) -> list[Remedy]:
    """The ways of an answer about the past; `now` are those of an answer about the present."""
    if not verdict.ways:
        return []
    awaited = [case.trail.next(fits) for fits in _awaited(case, verdict)]
    came = [Remedy(_told(fact)) for fact in awaited if fact is not None]
    if len(came) == len(awaited):
        return came
    return [*came, *(_then(way, now) for way in verdict.ways)]


def _awaited(case: WhyContext, verdict: Verdict) -> list[Fits]:
    """What had to come for the job to run again."""
    if verdict.code != "disabled":
        return [_BY_CODE.get(verdict.code, of(STARTED))]
    return [_enables, of("job.resumed")] if case.job.status == "paused" else [_enables]


def _enables(fact: RecordedEvent) -> bool:
    return fact.topic == "job.amended" and fact.data["changes"].get("enabled") is True


_BY_CODE: Mapping[str, Fits] = {
    "tripped": of("job.force_resumed", "job.circuit_closed"),
    "paused": of("job.resumed"),
    "exhausted": of("job.resumed", "job.run_requested", "job.amended"),
}


def _told(fact: RecordedEvent) -> str:
    deed = _DEEDS[fact.topic].format(by=who(fact))
    return f"It was {deed} at {format_instant(when(fact))} (event {fact.position})."


_DEEDS: Mapping[str, str] = {
    STARTED: "claimed",
    "job.amended": "amended by {by}",
    "job.resumed": "resumed by {by}",
    "job.force_resumed": "forced past its breaker by {by}",
    "job.circuit_closed": "brought back by its probe",
    "job.run_requested": "asked to run by {by}",
}


def _then(way: Remedy, now: Sequence[Remedy]) -> Remedy:
    """A way of that time: whether it still is one."""
    text = way.text.removeprefix("Or ")
    text = f"{text[0].lower()}{text[1:]}"
    if _is_one(way, now):
        return Remedy(f"Then as now: {text}", way.command)
    return Remedy(f"Then, but no longer: {text}")


def _is_one(way: Remedy, now: Sequence[Remedy]) -> bool:
    if way.command is None:
        return any(one.text == way.text for one in now)
    return any(one.command == way.command for one in now)
