"""A generated storm, recovered by the real dispatcher: fires per minute against the forecast."""

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
from projections.models.storms import members as storm_members
from projections.models.storms import queries as storm_queries
from projections.read_models import ReadModels
from tests.storm.generator import FleetGenerator, Size
from tests.storm.operators import Operators
from tests.support.builders import HOUR, MINUTE

pytestmark = pytest.mark.slow

FLEET = Size(jobs=400, days=2)
SEED = 3


class StormNight(FleetGenerator):
    """A generated ledger until a storm is over, and its recovery."""

    def run_through_the_storm(self) -> None:
        self._schedule_all()
        self._operators = Operators(self._chance, self._outages, self._members, self._size.days)
        self._operators.next_at = lambda: None  # type: ignore[method-assign]  # no operator acts
        self._run_until(self._outages.storms[0].interval.ends_at + MINUTE)

    def storm(self, folder: Path) -> StormMembers:
        """The largest storm, as the read models have it."""
        with closing(ReadModels.open(self._ledger, folder / "projections.db")) as read_models:
            read_models.catch_up()
            with read_models._store.reading() as reader:
                found, _ = storm_queries.find(reader, now=self._clock.now())
                largest = max(found, key=lambda storm: storm["job_count"])
                return storm_members.members(reader, largest["id"])

    def recover(self, driver: RecoveryDriver, span: timedelta) -> None:
        """Let time pass while the recovery driver runs."""
        until = self._clock.now() + span
        while self._clock.now() < until:
            self._dispatcher.run_once()
            driver.run_once()
            self._go_to(self._clock.now() + timedelta(seconds=1))

    def starts(self, jobs: set[str], since: datetime) -> Counter[datetime]:
        """How many of these jobs had their first run since an instant, per minute."""
        seen, counts = set[str](), Counter[datetime]()
        for event in self._events("job.run_started"):
            at = parse_rfc3339(event["recorded_at"])
            if event["job_id"] in jobs - seen and at >= since:
                seen.add(event["job_id"])
                counts[at.replace(second=0, microsecond=0)] += 1
        return counts

    def _events(self, *topics: str) -> list[dict[str, Any]]:
        return list(self._ledger.queries.export(AuditQuery(topics=topics)))


def test_a_storm_is_recovered_as_planned_and_its_first_fires_are_spread(tmp_path: Path) -> None:
    night = StormNight(tmp_path, SEED, FLEET)
    night.run_through_the_storm()
    ledger, began = night._ledger, night._clock.now()
    storm = night.storm(tmp_path)
    terms = Terms(rate_per_minute=4)
    forecast = ledger.preview_recovery(storm, terms)
    planned = ledger.start_recovery(storm, terms, reason="the limit is lifted")
    with closing(RecoveryDriver(ledger)) as driver:
        night.recover(driver, 3 * HOUR)

    recovery = ledger.recoveries.one("R-1")

    assert planned["job_count"] == forecast["job_count"] >= 8
    assert recovery["resumed_count"] == planned["job_count"]
    assert recovery["status"] == "completed"
    counts = night.starts({job["job_id"] for job in recovery["jobs"]}, began)
    fires = forecast["fires"]
    assert max(counts.values()) <= fires["first_staggered_peak"] + 1
    assert fires["first_at_once_peak"] >= 2 * max(counts.values())
    steps = [parse_rfc3339(job["step_at"]) for job in recovery["jobs"]]
    gaps = [after - before for before, after in zip(steps, steps[1:], strict=False)]
    assert min(gaps) >= timedelta(seconds=15)
    assert verify_event_store(ledger.event_store).is_sound
    ledger.close()
