"""Remedies of an answer about the past: what made the job run later, or what would have made it run
then, with the command only where it still would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.domain.events import (
    Amended,
    CircuitClosed,
    ForceResumed,
    Resumed,
    RunRequested,
    RunStarted,
)
from ledger.store.records import RecordedEvent
from projections.history.job_events import Predicate, of_topics
from projections.why.context import Remedy, Verdict, WhyContext, actor_name, format_instant
from projections.why.dispatcher_activity import when


def remedies_in_hindsight(
    context: WhyContext, verdict: Verdict, present: Sequence[Remedy]
) -> list[Remedy]:
    """The remedies of a verdict about the past; `present` are those of an answer about now."""
    if not verdict.remedies:
        return []
    awaited = [context.events.next(matches) for matches in _awaited(context, verdict)]
    came = [Remedy(_sentence(event)) for event in awaited if event is not None]
    if len(came) == len(awaited):
        return came
    return [*came, *(_past(remedy, present) for remedy in verdict.remedies)]


def _awaited(context: WhyContext, verdict: Verdict) -> list[Predicate]:
    """The events that the job needed to run again."""
    if verdict.code != "disabled":
        return [_BY_CODE.get(verdict.code, of_topics(RunStarted.TOPIC))]
    is_paused = context.job.status == "paused"
    return [_enables, of_topics(Resumed.TOPIC)] if is_paused else [_enables]


def _enables(event: RecordedEvent) -> bool:
    return event.topic == Amended.TOPIC and event.data["changes"].get("enabled") is True


_BY_CODE: Mapping[str, Predicate] = {
    "tripped": of_topics(ForceResumed.TOPIC, CircuitClosed.TOPIC),
    "paused": of_topics(Resumed.TOPIC),
    "exhausted": of_topics(Resumed.TOPIC, RunRequested.TOPIC, Amended.TOPIC),
}


def _sentence(event: RecordedEvent) -> str:
    what = _SENTENCES[event.topic].format(by=actor_name(event))
    return f"{what} at {format_instant(when(event))} (event {event.position})."


_SENTENCES: Mapping[str, str] = {
    RunStarted.TOPIC: "It was claimed",
    Amended.TOPIC: "It was amended by {by}",
    Resumed.TOPIC: "It was resumed by {by}",
    ForceResumed.TOPIC: "It was resumed with force by {by}",
    CircuitClosed.TOPIC: "Its probe succeeded and resumed it",
    RunRequested.TOPIC: "A run was requested by {by}",
}


def _past(remedy: Remedy, present: Sequence[Remedy]) -> Remedy:
    """A remedy of that time, and whether it still is one."""
    text = remedy.text.removeprefix("Or ")
    text = f"{text[0].lower()}{text[1:]}"
    if _is_among(remedy, present):
        return Remedy(f"Then as now: {text}", remedy.command)
    return Remedy(f"Then, but no longer: {text}")


def _is_among(remedy: Remedy, present: Sequence[Remedy]) -> bool:
    if remedy.command is None:
        return any(one.text == remedy.text for one in present)
    return any(one.command == remedy.command for one in present)
