"""The fleets of these tests: on both stores, or on SQLite alone where the store decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.recovery_fleet import RecoveryFleet, a_recovery_fleet


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RecoveryFleet]:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        yield fleet


@pytest.fixture(params=["sqlite", "postgres"])
def fleet(request: pytest.FixtureRequest) -> Iterator[RecoveryFleet]:
    if request.param == "sqlite":
        yield request.getfixturevalue("small")
        return
    with a_recovery_fleet(request.getfixturevalue("postgres_harness").address) as fleet:
        yield fleet
