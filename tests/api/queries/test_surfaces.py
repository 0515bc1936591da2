"""Every question about a random history, asked of the library, over HTTP and on the command line,
on both databases: one answer, and the one that the raw events give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ledger import AuditQuery
from ledger.clock import from_microseconds, microseconds
from projections import GapFilter, JobFilter, Queries, ResumeFilter
from tests.api.conftest import FRAMED, STORES, settings_of
from tests.api.harness import Api, serving
from tests.api.queries.surfaces import Document, Library, Question, Surfaces
from tests.oracles import storms as storm_oracle
from tests.support import raw_events as raw
from tests.support.builders import SeededChance
from tests.support.lives import FLEET, Life
from tests.support.raw_events import SOONER, Compared, Past

SEED, STEPS = 5, 300


@dataclass(frozen=True)
class History:
    """What was recorded of some jobs until now and until then, and where to ask about them."""

    surfaces: Surfaces
    now: Past
    then: Past


@pytest.fixture(scope="module", params=STORES)
def history(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("history")
    with settings_of(request, "sqlite") as settings, serving(folder, FRAMED, **settings) as api:
        api.ledger.chance = SeededChance(SEED)
        life = Life(api.ledger, SEED, FLEET)
        for step in range(STEPS):
            life.step()
            if step == STEPS // 3:
                api.post("/v1/recoveries", {"selector": {"job_ids": [api.failed_job()]}})
        yield recorded(api, str(life.ids[0]), settings.get("dsn"))


def recorded(api: Api, job_id: str, dsn: str | None) -> History:
    """Then: the first event of the job, after half of them, at which a storm is open."""
    store = api.ledger.event_store
    events = api.ledger.mapper.to_recorded_events(store.read(after=0, limit=10_000))
    exported = list(api.ledger.queries.export(AuditQuery()))
    own = [one["position"] for one in exported if one["job_id"] == job_id]
    for end in own[len(own) // 2 :]:
        past, at = events[:end], from_microseconds(events[end - 1].recorded_at)
        newest = storm_oracle.storms_of(past)[-1]
        if storm_oracle.is_open(newest, past, microseconds(at)):
            break
    ids = {"job": job_id, "storm": newest.id, "end": str(len(events))}
    then = Past(past, exported[:end], at, ids)
    now = Past(events, exported, api.clock.now(), ids)
    return History(Surfaces(api, ids, dsn), now, then)


def of_all(query: Library, *filters: Any, **more: Any) -> Library:
    """A question about the fleet."""
    return lambda queries, _, **at: query(queries, *filters, **more, **at)


def of_one(query: Library, name: str, **more: Any) -> Library:
    """A question about the job or storm of that name."""
    return lambda queries, ids, **at: query(queries, ids[name], **more, **at)


FAILURES = AuditQuery(topics=("job.run_failed",))
TABLE: dict[str, tuple[Question, Callable[[Document, Past], Compared] | None]] = {
    "a job": (Question("/v1/jobs/{job}", "show {job}", of_one(Queries.job, "job")), raw.of_a_job),
    "active jobs": (
        Question(
            "/v1/jobs?status=active", "list --status active",
            of_all(Queries.jobs, JobFilter("active")),
        ),
        raw.of_active_jobs,
    ),
    "summary": (Question("/v1/summary", "summary", of_all(Queries.summary)), raw.of_a_summary),
    "seven events": (
        Question(
            "/v1/jobs/{job}/events?limit=7&order=desc", "history {job} --newest --limit 7",
            of_one(Queries.history, "job", limit=7, is_newest_first=True),
        ),
        raw.of_seven_events,
    ),
    "two runs": (
        Question(
            "/v1/jobs/{job}/runs?limit=2", "runs {job} --limit 2",
            of_one(Queries.runs, "job", limit=2),
        ),
        raw.of_two_runs,
    ),
    "audit": (
        Question(
            "/v1/events?topic=job.run_failed", "audit --topic job.run_failed",
            of_all(Queries.audit, FAILURES), at=None,
        ),
        raw.of_failures,
    ),
    "blame": (
        Question("/v1/jobs/{job}/blame", "blame {job}", of_one(Queries.blame, "job")),
        raw.of_blame,
    ),
    "why": (
        Question("/v1/jobs/{job}/why", "why {job}", of_one(Queries.why, "job"), at="at"),
        raw.of_why,
    ),
    "storms": (Question("/v1/storms", "storm list", of_all(Queries.storms)), raw.of_storms),
    "open storms": (
        Question(
            "/v1/storms?open=true", "storm list --open", of_all(Queries.storms, only_open=True)
        ),
        raw.of_open_storms,
    ),
    "a storm": (
        Question("/v1/storms/{storm}", "storm show {storm}", of_one(Queries.storm, "storm")),
        raw.of_a_storm,
    ),
    "resumes": (Question("/v1/resumes", "resumes", of_all(Queries.resumes)), raw.of_resumes),
    "held resumes": (
        Question(
            "/v1/resumes?outcome=held", "resumes --outcome held",
            of_all(Queries.resumes, ResumeFilter(outcome="held")),
        ),
        raw.of_held_resumes,
    ),
    "gaps": (
        Question(
            "/v1/gaps?cause=failed", "gaps --cause failed",
            of_all(Queries.gaps, GapFilter(cause="failed")),
        ),
        raw.of_gaps,
    ),
    "open gaps": (
        Question(
            "/v1/gaps?limit=1000", "gaps --limit 1000",
            of_all(Queries.gaps, GapFilter(limit=1000)),
        ),
        raw.of_open_gaps,
    ),
    "recoveries": (
        Question("/v1/recoveries", "recovery list", of_all(Queries.recoveries)),
        raw.of_recoveries,
    ),
    "a recovery": (
        Question("/v1/recoveries/R-1", "recovery show R-1", of_all(Queries.recovery, "R-1")),
        None,
    ),
    "what if": (
        Question(
            "/v1/what-if", "what-if --trip-after 2",
            lambda queries, _, **at: queries.what_if(SOONER, **at).page(), at="until",
            body={"policy": SOONER},
        ),
        raw.of_what_if,
    ),
    "diff": (
        Question(
            "/v1/diff?to={end}", "diff --to {end}",
            lambda queries, ids, **at: queries.diff(at["from"], int(ids["end"])), at="from",
        ),
        None,
    ),
}  # fmt: skip
"""Questions, and their oracles; of the last ones see test_recovery_shown and test_diff."""
NOW = [name for name in TABLE if name not in ("open storms", "diff")]


@pytest.mark.parametrize(
    ("surface", "is_past", "name"),
    [
        *(("library", False, name) for name in NOW),
        *((one, True, name) for one in ("library", "http", "command_line") for name in TABLE),
    ],
)
def test_every_surface_answers_alike_and_as_the_raw_events_say(
    history: History, surface: str, is_past: bool, name: str
) -> None:
    question, oracle = TABLE[name]
    position = len(history.then.events) if is_past else None

    answer = history.surfaces.ask(surface, question, position)

    assert answer == history.surfaces.ask("http", question, position)
    if oracle is not None:
        past = history.then if is_past and question.at else history.now
        found, wanted = oracle(answer, past)
        assert wanted
        assert found == wanted
