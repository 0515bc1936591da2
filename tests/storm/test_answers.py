"""Every query on a ledger of `make storm`, compared with a slow recomputation from its raw events:
a small ledger by default, the full one in `make proof`.
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
from projections.history.replay import STATUSES, FleetState, Playback
from tests.oracles import blame as blame_oracle
from tests.oracles import resumes as resume_oracle
from tests.oracles import storms as storm_oracle
from tests.oracles import why as why_oracle
from tests.oracles.fold import Fold
from tests.oracles.what_if import as_it_would_have_been, as_recorded
from tests.storm.generator import FleetGenerator, Size
from tests.support.builders import ManualClock
from tests.support.raw_events import alike, shown

SEED = 1
SMALL, FULL = Size(jobs=40, days=2), Size()
MINUTE = timedelta(minutes=1)
Event = dict[str, Any]


@dataclass(frozen=True)
class Fleet:
    """A generated ledger, its queries, and its raw events, all of them and by job."""

    ledger: Ledger
    queries: Queries
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

    def positions(self, random: Random, count: int) -> list[int]:
        """Positions to query: some at random, the peak of the storm, the end."""
        return sorted(
            {*(random.randrange(1, self.end) for _ in range(count)), self.peak(), self.end}
        )

    def jobs_at(self, position: int) -> dict[str, dict[str, Any]]:
        """Every job at a position, folded from its events."""
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
        pytest.param(FULL, marks=[pytest.mark.proof, pytest.mark.timeout(3600)], id="full"),
    ],
)
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    planted = FleetGenerator(folder, SEED, request.param).generate()
    clock = ManualClock(parse_rfc3339(planted["ended_at"]))
    opened = Ledger.open_read_only(folder / "data", clock=clock)
    with opened as ledger, Queries.open(ledger) as queries:
        events = list(ledger.queries.export(AuditQuery()))
        by_job: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            if event["topic"].startswith("job."):
                by_job[event["job_id"]].append(event)
        yield Fleet(ledger, queries, planted, events, by_job)


def all_pages(ask: Any, name: str, **query: Any) -> list[Any]:
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


def matches(event: Event, query: AuditQuery, time_range: TimeRange) -> bool:
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
        and (time_range.since is None or at >= time_range.since)
        and (time_range.until is None or at <= time_range.until)
    )


@pytest.mark.parametrize("number", range(len(FILTERS)))
def test_an_audit_is_every_event_that_matches(fleet: Fleet, number: int) -> None:
    random = Random(number)
    first, last = sorted(random.sample(range(1, fleet.end), 2))
    job = random.choice(list(fleet.by_job))
    ranges = (
        TimeRange(),
        TimeRange(fleet.at(first)),
        TimeRange(fleet.at(first), fleet.at(last)),
    )
    queries = AuditQuery(**FILTERS[number]), AuditQuery(**FILTERS[number], stream=job_id_of(job))

    for query in queries:
        for time_range in ranges:
            expected = [event for event in fleet.events if matches(event, query, time_range)]
            assert list(fleet.queries.export(query, time_range)) == expected
            newest = AuditQuery(**{**asdict(query), "order": "desc", "limit": 7})
            page = fleet.queries.audit(newest, time_range)
            assert page["events"] == expected[::-1][:7]


# -- time travel ----------------------------------------------------------------------------------


def test_past_lists_and_counts_equal_the_fold(fleet: Fleet) -> None:
    for position in fleet.positions(Random(2), 5):
        expected = fleet.jobs_at(position)

        listed = all_pages(lambda p=position, **page: jobs_at(fleet, p, **page), "jobs")
        summary = fleet.queries.summary(as_of=position)["summary"]

        assert {job["id"]: shown(job) for job in listed} == expected, position
        counts = Counter(job["status"] for job in expected.values())
        assert {name: summary[name] for name in STATUSES} == {
            name: counts[name] for name in STATUSES
        }
        planned = [j["next_run_at"] for j in expected.values() if j["status"] == "active"]
        assert summary["next_run_at"] == min(filter(None, planned), default=None)
        assert summary["disabled"] == sum(not job["enabled"] for job in expected.values())


def jobs_at(fleet: Fleet, position: int, cursor: str | None = None) -> Any:
    return fleet.queries.jobs(JobFilter(cursor=cursor, limit=150), as_of=position)


def test_filters_apply_to_the_past_list(fleet: Fleet) -> None:
    position = fleet.peak()
    expected = fleet.jobs_at(position).values()

    failed = fleet.queries.jobs(JobFilter("failed", limit=1000), as_of=position)["jobs"]
    limited = fleet.queries.jobs(
        JobFilter(failure_class="rate_limited", limit=1000), as_of=position
    )["jobs"]
    team = fleet.queries.jobs(JobFilter(tag="team:sales", limit=1000), as_of=position)["jobs"]

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


def test_a_history_shows_the_state_before_and_after_each_event(fleet: Fleet) -> None:
    random = Random(3)
    for job_id in random.sample(list(fleet.by_job), 15):
        events = fleet.by_job[job_id]
        first = random.randrange(len(events))

        page = fleet.queries.history(job_id, cursor=str(first), limit=40)["events"]

        fold = Fold(events[:first])
        for answered, event in zip(page, events[first : first + 40], strict=True):
            assert {key: answered[key] for key in event} == event
            assert visible_state(answered["before"]) == visible_state(fold.state)
            fold.take(event)
            assert visible_state(answered["after"]) == visible_state(fold.state)


def visible_state(state: Mapping[str, Any]) -> dict[str, Any]:
    names = ("status", "enabled", "next_run_at", "paused_until", "consecutive_errors", "open_run")
    return {name: state.get(name) for name in (*names, "consecutive_losses")}


def test_every_field_is_blamed_on_the_event_that_set_it(fleet: Fleet) -> None:
    random = Random(4)
    for job_id in random.sample(list(fleet.by_job), 15):
        events = fleet.by_job[job_id]
        position = random.choice(events)["position"]

        answered = fleet.queries.blame(job_id, as_of=position)["blame"]["fields"]

        wanted = blame_oracle.expected([one for one in events if one["position"] <= position])
        found = {item["field"]: item["position"] for item in answered}
        assert {name: found[name] for name in wanted} == wanted, (job_id, position)


def test_why_equals_the_recomputation(fleet: Fleet) -> None:
    random, codes_met = Random(5), Counter[str]()
    in_storms = [job for storm in fleet.planted["storms"] for job in storm["jobs"]]
    paused = [one["job_id"] for one in fleet.planted["pauses"]]
    for job_id in [*random.choices(list(fleet.by_job), k=40), *in_storms[:20], *paused[:10]]:
        events = fleet.by_job[job_id]
        index = near_a_failure(random, events)

        answered = fleet.queries.why(job_id, at=events[index]["position"])["why"]

        codes, links = why_oracle.expected(events[: index + 1])
        where = (job_id, events[index]["position"])
        assert answered["answer"] in codes, where
        assert set(links) <= {link["position"] for link in answered["chain"]}, where
        assert answered["next_run_at"] == why_oracle.planned(events[: index + 1]), where
        codes_met[answered["answer"]] += 1

    assert {"tripped", "paused"} <= set(codes_met)


def near_a_failure(random: Random, events: Sequence[Event]) -> int:
    """An index in a history, mostly one with a failure or a pause."""
    notable = [
        index
        for index, event in enumerate(events)
        if event["topic"] in ("job.circuit_tripped", "job.paused", "job.run_failed", "job.run_lost")
    ]
    return (
        random.choice(notable)
        if notable and random.random() < 0.8
        else random.randrange(len(events))
    )


# -- storms ---------------------------------------------------------------------------------------


def storm_events(fleet: Fleet, signature: str) -> list[RecordedEvent]:
    """The events that decide about storms of one signature: its failures, and what ended them."""
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
    return [recorded(fleet.events[position - 1]) for position in sorted(positions)]


def recorded(event: Event) -> RecordedEvent:
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
    """The signatures of failures of at least three jobs."""
    jobs: dict[str, set[str]] = defaultdict(set)
    for event in fleet.events:
        if event["topic"] == "job.run_failed":
            jobs[event["data"]["signature"]].add(event["job_id"])
    return [signature for signature, failed in jobs.items() if len(failed) >= 3]


def test_storms_equal_the_recomputation(fleet: Fleet) -> None:
    answered = fleet.queries.storms(limit=1000)["storms"]

    found = {}
    for signature in common_signatures(fleet):
        relevant = storm_events(fleet, signature)
        for storm in storm_oracle.storms_of(relevant):
            found[storm.id] = storm, relevant
    assert {storm["id"] for storm in answered} == set(found)
    assert len(found) >= 3
    for one in answered:
        storm, relevant = found[one["id"]]
        jobs = {str(failure.stream) for failure in storm.failures}
        assert one["failure_count"] == len(storm.failures)
        assert one["job_count"] == len(jobs)
        detail = fleet.queries.storm(one["id"])["storm"]
        assert {job["id"] for job in detail["jobs"]} == jobs
        assert [(one["failure_count"], one["job_count"]) for one in detail["per_minute"]] == [
            (one["failure_count"], one["job_count"]) for one in storm_oracle.per_minute(storm)
        ]
        assert [(job["id"], job["failure_count"], job["left_by"]) for job in detail["jobs"]] == [
            (job["id"], job["failure_count"], job["left_by"])
            for job in storm_oracle.members(storm, relevant)
        ]
        assert one["trip_count"] == sum(trips_next(fleet, failure) for failure in storm.failures)
        assert detail["fires_lost"]["count"] == fires_lost(fleet, storm)


def trips_next(fleet: Fleet, failure: RecordedEvent) -> bool:
    following = fleet.by_job[str(failure.stream)][failure.version :]
    return bool(following) and following[0]["topic"] == "job.circuit_tripped"


def fires_lost(fleet: Fleet, storm: storm_oracle.Storm) -> int:
    """The slots that the jobs it tripped had missed when they were resumed."""
    count = 0
    for failure in storm.failures:
        if not trips_next(fleet, failure):
            continue
        later = fleet.by_job[str(failure.stream)][failure.version :]
        resumed = next(
            e for e in later if e["topic"] in ("job.force_resumed", "job.circuit_closed")
        )
        count += (resumed["data"]["missed"] or {"count": 0})["count"]
    return count


def test_a_storm_at_its_peak_equals_the_recomputation(fleet: Fleet) -> None:
    position = fleet.peak()
    now = fleet.at(position)

    answered = {one["id"]: one for one in fleet.queries.storms(as_of=position)["storms"]}

    states = fleet.jobs_at(position)
    storms_then = 0
    for signature in common_signatures(fleet):
        relevant = [event for event in storm_events(fleet, signature) if event.position <= position]
        for storm in storm_oracle.storms_of(relevant):
            storms_then += 1
            one = answered[storm.id]
            recorded = (now - EPOCH) // timedelta(microseconds=1)
            assert one["is_open"] == storm_oracle.is_open(storm, relevant, recorded)
            assert one["failure_count"] == len(storm.failures)
            jobs = {str(failure.stream) for failure in storm.failures}
            statuses = Counter(states[job]["status"] for job in jobs)
            assert one["jobs_by_status"] == dict(statuses)
    assert storms_then == len(answered)
    assert any(one["is_open"] for one in answered.values())


# -- resumes, gaps, differences -------------------------------------------------------------------


def test_every_forced_resume_has_the_recomputed_outcome(fleet: Fleet) -> None:
    answered = all_pages(
        lambda cursor=None: fleet.queries.resumes(ResumeFilter(cursor=cursor, limit=20)), "resumes"
    )
    rates = fleet.queries.resumes()["rates"]

    found = [one for events in fleet.by_job.values() for one in resume_oracle.resumes_of(events)]
    compared, found = alike(answered, sorted(found, key=lambda one: -one["position"]))
    assert compared == found
    assert rates["all"] == resume_oracle.rates_of(found)
    planted = Counter(resume["holds"] for resume in fleet.planted["resumes"])
    assert Counter(one["outcome"] == "held" for one in found) == planted


def test_every_missed_slot_is_in_a_gap(fleet: Fleet) -> None:
    answered = all_pages(
        lambda cursor=None: fleet.queries.gaps(GapFilter(cursor=cursor, limit=500)), "gaps"
    )

    found = [one for events in fleet.by_job.values() for one in resume_oracle.gaps_of(events)]
    compared, found = alike(answered, sorted(found, key=lambda one: -one["position"]))
    assert compared == found
    causes = {one["cause"] for one in answered}
    assert {"downtime", "failed", "paused"} <= causes


def test_gaps_and_why_agree_on_the_cause_of_a_slot(fleet: Fleet) -> None:
    random, codes_met = Random(7), Counter[str]()
    answered = [one for events in fleet.by_job.values() for one in resume_oracle.gaps_of(events)]
    rare = [one for one in answered if one["cause"] not in ("paused", "failed", "downtime")]
    for gap in [*rare, *random.sample(answered, min(60, len(answered)))]:
        for slot in (gap["first"], gap["last"]):
            answer = fleet.queries.why(gap["job_id"], at=parse_rfc3339(slot))["why"]["answer"]
            allowed = why_oracle.SAID_OF_GAPS[gap["cause"]] | {"running"}
            assert answer in allowed, (gap, slot, answer)
        codes_met[gap["cause"]] += 1

    assert {"backoff", "downtime", "failed", "paused"} <= set(codes_met)


COMPARED = (
    "name", "description", "delivery", "delete_after_run", "schedule", "task", "executor", "tags",
    "policy", "enabled", "status", "paused_until", "consecutive_errors", "consecutive_losses",
)  # fmt: skip


def test_a_diff_has_each_field_with_the_event_that_changed_it_last(fleet: Fleet) -> None:
    random = Random(6)
    for _ in range(5):
        first, last = sorted(random.sample(range(fleet.end), 2))
        answered = all_pages(
            lambda a=first, b=last, cursor=None: fleet.queries.diff(a, b, cursor=cursor, limit=70),
            "jobs",
        )

        found = {
            job["job_id"]: {
                one["field"]: one["position"]
                for one in job["fields"]
                if one["field"] != "next_run_at"
            }
            for job in answered
        }
        for job_id, events in fleet.by_job.items():
            wanted = last_changes(events, first, last)
            assert found.get(job_id, {}) == wanted, (job_id, first, last)


def last_changes(events: Sequence[Event], first: int, last: int) -> dict[str, int]:
    """For each field that differs between two positions, the last event that changed it."""
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


# -- what if, and playback ------------------------------------------------------------------------


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
def test_what_if_equals_the_recomputation(
    fleet: Fleet, policy: dict[str, Any], not_counting: list[str]
) -> None:
    storms = [
        (one["signature"], *(parse_rfc3339(one[f"{end}_failed_at"]) for end in ("first", "last")))
        for one in fleet.queries.storms(limit=1000)["storms"]
    ]
    end_at = fleet.at(fleet.end)

    found = fleet.queries.what_if(policy, not_counting=not_counting)

    recorded, other = Counter[str](), Counter[str]()
    for events in fleet.by_job.values():
        recorded.update(asdict(as_recorded(events)))
        slow = as_it_would_have_been(events, policy, storms, end_at, not_counting=not_counting)
        other.update(asdict(slow))
    assert found.recorded == dict(recorded)
    assert found.other == dict(other)
    assert found.recorded != found.other


def test_a_played_storm_ends_in_the_real_state(fleet: Fleet) -> None:
    storm = fleet.queries.storms()["storms"][0]
    since, until = parse_rfc3339(storm["first_failed_at"]), parse_rfc3339(storm["last_failed_at"])
    first = int(storm["id"][2:])
    last = fleet.ledger.events.position_at(until)
    played = fleet.events[first - 1 : last]

    state = FleetState.of(all_pages(lambda **page: jobs_at(fleet, first - 1, **page), "jobs"))
    playback = Playback(state, iter(played), since=since, until=until)
    while not playback.is_over:
        playback.advance(1.0)

    expected = fleet.jobs_at(last)
    assert state.statuses == {job_id: job["status"] for job_id, job in expected.items()}
    assert state.running == {job_id for job_id, job in expected.items() if job["open_run"]}
    assert state.failing == {
        job_id for job_id, job in expected.items() if job["consecutive_errors"] > 0
    }
    failures = [event for event in played if event["topic"] == "job.run_failed"]
    assert sum(state.failures.values()) == len(failures)
    assert state.trip_count == sum(event["topic"] == "job.circuit_tripped" for event in played)
