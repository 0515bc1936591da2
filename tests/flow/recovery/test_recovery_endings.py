"""What is recorded and shown of a recovery: how it ended, its status as of then, and in which
column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from ledger import Ledger, Selector, Terms
from ledger.clock import SystemClock
from ledger.dispatch.recovery_driver import RecoveryDriver
from projections import Queries
from tests.support.builders import HOUR, ManualClock
from tests.support.recovery_fleet import RecoveryFleet, a_recovery_fleet
from tests.support.typed_commands import Shell, tripped_job

LIMITED = Selector(failure_class="rate_limited")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[RecoveryFleet]:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        yield fleet


def test_a_completed_recovery_records_how_many_jobs_were_resumed_and_refused(
    fleet: RecoveryFleet,
) -> None:
    ids = fleet.trip(4)
    fleet.ledger.start_recovery(LIMITED)
    fleet.ledger.delete(ids[3])

    shown = fleet.live_until_ended("R-1", 12 * HOUR)

    [completed] = fleet.events("recovery.completed")
    assert (completed["data"]["resumed"], completed["data"]["refused"]) == (3, 1)
    assert (shown["resumed_count"], shown["refused_count"]) == (3, 1)


def test_a_recovery_is_shown_as_probing_as_of_an_earlier_position(fleet: RecoveryFleet) -> None:
    ids = fleet.trip(3)
    fleet.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    fleet.live_until_ended("R-1", 12 * HOUR)
    [held, *_] = [
        event["position"]
        for event in fleet.events("job.run_succeeded")
        if event["job_id"] == str(ids[0])
    ]

    before, after = (fleet.ledger.recoveries.one("R-1", as_of=at) for at in (held - 1, held))

    assert (before["status"], before["next_step_at"]) == ("probing", None)
    assert after["status"] == "dripping"


def test_a_resume_of_a_recovery_names_it_and_one_by_hand_names_none(fleet: RecoveryFleet) -> None:
    by_hand, *ids = fleet.trip(3)
    fleet.ledger.resume(by_hand, force=True)
    fleet.ledger.start_recovery(LIMITED)
    fleet.live_until_ended("R-1", 12 * HOUR)

    with Queries.open(fleet.ledger) as answers:
        shown = answers.resumes()["resumes"]

    assert {UUID(one["job_id"]): one["recovery_id"] for one in shown} == {
        by_hand: None, ids[0]: "R-1", ids[1]: "R-1"
    }  # fmt: skip


def test_the_list_counts_resumed_left_and_re_tripped_jobs(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for number in range(4):
        tripped_job(shell.data, f"digest {number}")
    shell.ok("recovery", "start", "--failure-class", "rate_limited", "--rate", "600")
    with Ledger.open(shell.data, clock=ManualClock(SystemClock().now())) as ledger:
        driver = RecoveryDriver(ledger)
        driver.run_once()
        driver.close()

    columns, row = (
        re.split(r"\s{2,}", line.strip())
        for line in shell.ok("recovery", "list").out.splitlines()[:2]
    )

    cells = dict(zip(columns, row, strict=True))
    assert {name: cells[name] for name in ("JOBS", "RESUMED", "LEFT", "RE-TRIPS")} == {
        "JOBS": "4", "RESUMED": "1", "LEFT": "3", "RE-TRIPS": "0"
    }  # fmt: skip
