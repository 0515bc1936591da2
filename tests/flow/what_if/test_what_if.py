"""What-if over the history of many jobs, compared with a slow recomputation from raw events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.clock import parse_rfc3339
from ledger.domain.job.breaker import COUNTABLE
from ledger.errors import InvalidField, UnknownField
from projections.models.storms import queries as storm_queries
from projections.read_models import ReadModels
from projections.what_if.policy_change import PolicyChange
from projections.what_if.question import WhatIf, WhatIfQuery, what_if
from tests.oracles.what_if import as_it_would_have_been, as_recorded
from tests.storm.generator import FleetGenerator, Size
from tests.support.builders import ManualClock, open_ledger

SMALL = Size(jobs=40, days=3)
SEED = 5
COUNTS = ("trips", "failures", "attempts", "manual_resumes")
WITHOUT_QUOTA = [name for name in COUNTABLE if name != "rate_limited"]


@dataclass(frozen=True)
class Fleet:
    """Many jobs with a recorded history, and the raw events of each."""

    ledger: Ledger
    read_models: ReadModels
    planted: dict[str, Any]
    histories: dict[str, list[dict[str, Any]]]

    @property
    def end(self) -> int:
        return self.ledger.writer.position

    @property
    def end_at(self) -> datetime:
        [last] = self.ledger.mapper.to_recorded_events(
            self.ledger.event_store.read(after=self.end - 1, limit=1)
        )
        return parse_rfc3339(last.data["timestamp"])

    def storms(self) -> list[dict[str, Any]]:
        with self.read_models.reading() as reader:
            return storm_queries.find(reader, now=self.end_at)[0]

    def ask(self, policy: dict[str, Any], **more: Any) -> WhatIf:
        return what_if(
            self.ledger.events,
            self.read_models,
            WhatIfQuery(PolicyChange(policy), **{"since": 0, "until": self.end, **more}),
        )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    planted = FleetGenerator(folder, SEED, SMALL).generate()
    clock = ManualClock(parse_rfc3339(planted["ended_at"]))
    with open_ledger(folder, clock) as ledger:
        read_models = ReadModels.open(ledger, folder / "copies.db")
        read_models.catch_up()
        histories = {str(job_id): ledger.history(job_id) for job_id in ledger.job_cache.jobs}
        yield Fleet(ledger, read_models, planted, histories)
        read_models.close()


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
        {"max_losses": 1},
    ],
)
def test_every_count_of_every_job_equals_the_recomputation(
    fleet: Fleet, policy: dict[str, Any]
) -> None:
    storms = [
        (one["signature"], *(parse_rfc3339(one[f"{end}_failed_at"]) for end in ("first", "last")))
        for one in fleet.storms()
    ]

    answer = fleet.ask(policy)

    differing = {one.job_id: one for one in answer.differing}
    assert answer.job_count == len(fleet.histories)
    for job_id, history in fleet.histories.items():
        recorded = as_recorded(history)
        other = as_it_would_have_been(history, policy, storms, fleet.end_at)
        found = differing.get(job_id)
        if found is None:
            assert recorded == other, job_id
        else:
            assert {key: getattr(found.recorded, key) for key in COUNTS} == asdict(recorded)
            assert {key: getattr(found.other, key) for key in COUNTS} == asdict(other), job_id


@pytest.mark.slow
def test_the_recorded_policy_changes_nothing(fleet: Fleet) -> None:
    answer = fleet.ask({"max_losses": 3})

    assert answer.differing == []
    assert answer.recorded == answer.other
    assert "No difference for any of" in answer.plain()["text"]


@pytest.mark.slow
def test_what_both_policies_share_is_known_and_the_rest_is_estimated(fleet: Fleet) -> None:
    assert not any(one.is_estimated for one in fleet.ask({"trip_after": 1}).differing)
    assert all(one.is_estimated for one in fleet.ask({"trip_after": 1_000_000}).differing)


@pytest.mark.slow
def test_rate_limits_that_do_not_count_trip_no_job_in_their_storms(fleet: Fleet) -> None:
    stormy = {job_id for storm in fleet.planted["storms"] for job_id in storm["jobs"]}

    answer = fleet.ask({"counts": WITHOUT_QUOTA})

    assert {one.job_id for one in answer.differing} <= stormy
    assert all(one.other.trips == one.other.manual_resumes == 0 for one in answer.differing)


@pytest.mark.slow
def test_a_probe_saves_manual_resumes(fleet: Fleet) -> None:
    answer = fleet.ask({"probe_after_seconds": 60})

    assert answer.other["manual_resumes"] < answer.recorded["manual_resumes"]
    assert answer.other["trips"] == answer.recorded["trips"]


@pytest.mark.slow
def test_a_range_counts_only_what_happened_in_it(fleet: Fleet) -> None:
    middle = fleet.end // 2
    whole, first, second = (
        fleet.ask({"max_losses": 3}, **stretch)
        for stretch in ({}, {"until": middle}, {"since": middle})
    )

    for key in COUNTS:
        assert first.recorded[key] + second.recorded[key] == whole.recorded[key]
        assert first.other[key] + second.other[key] == whole.other[key]


@pytest.mark.slow
def test_only_the_selected_jobs_are_simulated(fleet: Fleet) -> None:
    job_id = next(iter(fleet.histories))
    tag = fleet.ledger.job_cache.jobs[UUID(job_id)].tags[0]

    assert fleet.ask({"trip_after": 1}, job_ids=[job_id]).job_count == 1
    tagged = sum(tag in job.tags for job in fleet.ledger.job_cache.jobs.values())
    assert fleet.ask({"trip_after": 1}, tag=tag).job_count == tagged
    assert fleet.ask({"trip_after": 1}, tag="nobody has it").job_count == 0


@pytest.mark.slow
@pytest.mark.parametrize("policy", [{}, {"trip_after": 0}, {"catch_up": "none"}, {"counts": ["x"]}])
def test_a_policy_without_an_answer_is_refused(fleet: Fleet, policy: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match="policy"):
        fleet.ask(policy)


@pytest.mark.slow
def test_an_unknown_key_is_named_in_the_refusal(fleet: Fleet) -> None:
    with pytest.raises(UnknownField, match=r"policy\.trip_afterr"):
        fleet.ask({"trip_afterr": 3})
