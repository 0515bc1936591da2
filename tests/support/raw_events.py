"""What the raw events say of an answer: each function gives a part of the answer, and that part as
the oracles have it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from ledger.clock import from_microseconds, microseconds
from ledger.store.records import RecordedEvent
from tests.oracles import blame as blame_oracle
from tests.oracles import gaps as gap_oracle
from tests.oracles import resumes as resume_oracle
from tests.oracles import storms as storm_oracle
from tests.oracles import why as why_oracle
from tests.oracles.fold import Fold
from tests.oracles.what_if import as_it_would_have_been, as_recorded

Document = dict[str, Any]
Compared = tuple[Any, Any]
SOONER = {"trip_after": 2}
STATUSES = ("active", "paused", "failed", "completed")
PLAIN = (
    "id", "name", "status", "enabled", "tags", "policy", "schedule", "executor", "task",
    "next_run_at", "description", "delivery", "delete_after_run", "consecutive_errors",
    "consecutive_losses", "run_count", "paused_until",
)  # fmt: skip
"""Fields of a job that an answer and the fold call alike."""


@dataclass(frozen=True)
class Past:
    """The events up to a position, as they are stored and as they are exported; `ids` are of the
    job and the storm that are asked about.
    """

    events: Sequence[RecordedEvent]
    exported: Sequence[Document]
    at: datetime
    ids: Mapping[str, str]

    @cached_property
    def by_job(self) -> Mapping[str, list[Document]]:
        found = defaultdict(list)
        for event in self.exported:
            if event["topic"].startswith("job."):
                found[event["job_id"]].append(event)
        return found

    @property
    def own(self) -> list[Document]:
        """The events of the job that is asked about."""
        return self.by_job[self.ids["job"]]

    @cached_property
    def states(self) -> dict[str, dict[str, Any]]:
        return {job_id: Fold(events).state for job_id, events in self.by_job.items()}

    @property
    def jobs(self) -> list[dict[str, Any]]:
        return [state for state in self.states.values() if state["status"] != "deleted"]

    @cached_property
    def storms(self) -> list[storm_oracle.Storm]:
        """The newest first."""
        return storm_oracle.storms_of(self.events)[::-1]

    def is_open(self, storm: storm_oracle.Storm) -> bool:
        return storm_oracle.is_open(storm, self.events, microseconds(self.at))

    def newest(self, of: Any) -> list[dict[str, Any]]:
        """What an oracle finds in the histories of all jobs."""
        found = (one for events in self.by_job.values() for one in of(events))
        return sorted(found, key=lambda one: -int(one["position"]))


def alike(found: Sequence[Document], wanted: Sequence[Document]) -> Compared:
    """The parts that the oracle knows."""
    return [{key: one[key] for key in wanted[0]} for one in found], wanted


def shown(job: Document) -> Document:
    """A job of an answer, as the fold has it."""
    last, run = job["last_run"], job["open_run"]
    return {
        **{name: job[name] for name in PLAIN},
        "open_run": run["run_id"] if run else None,
        "last_status": last["status"] if last else None,
        "last_failure_class": last["failure_class"] if last else None,
    }


def of_a_job(answer: Document, past: Past) -> Compared:
    return shown(answer["job"]), past.states[past.ids["job"]]


def of_active_jobs(answer: Document, past: Past) -> Compared:
    active = [state for state in past.jobs if state["status"] == "active"]
    return [shown(job) for job in answer["jobs"]], active


def of_a_summary(answer: Document, past: Past) -> Compared:
    counts = Counter(state["status"] for state in past.jobs)
    wanted = {"total": len(past.jobs), **{status: counts[status] for status in STATUSES}}
    return {name: answer["summary"][name] for name in wanted}, wanted


def of_seven_events(answer: Document, past: Past) -> Compared:
    return alike(answer["events"], past.own[::-1][:7])


def of_failures(answer: Document, past: Past) -> Compared:
    failed = [event for event in past.exported if event["topic"] == "job.run_failed"]
    return answer["events"], failed[:50]


def of_two_runs(answer: Document, past: Past) -> Compared:
    started = [one["data"]["run_id"] for one in past.own if one["topic"] == "job.run_started"]
    return [run["run_id"] for run in answer["runs"]], started[::-1][:2]


def of_blame(answer: Document, past: Past) -> Compared:
    """The event of each field with its actor and reason, and the values that the fold has."""
    known = ("position", "topic", "actor", "reason", "recorded_at")
    events = {event["position"]: event for event in past.own}
    wanted = {
        field: {name: events[position][name] for name in known}
        for field, position in blame_oracle.expected(past.own).items()
    }
    items = {item["field"]: item for item in answer["blame"]["fields"]}
    found = {field: {name: items[field][name] for name in known} for field in wanted}
    state = past.states[past.ids["job"]]
    plain = {name: state[name] for name in items if name in PLAIN}
    plain |= {f"policy.{key}": value for key, value in state["policy"].items()}
    return (found, {name: items[name]["value"] for name in plain}), (wanted, plain)


def of_why(answer: Document, past: Past) -> Compared:
    why, (codes, links) = answer["why"], why_oracle.expected(past.own)
    missing = set(links) - {link["position"] for link in why["chain"]}
    found = why["answer"] in codes, missing, why["next_run_at"]
    return found, (True, set(), why_oracle.planned(past.own))


def of_storms(answer: Document, past: Past) -> Compared:
    return alike(answer["storms"], [_storm(storm, past) for storm in past.storms])


def of_open_storms(answer: Document, past: Past) -> Compared:
    return alike(answer["storms"], [_storm(one, past) for one in past.storms if past.is_open(one)])


def _storm(storm: storm_oracle.Storm, past: Past) -> Document:
    jobs = {str(failure.stream) for failure in storm.failures}
    statuses = Counter(past.states[job]["status"] for job in jobs)
    return {
        "id": storm.id,
        "is_open": past.is_open(storm),
        "failure_count": len(storm.failures),
        "job_count": len(jobs),
        "trip_count": storm_oracle.trips_of(storm, past.events),
        "jobs_by_status": dict(statuses),
    }


def of_a_storm(answer: Document, past: Past) -> Compared:
    [storm] = [storm for storm in past.storms if storm.id == past.ids["storm"]]
    names, course = ("id", "failure_count", "left_by"), ("failure_count", "job_count")
    found = answer["storm"]
    members, minutes = storm_oracle.members(storm, past.events), storm_oracle.per_minute(storm)
    return (
        (_columns(found["jobs"], *names), _columns(found["per_minute"], *course)),
        (_columns(members, *names), _columns(minutes, *course)),
    )


def _columns(rows: Sequence[Mapping[str, Any]], *names: str) -> list[list[Any]]:
    return [[row[name] for name in names] for row in rows]


def of_held_resumes(answer: Document, past: Past) -> Compared:
    every = past.newest(resume_oracle.resumes_of)
    found, held = alike(answer["resumes"], [one for one in every if one["outcome"] == "held"])
    return (found, answer["rates"]["all"]), (held, resume_oracle.rates_of(every))


def of_resumes(answer: Document, past: Past) -> Compared:
    return alike(answer["resumes"], past.newest(resume_oracle.resumes_of))


def of_gaps(answer: Document, past: Past) -> Compared:
    failed = [one for one in past.newest(resume_oracle.gaps_of) if one["cause"] == "failed"]
    return alike(answer["gaps"], failed)


def of_open_gaps(answer: Document, past: Past) -> Compared:
    """Of the jobs that fire at whole minutes."""
    crons = [one for one in past.by_job.values() if one[0]["data"]["schedule"]["kind"] == "cron"]
    wanted = {
        events[0]["job_id"]: gaps
        for events in crons
        if (gaps := gap_oracle.open_gaps(events, past.at))
    }
    found = defaultdict(list)
    for gap in answer["open"]:
        if past.states[gap["job_id"]]["schedule"]["kind"] == "cron":
            plain = {name: gap[name] for name in ("cause", "count", "first", "last")}
            found[gap["job_id"]].append(plain)
    return found, wanted


def of_recoveries(answer: Document, past: Past) -> Compared:
    planned = [one for one in past.exported if one["topic"] == "recovery.planned"]
    found = [(one["id"], one["planned_at"]) for one in answer["recoveries"]]
    return found, [(one["data"]["recovery_id"], one["recorded_at"]) for one in planned[::-1]]


def of_what_if(answer: Document, past: Past) -> Compared:
    storms = [(one.signature, _at(one.failures[0]), _at(one.last)) for one in past.storms]
    recorded, other = Counter[str](), Counter[str]()
    for events in past.by_job.values():
        recorded.update(asdict(as_recorded(events)))
        slow = as_it_would_have_been(events, SOONER, storms, _at(past.events[-1]))
        other.update(asdict(slow))
    found = answer["what_if"]
    return (found["recorded"], found["what_if"]), (dict(recorded), dict(other))


def _at(event: RecordedEvent) -> datetime:
    return from_microseconds(event.recorded_at)
