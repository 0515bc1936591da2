"""What-if at its edges: where the range ends, and which job comes first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.application.commands import runs as run_commands
from ledger.domain.job import outcomes
from projections import Queries
from tests.support import runs
from tests.support.builders import DAY, HOUR, SUCCESS, ManualClock, a_spec, open_ledger

LIMITED = outcomes.Failure("429", "rate_limited", "api.example.com", None, 5)


class Scenario:
    """One ledger in which runs end as a test says, and its queries."""

    def __init__(self, ledger: Ledger, clock: ManualClock) -> None:
        self.ledger, self.clock = ledger, clock
        self.queries = Queries.open(ledger)

    def schedule(self, name: str) -> UUID:
        return self.ledger.schedule(a_spec(name=name, policy={"trip_after": 10})).job_id

    def run(self, job_id: UUID, end: run_commands.Outcome) -> int:
        """One run, an hour later; its last position."""
        self.clock.advance(HOUR)
        runs.run(self.ledger, job_id, end)
        return self.ledger.writer.position

    def pause_and_resume(self, job_id: UUID) -> None:
        self.ledger.pause(job_id)
        self.ledger.resume(job_id)


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        opened = Scenario(ledger, clock)
        with opened.queries:
            yield opened


def test_a_success_after_the_end_of_the_range_resumes_no_job(scenario: Scenario) -> None:
    job_id = scenario.schedule("report")
    failed = scenario.run(job_id, LIMITED)
    scenario.run(job_id, SUCCESS)
    policy = {"trip_after": 1, "probe_after_seconds": 60}

    cut = scenario.queries.what_if(policy, until=failed)

    [job] = cut.differing
    assert (job.other.status, job.other.manual_resumes) == ("failed", 1)
    assert (job.recorded.attempts, job.other.attempts) == (1, 1)
    [job] = scenario.queries.what_if(policy).differing
    assert (job.other.status, job.other.manual_resumes) == ("active", 0)


def test_the_job_with_the_largest_difference_comes_first(scenario: Scenario) -> None:
    seldom, often, never = (scenario.schedule(name) for name in ("seldom", "often", "never"))
    for _ in range(2):
        scenario.run(often, LIMITED)
        scenario.pause_and_resume(often)
    scenario.run(seldom, LIMITED)
    scenario.run(never, SUCCESS)
    scenario.clock.advance(DAY)

    answer = scenario.queries.what_if({"trip_after": 1})

    assert [(job.name, job.other.trips) for job in answer.differing] == [
        ("often", 2),
        ("seldom", 1),
    ]
    [first] = answer.page(limit=1)["jobs"]
    assert first["job_name"] == "often"
