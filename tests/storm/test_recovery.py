"""A storm of the fleet, recovered by the real dispatcher: fires a minute before and after."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import parse_rfc3339
from ledger.dispatch.recovery_driver import RecoveryDriver
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.selection import StormMembers
from ledger.maintenance.verify import verify_event_store
from ledger.store.audit_query import AuditQuery
from projections.models.storms import members as storm_recovery
from projections.models.storms import queries as storm_questions
from projections.read_models import ReadModels
from tests.storm.making import Making, Size
from tests.storm.operators import Operators
from tests.support.builders import HOUR, MINUTE

pytestmark = pytest.mark.slow

FLEET = Size(jobs=400, days=2)
SEED = 3


class Night(Making):
    """The fleet until a storm is over, and what is done about it then."""

    def live_through_the_storm(self) -> None:
        self._schedule_all()
        self._operators = Operators(self._chance, self._weather, self._members, self._size.days)
        self._operators.next_at = lambda: None  # type: ignore[method-assign]  # nobody is awake
        self._live(self._weather.storms[0].when.ends_at + MINUTE)

    def storm(self, folder: Path) -> StormMembers:
        """The storm that was lived through, as the copies have it."""
        with closing(ReadModels.open(self._ledger, folder / "projections.db")) as read_models:
            read_models.catch_up()
            with read_models._store.reading() as questions:
                found, _ = storm_questions.find(questions, now=self._clock.now())
                largest = max(found, key=lambda storm: storm["job_count"])
                return storm_recovery.members(questions, largest["id"])

    def recover(self, driver: RecoveryDriver, span: timedelta) -> None:
        """Let time pass with the driver at work."""
        until = self._clock.now() + span
        while self._clock.now() < until:
            self._dispatcher.run_once()
            driver.run_once()
            self._go_to(self._clock.now() + timedelta(seconds=1))

    def starts(self, jobs: set[str], since: datetime) -> Counter[datetime]:
        """First runs a minute of these jobs since an instant."""
        seen, counts = set[str](), Counter[datetime]()
        for event in self._events("job.run_started"):
            at = parse_rfc3339(event["recorded_at"])
            if event["job_id"] in jobs - seen and at >= since:
                seen.add(event["job_id"])
                counts[at.replace(second=0, microsecond=0)] += 1
        return counts

    def _events(self, *topics: str) -> list[dict[str, Any]]:
        return list(self._ledger.queries.export(AuditQuery(topics=topics)))


def test_a_storm_is_recovered_by_the_plan_and_its_first_fires_are_spread(tmp_path: Path) -> None:
    night = Night(tmp_path, SEED, FLEET)
    night.live_through_the_storm()
    ledger, began = night._ledger, night._clock.now()
    storm = night.storm(tmp_path)
    terms = Terms(rate_per_minute=4)
    forecast = ledger.preview_recovery(storm, terms)
    planned = ledger.start_recovery(storm, terms, reason="the limit is lifted")
    with closing(RecoveryDriver(ledger)) as driver:
        night.recover(driver, 3 * HOUR)

    told = ledger.recoveries.one("R-1")

    assert planned["job_count"] == forecast["job_count"] >= 8
    assert told["resumed_count"] == planned["job_count"]
    assert told["status"] == "completed"
    counts = night.starts({job["job_id"] for job in told["jobs"]}, began)
    fires = forecast["fires"]
    assert max(counts.values()) <= fires["first_staggered_peak"] + 1
    assert fires["first_at_once_peak"] >= 2 * max(counts.values())
    steps = [parse_rfc3339(job["step_at"]) for job in told["jobs"]]
    gaps = [after - before for before, after in zip(steps, steps[1:], strict=False)]
    assert min(gaps) >= timedelta(seconds=15)
    assert verify_event_store(ledger.event_store).is_sound
    ledger.close()
