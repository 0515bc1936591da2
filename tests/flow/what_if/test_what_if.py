"""What-if over the history of many jobs, compared with a slow recomputation from raw events; and
where its range ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.clock import parse_rfc3339
from ledger.domain.job.breaker import COUNTABLE
from projections import Queries
from projections.what_if.policy_change import PolicyChange
from projections.what_if.question import WhatIf, WhatIfQuery, what_if
from tests.oracles.what_if import as_it_would_have_been, as_recorded
from tests.storm.generator import FleetGenerator, Size
from tests.support.builders import HOUR, HOURLY, MINUTE, ManualClock, open_ledger
from tests.support.scenario import DONE, Scenario
from tests.support.scenes import AT_ONCE, FAILS, Scene

SMALL = Size(jobs=40, days=3)
SEED = 5
COUNTS = ("trips", "failures", "attempts", "manual_resumes")
RECORDED = {"max_losses": 3}
"""What every policy of the fleet has."""
WITHOUT_QUOTA = [name for name in COUNTABLE if name != "rate_limited"]


@dataclass(frozen=True)
class Fleet:
    """Many jobs with a recorded history, and the raw events of each."""

    ledger: Ledger
    queries: Queries
    histories: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    planted = FleetGenerator(folder, SEED, SMALL).generate()
    clock = ManualClock(parse_rfc3339(planted["ended_at"]))
    with open_ledger(folder, clock) as ledger, Queries.open(ledger) as queries:
        histories = {str(job_id): ledger.history(job_id) for job_id in ledger.job_cache.jobs}
        yield Fleet(ledger, queries, histories)


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy",
    [
        {"trip_after": 1},
        {"trip_after": 2},
        {"trip_after": 5},
        {"trip_after": 1_000_000},
        {"trip_after": 4, "backoff_seconds": [1]},
        {"counts": WITHOUT_QUOTA},
        {"counts": [], "trip_after": 1},
        {"counts": ["rate_limited"], "trip_after": 2, "backoff_seconds": [600, 60]},
        RECORDED,
    ],
    ids=str,
)
def test_every_count_of_every_job_equals_the_recomputation(
    fleet: Fleet, policy: dict[str, Any]
) -> None:
    storms = [
        (one["signature"], *(parse_rfc3339(one[f"{end}_failed_at"]) for end in ("first", "last")))
        for one in fleet.queries.storms(limit=1000)["storms"]
    ]
    end_at = fleet.ledger.events.recorded_at(fleet.ledger.writer.position)

    answer = fleet.queries.what_if(policy)

    differing = {one.job_id: one for one in answer.differing}
    assert answer.job_count == len(fleet.histories)
    for job_id, history in fleet.histories.items():
        recorded = as_recorded(history)
        other = as_it_would_have_been(history, policy, storms, end_at)
        found = differing.get(job_id)
        if found is None:
            assert recorded == other, job_id
        else:
            assert {key: getattr(found.recorded, key) for key in COUNTS} == asdict(recorded)
            assert {key: getattr(found.other, key) for key in COUNTS} == asdict(other), job_id
    assert (answer.differing == []) is (policy == RECORDED)
    assert ("No difference for any of" in answer.plain()["text"]) is (policy == RECORDED)


@pytest.mark.slow
def test_what_both_policies_share_is_known_and_the_rest_is_estimated(fleet: Fleet) -> None:
    sooner, never = (fleet.queries.what_if({"trip_after": count}) for count in (1, 1_000_000))

    assert {one.is_estimated for one in sooner.differing} == {False}
    assert {one.is_estimated for one in never.differing} == {True}


@pytest.mark.slow
def test_a_probe_saves_manual_resumes(fleet: Fleet) -> None:
    answer = fleet.queries.what_if({"probe_after_seconds": 60})

    assert answer.other["manual_resumes"] < answer.recorded["manual_resumes"]
    assert answer.other["trips"] == answer.recorded["trips"]


@pytest.mark.slow
def test_a_range_counts_only_what_happened_in_it(fleet: Fleet) -> None:
    middle = fleet.ledger.writer.position // 2
    stretches: list[dict[str, Any]] = [{}, {"until": middle}, {"since": middle}]

    whole, first, second = (fleet.queries.what_if(RECORDED, **stretch) for stretch in stretches)

    for key in COUNTS:
        assert first.recorded[key] + second.recorded[key] == whole.recorded[key]
        assert first.other[key] + second.other[key] == whole.other[key]


@pytest.mark.slow
def test_only_the_selected_jobs_are_simulated(fleet: Fleet) -> None:
    jobs = fleet.ledger.job_cache.jobs
    job_id = next(iter(fleet.histories))
    tag = jobs[UUID(job_id)].tags[0]
    selections: list[dict[str, Any]] = [{"job_ids": [job_id]}, {"tag": tag}, {"tag": "nobody's"}]

    answers = [fleet.queries.what_if({"trip_after": 1}, **one) for one in selections]

    tagged = sum(tag in job.tags for job in jobs.values())
    assert [answer.job_count for answer in answers] == [1, tagged, 0]


# -- one scenario ---------------------------------------------------------------------------------


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    scenario = Scenario(tmp_path)
    yield scenario
    scenario.close()


def asked(scenario: Scenario, policy: dict[str, Any], until: int) -> WhatIf:
    scenario.read_models.catch_up()
    query = WhatIfQuery(PolicyChange(policy), 0, until)
    return what_if(scenario.ledger.events, scenario.read_models, query)


PATIENT: dict[str, Any] = {
    "schedule": HOURLY,
    "policy": {"trip_after": 10, "backoff_seconds": [60]},
}
THEN_HEALTHY: dict[str, Any] = {**PATIENT, "script": [*FAILS, (AT_ONCE, DONE)]}


def test_a_success_after_the_end_of_the_range_resumes_no_job(scenario: Scenario) -> None:
    Scene(**THEN_HEALTHY).until(HOUR + MINUTE / 2).play(scenario)
    failed = scenario.ledger.writer.position
    scenario.until(scenario.clock.now() + HOUR)
    policy = {"trip_after": 1, "probe_after_seconds": 60}

    [cut] = asked(scenario, policy, failed).differing
    [whole] = asked(scenario, policy, scenario.ledger.writer.position).differing

    assert (cut.other.status, cut.other.manual_resumes) == ("failed", 1)
    assert (cut.recorded.attempts, cut.other.attempts) == (1, 1)
    assert (whole.other.status, whole.other.manual_resumes) == ("active", 0)


def test_the_job_with_the_largest_difference_comes_first(scenario: Scenario) -> None:
    beside = [{"name": "seldom", **THEN_HEALTHY}, {"name": "never", **PATIENT}]
    often = Scene(beside=beside, name="often", **PATIENT, script=FAILS)
    for hour in (1, 2):
        often.until(hour * HOUR + MINUTE / 2).olga("pause").olga("resume")
    often.play(scenario)

    answer = asked(scenario, {"trip_after": 1}, scenario.ledger.writer.position)

    assert [(job.name, job.other.trips) for job in answer.differing] == [
        ("often", 2),
        ("seldom", 1),
    ]
    [first] = answer.page(limit=1)["jobs"]
    assert first["job_name"] == "often"
