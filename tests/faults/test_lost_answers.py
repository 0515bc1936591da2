"""The connection to the database is cut, stalls, or loses the answers to commits (D4): no answer
turns into a conflict, a retry gets the first answer, and nodes recover by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.harness import Api
from tests.contract.stores import own_name
from tests.faults.causes.clients import all_events_of, require_cached_jobs_are_folds
from tests.faults.causes.proxy import COMMITTED, Proxy
from tests.faults.causes.shared_nodes import (
    RUNNING,
    a_node,
    require_everything_goes_on,
    require_unavailable,
    wait_until_unready,
)
from tests.support.builders import a_spec
from tests.support.servers.databases import a_database

TURNS = [
    pytest.param(nth, 63, marks=pytest.mark.slow, id=f"answer {nth} turn {turn}")
    for nth in (1, 2)
    for turn in range(4)
]
PROOF = pytest.param(1, 5_000, marks=[pytest.mark.proof, pytest.mark.timeout(3600)], id="proof")
"""Which answer is lost, and how often."""
TRIES = 50


@pytest.fixture
def node(proxy: Proxy, postgres_dsns: tuple[str, str], tmp_path: Path) -> Iterator[Api]:
    """A node whose database is behind the proxy."""
    with (
        a_database(postgres_dsns[1], own_name()) as dsn,
        a_node(proxy.leading_to(dsn), tmp_path) as node,
    ):
        yield node


def ask_until_answered(node: Api, name: str) -> str:
    """Schedule a job, repeated with the same key while answered 503; its id."""
    for _ in range(TRIES):
        answer = node.post("/v1/jobs", a_spec(name=name), headers={"Idempotency-Key": name})
        if answer.status_code != 503:
            break
        assert int(answer.headers["Retry-After"]) >= 1
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["job"]["id"]
    return job_id


@pytest.mark.parametrize(("nth", "count"), [*TURNS, PROOF])
def test_a_lost_answer_is_not_a_conflict_and_the_retry_gets_the_first_answer(
    node: Api, proxy: Proxy, nth: int, count: int
) -> None:
    answered: dict[str, str] = {}
    while proxy.dropped_count < count:
        if not proxy.is_armed:
            proxy.drop_nth_answer(nth, holding=COMMITTED)
        name = f"job {len(answered)}"
        answered[name] = ask_until_answered(node, name)
    proxy.drop_nth_answer(0)

    assert {name: ask_until_answered(node, name) for name in answered} == answered
    kept = [
        event.data["name"] for event in all_events_of(node.ledger) if event.topic == "job.scheduled"
    ]
    print(f"{proxy.dropped_count} answers lost, {len(answered)} jobs")
    assert Counter(kept) == Counter(answered.keys())
    require_everything_goes_on(node, "after all")
    require_cached_jobs_are_folds(node.ledger)


@pytest.mark.slow
@pytest.mark.parametrize("stalls", [False, True], ids=["ended", "stalled"])
def test_a_disconnected_node_reports_it_and_recovers_with_the_network(
    node: Api, proxy: Proxy, stalls: bool
) -> None:
    node.ledger.schedule(a_spec(name="running", **RUNNING))
    require_everything_goes_on(node, "before")

    proxy.cut(stalls=stalls)
    wait_until_unready(node)
    if not stalls:
        require_unavailable(node, "meanwhile")
    proxy.heal()

    require_everything_goes_on(node, "after")
    require_cached_jobs_are_folds(node.ledger)
