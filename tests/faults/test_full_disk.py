"""PostgreSQL on a full disk (D5): commands are answered 507, answered commands stay, readiness
reports it, and the node recovers by itself when there is room again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.demo.waiting import wait_for
from ledger.maintenance.verify import verify_event_store
from tests.api.harness import Api
from tests.contract.stores import own_name
from tests.faults.causes.clients import all_events_of, require_cached_jobs_are_folds
from tests.faults.causes.full_disk import SmallDisk, a_small_disk, may_mount
from tests.faults.causes.shared_nodes import (
    PATIENCE_SECONDS,
    a_node,
    require_everything_goes_on,
    status_of_readiness,
    wait_until_ready,
    wait_until_unready,
)
from tests.support.builders import a_spec
from tests.support.servers.databases import a_database
from tests.support.servers.postgres_server import running_server

PAGES = 6
"""Up to so many pages are left, in turn."""
MOST_ASKED = 500

pytestmark = pytest.mark.skipif(not may_mount(), reason="only root may mount a small disk")


@pytest.fixture(scope="module")
def disk_and_dsn() -> Iterator[tuple[SmallDisk, str]]:
    with running_server() as server, a_small_disk(server, "small") as disk:
        with psycopg.connect(server.tcp_dsn, autocommit=True) as connection:
            connection.execute(b"ALTER ROLE postgres SET default_tablespace = small")
        yield disk, server.tcp_dsn


@pytest.fixture
def disk(disk_and_dsn: tuple[SmallDisk, str]) -> Iterator[SmallDisk]:
    disk = disk_and_dsn[0]
    yield disk
    disk.free()


@pytest.fixture
def node(disk_and_dsn: tuple[SmallDisk, str], tmp_path: Path) -> Iterator[Api]:
    """A node with its tables on the small disk."""
    with a_database(disk_and_dsn[1], own_name()) as dsn, a_node(dsn, tmp_path) as node:
        yield node


def ask_until_full(node: Api, kept: list[str]) -> None:
    """Schedule jobs until one is answered 507; the names of those that were scheduled."""
    for _ in range(MOST_ASKED):
        name = f"job {len(kept)}"
        answer = node.post("/v1/jobs", a_spec(name=name))
        if answer.status_code == 507:
            assert answer.json()["code"] == "storage_full"
            return
        assert answer.status_code == 201, answer.text
        kept.append(name)
    raise AssertionError("the disk was never full")


def ask_until_there_is_room(node: Api, kept: list[str]) -> None:
    """The refused command, repeated until it is accepted."""
    name = f"job {len(kept)}"

    def is_kept() -> bool:
        status = node.post("/v1/jobs", a_spec(name=name)).status_code
        assert status in (201, 503, 507)
        return status == 201

    wait_for("A kept job", is_kept, seconds=PATIENCE_SECONDS)
    kept.append(name)


@pytest.mark.parametrize(
    "limits", [pytest.param(50, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.proof)]
)
def test_a_full_disk_is_reported_as_such_and_loses_nothing(
    node: Api, disk: SmallDisk, limits: int
) -> None:
    kept: list[str] = []
    for limit in range(limits):
        disk.fill(but_pages=limit % PAGES)
        ask_until_full(node, kept)
        disk.free()
        ask_until_there_is_room(node, kept)

    names = [
        event.data["name"] for event in all_events_of(node.ledger) if event.topic == "job.scheduled"
    ]
    print(f"{limits} times full, {len(kept)} jobs kept")
    assert Counter(names) == Counter(kept)
    assert verify_event_store(node.ledger.event_store).is_sound
    require_everything_goes_on(node, "after all")
    require_cached_jobs_are_folds(node.ledger)


@pytest.mark.slow
def test_readiness_reports_a_full_disk_and_its_end(node: Api, disk: SmallDisk) -> None:
    wait_until_ready(node)
    disk.fill()
    ask_until_full(node, [])
    wait_until_unready(node)
    assert status_of_readiness(node) == 503

    disk.free()
    require_everything_goes_on(node, "after")
