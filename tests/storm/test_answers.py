"""Every answer of the fleet of `make storm`, held to a slow recomputation from its raw events: of a
small fleet in the gate, of the whole one in `make proof`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from ledger import AuditQuery, Ledger
from ledger.clock import parse_rfc3339
from ledger.domain.job.breaker import COUNTABLE
from ledger.domain.job.job import job_id_of
from ledger.store.records import RecordedEvent
from projections import GapFilter, JobFilter, Queries, ResumeFilter, TimeRange
from projections.history.replay import FleetState, Playback
from tests.oracles import blame as blame_oracle
from tests.oracles import resumes as resume_oracle
from tests.oracles import storms as storm_oracle
from tests.oracles import why as why_oracle
from tests.oracles.fold import Fold
from tests.oracles.what_if import as_it_would_have_been, as_recorded
from tests.storm.making import Making, Size
from tests.support.builders import ManualClock

SEED = 1
SMALL, WHOLE = Size(jobs=40, days=2), Size()
MINUTE = timedelta(minutes=1)
Event = dict[str, Any]


@dataclass(frozen=True)
class Fleet:
    """A fleet that was made, whoever answers of it, and its raw events, by job and all of them."""

    ledger: Ledger
    answers: Queries
    planted: Mapping[str, Any]
    events: Sequence[Event]
    by_job: Mapping[str, Sequence[Event]]

    @property
    def end(self) -> int:
        return len(self.events)

    def at(self, position: int) -> datetime:
        return parse_rfc3339(self.events[position - 1]["recorded_at"])

    def peak(self) -> int:
        """The position in the middle of the larger storm."""
        storm = max(self.planted["storms"], key=lambda one: one["ends_at"])
        begins, ends = parse_rfc3339(storm["begins_at"]), parse_rfc3339(storm["ends_at"])
        return self.ledger.events.position_at(begins + (ends - begins) / 2)

    def places(self, random: Random, count: int) -> list[int]:
        """Positions to look from: some anywhere, the peak of the storm, both ends."""
        return sorted(
            {*(random.randrange(1, self.end) for _ in range(count)), self.peak(), self.end}
        )

    def stood(self, position: int) -> dict[str, dict[str, Any]]:
        """Every job as it stood, folded from its events."""
        states = {
            job_id: Fold(e for e in events if e["position"] <= position).state
            for job_id, events in self.by_job.items()
            if events[0]["position"] <= position
        }
        return {job_id: one for job_id, one in states.items() if one["status"] != "deleted"}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(SMALL, marks=pytest.mark.slow, id="small"),
        pytest.param(WHOLE, marks=[pytest.mark.proof, pytest.mark.timeout(3600)], id="whole"),
    ],
)
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    planted = Making(folder, SEED, request.param).make()
    clock = ManualClock(parse_rfc3339(planted["ended_at"]))
    reading = Ledger.open_read_only(folder / "data", clock=clock)
    with reading as ledger, Queries.open(ledger) as answers:
        events = list(ledger.queries.export(AuditQuery()))
        by_job: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event["topic"].startswith("job."):
                by_job[event["job_id"]].append(event)
        yield Fleet(ledger, answers, planted, events, by_job)


def shown(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job of an answer, as the fold tells it."""
    last, run = job["last_run"], job["open_run"]
    return {
        **{name: job[name] for name in ("id", "name", "status", "enabled", "tags", "policy")},
        **{name: job[name] for name in ("schedule", "executor", "task", "next_run_at")},
        **{name: job[name] for name in ("description", "delivery", "delete_after_run")},
        **{name: job[name] for name in ("consecutive_errors", "consecutive_losses", "run_count")},
        "paused_until": job["paused_until"],
        "open_run": run["run_id"] if run else None,
        "last_status": last["status"] if last else None,
        "last_failure_class": last["failure_class"] if last else None,
    }


def whole(ask: Any, name: str, **query: Any) -> list[Any]:
    """Every page of a list."""
    found: list[Any] = []
    while True:
        page = ask(**query)
        found += page[name]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


# -- the audit ------------------------------------------------------------------------------------

FILTERS: tuple[dict[str, Any], ...] = (
    {"actor": "olga"},
    {"actor": "dispatcher", "topics": ("job.circuit_tripped",)},
    {"actor": "triage-bot", "topics": ("job.force_resumed", "job.paused")},
    {"kind": "agent"},
    {"kind": "system", "failure_class": "unauthorized"},
    {"source": "cli"},
    {"source": "cli", "kind": "user", "topics": ("job.amended",)},
    {"failure_class": "rate_limited"},
    {"topics": ("job.run_lost",)},
    {"topics": ("job.run_lost", "job.run_succeeded")},
)


def fits(event: Event, query: AuditQuery, stretch: TimeRange) -> bool:
    at = parse_rfc3339(event["recorded_at"])
    asked = (
        (query.actor, event["actor"]["id"]),
        (query.kind, event["actor"]["kind"]),
        (query.source, event["source"]),
        (query.failure_class, event["data"].get("failure_class")),
        (query.stream and str(query.stream), event["job_id"]),
    )
    return (
        all(wanted in (None, found) for wanted, found in asked)
        and (query.stream is None or event["topic"].startswith("job."))
        and (not query.topics or event["topic"] in query.topics)
        and (stretch.since is None or at >= stretch.since)
        and (stretch.until is None or at <= stretch.until)
    )


@pytest.mark.parametrize("number", range(len(FILTERS)))
def test_an_audit_is_every_event_that_fits(fleet: Fleet, number: int) -> None:
    random = Random(number)
    first, last = sorted(random.sample(range(1, fleet.end), 2))
    job = random.choice(list(fleet.by_job))
    stretches = (
        TimeRange(),
        TimeRange(fleet.at(first)),
        TimeRange(fleet.at(first), fleet.at(last)),
    )
    queries = AuditQuery(**FILTERS[number]), AuditQuery(**FILTERS[number], stream=job_id_of(job))

    for query in queries:
        for stretch in stretches:
            expected = [event for event in fleet.events if fits(event, query, stretch)]
            assert list(fleet.answers.export(query, stretch)) == expected
            newest = AuditQuery(**{**asdict(query), "order": "desc", "limit": 7})
            page = fleet.answers.audit(newest, stretch)
            assert page["events"] == expected[::-1][:7]


# -- time travel ----------------------------------------------------------------------------------


def test_the_fleet_is_listed_and_counted_as_it_stood(fleet: Fleet) -> None:
    for position in fleet.places(Random(2), 5):
        expected = fleet.stood(position)

        listed = whole(lambda p=position, **page: jobs_at(fleet, p, **page), "jobs")
        summary = fleet.answers.summary(as_of=position)["summary"]

        assert {job["id"]: shown(job) for job in listed} == expected, position
        counts = Counter(job["status"] for job in expected.values())
        assert {name: summary[name] for name in why_statuses()} == {
            name: counts[name] for name in why_statuses()
        }
        planned = [j["next_run_at"] for j in expected.values() if j["status"] == "active"]
        assert summary["next_run_at"] == min(filter(None, planned), default=None)
        assert summary["disabled"] == sum(not job["enabled"] for job in expected.values())


def why_statuses() -> tuple[str, ...]:
    return ("active", "paused", "failed", "completed")


def jobs_at(fleet: Fleet, position: int, cursor: str | None = None) -> Any:
    return fleet.answers.jobs(JobFilter(cursor=cursor, limit=150), as_of=position)


def test_filters_of_the_list_hold_of_then_too(fleet: Fleet) -> None:
    position = fleet.peak()
    expected = fleet.stood(position).values()

    failed = fleet.answers.jobs(JobFilter("failed", limit=1000), as_of=position)["jobs"]
    limited = fleet.answers.jobs(
        JobFilter(failure_class="rate_limited", limit=1000), as_of=position
    )["jobs"]
    team = fleet.answers.jobs(JobFilter(tag="team:sales", limit=1000), as_of=position)["jobs"]

    assert {job["id"] for job in failed} == {
        job["id"] for job in expected if job["status"] == "failed"
    }
    assert {job["id"] for job in limited} == {
        job["id"] for job in expected if job["last_failure_class"] == "rate_limited"
    }
    assert {job["id"] for job in team} == {
        job["id"] for job in expected if "team:sales" in job["tags"]
    }
    assert failed
    assert limited


# -- one job --------------------------------------------------------------------------------------


def test_a_history_tells_the_state_before_and_after_each_event(fleet: Fleet) -> None:
    random = Random(3)
    for job_id in random.sample(list(fleet.by_job), 15):
        events = fleet.by_job[job_id]
        first = random.randrange(len(events))

        page = fleet.answers.history(job_id, cursor=str(first), limit=40)["events"]

        fold = Fold(events[:first])
        for told, event in zip(page, events[first : first + 40], strict=True):
            assert {key: told[key] for key in event} == event
            assert facets(told["before"]) == facets(fold.state)
            fold.take(event)
            assert facets(told["after"]) == facets(fold.state)


def facets(state: Mapping[str, Any]) -> dict[str, Any]:
    names = ("status", "enabled", "next_run_at", "paused_until", "consecutive_errors", "open_run")
    return {name: state.get(name) for name in (*names, "consecutive_losses")}


def test_every_field_is_blamed_on_the_event_that_gave_it(fleet: Fleet) -> None:
    random = Random(4)
    for job_id in random.sample(list(fleet.by_job), 15):
        events = fleet.by_job[job_id]
        position = random.choice(events)["position"]

        told = fleet.answers.blame(job_id, as_of=position)["blame"]["fields"]

        wanted = blame_oracle.expected([one for one in events if one["position"] <= position])
        found = {item["field"]: item["position"] for item in told}
        assert {name: found[name] for name in wanted} == wanted, (job_id, position)


def test_why_is_what_the_raw_events_say(fleet: Fleet) -> None:
    random, met = Random(5), Counter[str]()
    troubled = [job for trouble in fleet.planted["storms"] for job in trouble["jobs"]]
    paused = [one["job_id"] for one in fleet.planted["pauses"]]
    for job_id in [*random.choices(list(fleet.by_job), k=40), *troubled[:20], *paused[:10]]:
        events = fleet.by_job[job_id]
        place = near_trouble(random, events)

        told = fleet.answers.why(job_id, at=events[place]["position"])["why"]

        codes, links = why_oracle.expected(events[: place + 1])
        where = (job_id, events[place]["position"])
        assert told["answer"] in codes, where
        assert set(links) <= {link["position"] for link in told["chain"]}, where
        assert told["next_run_at"] == why_oracle.planned(events[: place + 1]), where
        met[told["answer"]] += 1

    assert {"tripped", "paused"} <= set(met)


def near_trouble(random: Random, events: Sequence[Event]) -> int:
    """A place in a history, rather one where something was the matter."""
    loud = [
        place
        for place, event in enumerate(events)
        if event["topic"] in ("job.circuit_tripped", "job.paused", "job.run_failed", "job.run_lost")
    ]
    return random.choice(loud) if loud and random.random() < 0.8 else random.randrange(len(events))


# -- storms ---------------------------------------------------------------------------------------


def facts_of(fleet: Fleet, signature: str) -> list[RecordedEvent]:
    """All that matters to storms of one signature: its failures, and what its jobs left by."""
    jobs = {
        event["job_id"]
        for event in fleet.events
        if event["topic"] == "job.run_failed" and event["data"]["signature"] == signature
    }
    positions = [
        event["position"]
        for job_id in jobs
        for event in fleet.by_job[job_id]
        if event["topic"] in storm_oracle.LEAVES
        or (event["topic"] == "job.run_failed" and event["data"]["signature"] == signature)
    ]
    return [fact_of(fleet.events[position - 1]) for position in sorted(positions)]


def fact_of(event: Event) -> RecordedEvent:
    recorded = (parse_rfc3339(event["recorded_at"]) - EPOCH) // timedelta(microseconds=1)
    return RecordedEvent(
        position=event["position"],
        stream=job_id_of(event["job_id"]),
        version=event["version"],
        topic=event["topic"],
        recorded_at=recorded,
        data=event["data"],
    )


EPOCH = parse_rfc3339("1970-01-01T00:00:00Z")


def common_signatures(fleet: Fleet) -> list[str]:
    """What three jobs or more failed of."""
    jobs: dict[str, set[str]] = defaultdict(set)
    for event in fleet.events:
        if event["topic"] == "job.run_failed":
            jobs[event["data"]["signature"]].add(event["job_id"])
    return [signature for signature, failed in jobs.items() if len(failed) >= 3]


def test_the_storms_are_those_that_a_slow_look_finds(fleet: Fleet) -> None:
    told = fleet.answers.storms(limit=1000)["storms"]

    found = {}
    for signature in common_signatures(fleet):
        facts = facts_of(fleet, signature)
        for storm in storm_oracle.storms_of(facts):
            found[storm.id] = storm, facts
    assert {storm["id"] for storm in told} == set(found)
    assert len(found) >= 3
    for one in told:
        storm, facts = found[one["id"]]
        jobs = {str(failure.stream) for failure in storm.failures}
        assert one["failure_count"] == len(storm.failures)
        assert one["job_count"] == len(jobs)
        detail = fleet.answers.storm(one["id"])["storm"]
        assert {job["id"] for job in detail["jobs"]} == jobs
        assert [(one["failure_count"], one["job_count"]) for one in detail["per_minute"]] == [
            (one["failure_count"], one["job_count"]) for one in storm_oracle.per_minute(storm)
        ]
        assert [(job["id"], job["failure_count"], job["left_by"]) for job in detail["jobs"]] == [
            (job["id"], job["failure_count"], job["left_by"])
            for job in storm_oracle.members(storm, facts)
        ]
        assert one["trip_count"] == sum(trips_next(fleet, failure) for failure in storm.failures)
        assert detail["fires_lost"]["count"] == fires_lost(fleet, storm)


def trips_next(fleet: Fleet, failure: RecordedEvent) -> bool:
    following = fleet.by_job[str(failure.stream)][failure.version :]
    return bool(following) and following[0]["topic"] == "job.circuit_tripped"


def fires_lost(fleet: Fleet, storm: storm_oracle.Storm) -> int:
    """The slots that the jobs it tripped owed when they came back."""
    count = 0
    for failure in storm.failures:
        if not trips_next(fleet, failure):
            continue
        later = fleet.by_job[str(failure.stream)][failure.version :]
        back = next(e for e in later if e["topic"] in ("job.force_resumed", "job.circuit_closed"))
        count += (back["data"]["missed"] or {"count": 0})["count"]
    return count


def test_a_storm_is_told_as_it_stood_at_its_peak(fleet: Fleet) -> None:
    position = fleet.peak()
    now = fleet.at(position)

    told = {one["id"]: one for one in fleet.answers.storms(as_of=position)["storms"]}

    states = fleet.stood(position)
    storms_then = 0
    for signature in common_signatures(fleet):
        facts = [fact for fact in facts_of(fleet, signature) if fact.position <= position]
        for storm in storm_oracle.storms_of(facts):
            storms_then += 1
            one = told[storm.id]
            recorded = (now - EPOCH) // timedelta(microseconds=1)
            assert one["is_open"] == storm_oracle.is_open(storm, facts, recorded)
            assert one["failure_count"] == len(storm.failures)
            jobs = {str(failure.stream) for failure in storm.failures}
            statuses = Counter(states[job]["status"] for job in jobs)
            assert one["jobs_by_status"] == dict(statuses)
    assert storms_then == len(told)
    assert any(one["is_open"] for one in told.values())


# -- resumes, gaps, differences -------------------------------------------------------------------


def test_every_forced_resume_is_scored_as_the_raw_events_have_it(fleet: Fleet) -> None:
    told = whole(
        lambda cursor=None: fleet.answers.resumes(ResumeFilter(cursor=cursor, limit=20)), "resumes"
    )
    rates = fleet.answers.resumes()["rates"]

    found = [one for events in fleet.by_job.values() for one in resume_oracle.resumes_of(events)]
    found.sort(key=lambda one: -one["position"])
    assert [{key: one[key] for key in found[0]} for one in told] == found
    assert rates["all"] == resume_oracle.rates_of(found)
    planted = Counter(resume["holds"] for resume in fleet.planted["resumes"])
    assert Counter(one["outcome"] == "held" for one in found) == planted


def test_every_slot_that_was_missed_is_in_a_gap(fleet: Fleet) -> None:
    told = whole(
        lambda cursor=None: fleet.answers.gaps(GapFilter(cursor=cursor, limit=500)), "gaps"
    )

    found = [one for events in fleet.by_job.values() for one in resume_oracle.gaps_of(events)]
    found.sort(key=lambda one: -one["position"])
    assert [{key: one[key] for key in found[0]} for one in told] == found
    causes = {one["cause"] for one in told}
    assert {"downtime", "failed", "paused"} <= causes


def test_gaps_and_why_tell_one_cause_of_one_slot(fleet: Fleet) -> None:
    random, met = Random(7), Counter[str]()
    told = [one for events in fleet.by_job.values() for one in resume_oracle.gaps_of(events)]
    rare = [one for one in told if one["cause"] not in ("paused", "failed", "downtime")]
    for gap in [*rare, *random.sample(told, min(60, len(told)))]:
        for slot in (gap["first"], gap["last"]):
            answer = fleet.answers.why(gap["job_id"], at=parse_rfc3339(slot))["why"]["answer"]
            allowed = why_oracle.SAID_OF_GAPS[gap["cause"]] | {"running"}
            assert answer in allowed, (gap, slot, answer)
        met[gap["cause"]] += 1

    assert {"backoff", "downtime", "failed", "paused"} <= set(met)


COMPARED = (
    "name", "description", "delivery", "delete_after_run", "schedule", "task", "executor", "tags",
    "policy", "enabled", "status", "paused_until", "consecutive_errors", "consecutive_losses",
)  # fmt: skip


def test_a_difference_names_what_differs_and_who_changed_it_last(fleet: Fleet) -> None:
    random = Random(6)
    for _ in range(5):
        first, last = sorted(random.sample(range(fleet.end), 2))
        told = whole(
            lambda a=first, b=last, cursor=None: fleet.answers.diff(a, b, cursor=cursor, limit=70),
            "jobs",
        )

        found = {
            job["job_id"]: {
                one["field"]: one["position"]
                for one in job["fields"]
                if one["field"] != "next_run_at"
            }
            for job in told
        }
        for job_id, events in fleet.by_job.items():
            wanted = changers(events, first, last)
            assert found.get(job_id, {}) == wanted, (job_id, first, last)


def changers(events: Sequence[Event], first: int, last: int) -> dict[str, int]:
    """For each field that differs between two positions the last event that changed it."""
    fold = Fold(event for event in events if event["position"] <= first)
    before = dict(fold.state)
    if not before or before["status"] == "deleted":
        return {}
    changed: dict[str, int] = {}
    for event in events:
        if first < event["position"] <= last:
            old = dict(fold.state)
            fold.take(event)
            new = fold.state
            changed |= {n: event["position"] for n in COMPARED if old[n] != new[n]}
    if fold.state["status"] == "deleted":
        return {}
    return {name: at for name, at in changed.items() if before[name] != fold.state[name]}


# -- what if, and once more -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "not_counting"),
    [
        ({}, ["rate_limited"]),
        ({"counts": [name for name in COUNTABLE if name != "rate_limited"]}, []),
        ({"trip_after": 2}, []),
        ({"trip_after": 1_000_000, "backoff_seconds": [60]}, []),
    ],
    ids=["not counting rate limits", "counting the rest", "sooner", "never"],
)
def test_what_if_is_a_slow_walk_through_every_life(
    fleet: Fleet, policy: dict[str, Any], not_counting: list[str]
) -> None:
    storms = [
        (one["signature"], *(parse_rfc3339(one[f"{end}_failed_at"]) for end in ("first", "last")))
        for one in fleet.answers.storms(limit=1000)["storms"]
    ]
    end_at = fleet.at(fleet.end)

    found = fleet.answers.what_if(policy, not_counting=not_counting)

    recorded, other = Counter[str](), Counter[str]()
    for events in fleet.by_job.values():
        recorded.update(asdict(as_recorded(events)))
        slow = as_it_would_have_been(events, policy, storms, end_at, not_counting=not_counting)
        other.update(asdict(slow))
    assert found.recorded == dict(recorded)
    assert found.other == dict(other)
    assert found.recorded != found.other


def test_a_storm_that_is_played_again_ends_where_the_jobs_stood(fleet: Fleet) -> None:
    storm = fleet.answers.storms()["storms"][0]
    since, until = parse_rfc3339(storm["first_failed_at"]), parse_rfc3339(storm["last_failed_at"])
    first = int(storm["id"][2:])
    last = fleet.ledger.events.position_at(until)
    stretch = fleet.events[first - 1 : last]

    board = FleetState.of(whole(lambda **page: jobs_at(fleet, first - 1, **page), "jobs"))
    player = Playback(board, iter(stretch), since=since, until=until)
    while not player.is_over:
        player.advance(1.0)

    expected = fleet.stood(last)
    assert board.statuses == {job_id: job["status"] for job_id, job in expected.items()}
    assert board.running == {job_id for job_id, job in expected.items() if job["open_run"]}
    assert board.failing == {
        job_id for job_id, job in expected.items() if job["consecutive_errors"] > 0
    }
    failures = [event for event in stretch if event["topic"] == "job.run_failed"]
    assert sum(board.failures.values()) == len(failures)
    assert board.trip_count == sum(event["topic"] == "job.circuit_tripped" for event in stretch)
