"""Force-resumes and gaps on both databases, over seeded histories: as the raw events have it, and
the same again after a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.clock import parse_rfc3339
from ledger.store.audit_query import AuditQuery
from projections.engine import runner
from projections.engine.runner import Runner
from projections.models.gaps import model as gap_questions
from projections.models.gaps import model as gaps
from projections.models.gaps.model import GapFilter
from projections.models.jobs import model as jobs
from projections.models.resumes import model as resumes
from projections.models.resumes import queries as resume_questions
from projections.models.resumes.queries import ResumeFilter
from projections.stores.store import ReadModelStore
from tests.oracles import resumes as resume_oracle
from tests.simulation import invariants as laws
from tests.simulation.simulation import Simulation

STEPS = 1200
SEED = 31


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    simulation = Simulation(tmp_path_factory.mktemp("simulation"), SEED)
    for _ in range(STEPS):
        simulation.step()
    yield simulation
    simulation.close()


def grown(simulation: Simulation, store: ReadModelStore) -> Runner:
    kept = Runner(simulation.ledger.events, store, (jobs, resumes, gaps))
    while kept.run_once():
        pass
    return kept


def expected(simulation: Simulation, name: str) -> list[dict[str, Any]]:
    """What the oracle finds in every history, the newest first."""
    of = getattr(resume_oracle, name)
    found = [one for events in laws.histories(simulation.ledger).values() for one in of(events)]
    return sorted(found, key=lambda one: -one["position"])


def shown_resumes(store: ReadModelStore, **asked: Any) -> list[dict[str, Any]]:
    with store.reading() as questions:
        return resume_questions.find(questions, ResumeFilter(**{"limit": 1000, **asked}))[0]


def shown_gaps(store: ReadModelStore, **asked: Any) -> list[dict[str, Any]]:
    with store.reading() as questions:
        return gap_questions.find(questions, GapFilter(**{"limit": 1000, **asked}))[0]


@pytest.mark.parametrize("page", [1, 7, 2000])
def test_pages_and_rebuilding_make_no_difference(
    simulation: Simulation, store: ReadModelStore, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(runner, "PAGE", page)
    kept = grown(simulation, store)

    for model in (resumes, gaps):
        before, after = kept.rebuild(model, lambda *_: None)
        assert before == after


def test_every_force_resume_is_scored_as_the_raw_events_have_it(
    simulation: Simulation, store: ReadModelStore
) -> None:
    grown(simulation, store)

    shown = shown_resumes(store)

    wanted = expected(simulation, "resumes_of")
    assert [{key: one[key] for key in wanted[0]} for one in shown] == wanted
    assert len({one["outcome"] for one in shown}) >= 4, f"seed {SEED}"
    assert max(one["trip_count"] for one in shown) > 1, f"seed {SEED}"
    probes = {event["topic"] for event in simulation.ledger.queries.export(AuditQuery())}
    assert {"job.circuit_half_opened", "job.circuit_closed"} <= probes, f"seed {SEED}"


def test_filters_narrow_and_pages_follow_each_other(
    simulation: Simulation, store: ReadModelStore
) -> None:
    grown(simulation, store)
    whole = shown_resumes(store)
    middle = parse_rfc3339(whole[len(whole) // 2]["recorded_at"])

    assert shown_resumes(store, outcome="held") == [o for o in whole if o["outcome"] == "held"]
    one = whole[0]
    assert shown_resumes(store, job=one["job_id"]) == [
        other for other in whole if other["job_id"] == one["job_id"]
    ]
    since, until = shown_resumes(store, since=middle), shown_resumes(store, until=middle)
    assert {o["position"] for o in since} | {o["position"] for o in until} == {
        o["position"] for o in whole
    }
    with store.reading() as questions:
        page, cursor = resume_questions.find(questions, ResumeFilter(limit=3))
        rest, _ = resume_questions.find(questions, ResumeFilter(limit=1000, cursor=cursor))
    assert page + rest == whole


def test_the_rates_are_counted_from_the_same_rows(
    simulation: Simulation, store: ReadModelStore
) -> None:
    grown(simulation, store)
    whole = shown_resumes(store)
    middle = parse_rfc3339(whole[len(whole) // 2]["recorded_at"])

    for narrow in ({}, {"since": middle}, {"until": middle}, {"job": whole[0]["job_id"]}):
        with store.reading() as questions:
            rates = resume_questions.rates(questions, ResumeFilter(outcome="open", **narrow))
        meant = shown_resumes(store, **narrow)

        assert rates["all"] == resume_oracle.rates_of(meant), narrow
        for part in rates["by_failure_class"]:
            of_class = [o for o in meant if o["failure_class"] == part["failure_class"]]
            assert rates_of(part) == resume_oracle.rates_of(of_class), narrow
        for part in rates["by_actor"]:
            of_actor = [o for o in meant if o["actor"]["id"] == part["actor"]]
            assert rates_of(part) == resume_oracle.rates_of(of_actor), narrow
        assert {p["failure_class"] for p in rates["by_failure_class"]} == {
            one["failure_class"] for one in meant
        }
    assert len(meant) < len(whole)


def rates_of(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the rates, without its key."""
    return {key: part[key] for key in ("count", "decided_count", "held_count", "rate")}


def test_every_missed_slot_is_a_gap_with_its_cause(
    simulation: Simulation, store: ReadModelStore
) -> None:
    grown(simulation, store)

    shown = shown_gaps(store)

    wanted = expected(simulation, "gaps_of")
    assert [{key: one[key] for key in wanted[0]} for one in shown] == wanted
    assert {one["cause"] for one in shown} >= {"paused", "failed", "overlap", "downtime"}


def test_gaps_are_found_by_cause_and_by_the_time_they_reach_into(
    simulation: Simulation, store: ReadModelStore
) -> None:
    grown(simulation, store)
    whole = shown_gaps(store)
    at = parse_rfc3339(whole[len(whole) // 2]["first"])

    around = shown_gaps(store, since=at, until=at)

    assert around == [
        one for one in whole if parse_rfc3339(one["first"]) <= at <= parse_rfc3339(one["last"])
    ]
    assert around
    paused = shown_gaps(store, cause="paused")
    assert paused == [one for one in whole if one["cause"] == "paused"]
