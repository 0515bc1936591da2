"""The past of many jobs compared with the models built from the events up to each position;
checkpoints are updated and rebuilt alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pytest import raises

from ledger import Ledger
from ledger.errors import Behind
from ledger.store.records import RecordedEvent
from ledger.store.sqlite.folder import READ_MODELS_FILE
from projections.filters.as_of import AsOf
from projections.models import runs
from projections.models.gaps import model as gap_queries
from projections.models.gaps import model as gaps
from projections.models.gaps.model import GapFilter
from projections.models.jobs import model as jobs
from projections.models.jobs import queries as job_queries
from projections.models.jobs.checkpoints import JobCheckpoints
from projections.models.jobs.queries import JobFilter
from projections.models.resumes import model as resumes
from projections.models.resumes import queries as resume_queries
from projections.models.resumes.queries import ResumeFilter
from projections.models.storms import model as storms
from projections.models.storms import queries as storm_queries
from projections.read_models import ReadModels
from projections.stores.sqlite import SQLiteRowReader
from projections.time_travel import read_models as past
from projections.time_travel.read_models import Part
from tests.storm.generator import FleetGenerator, Size
from tests.support.typed_commands import Shell

SEED = 11
EVERY = 700
MODELS = (jobs, runs, storms, resumes, gaps)
PARTS: tuple[Part, ...] = ("jobs", "runs", "storms", "resumes", "gaps")
FILTERS = (
    JobFilter(limit=1000),
    JobFilter(status="failed"),
    JobFilter(status="paused"),
    JobFilter(failure_class="rate_limited"),
    JobFilter(q="1", limit=5),
    JobFilter(limit=4, cursor="40", is_newest_first=True),
)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Size(jobs=24, days=1), id="a day"),
        pytest.param(Size(jobs=40, days=2), marks=pytest.mark.slow, id="two days"),
    ],
)
def ledger(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ledger]:
    """Some jobs with storms, a gap in dispatch and operators."""
    folder = tmp_path_factory.mktemp("fleet")
    FleetGenerator(folder, SEED, request.param).generate()
    with Ledger.open_read_only(folder / "data") as opened:
        yield opened


@pytest.fixture
def read_models(ledger: Ledger, tmp_path: Path) -> Iterator[ReadModels]:
    models = (JobCheckpoints(EVERY), *MODELS[1:])
    opened = ReadModels.open(ledger, tmp_path / "read_models.db", models=models)
    opened.catch_up()
    yield opened
    opened.close()


def all_events(ledger: Ledger) -> Iterator[RecordedEvent]:
    after = 0
    while page := ledger.event_store.read(after=after, limit=2000):
        yield from ledger.mapper.to_recorded_events(page)
        after = page[-1].id


def results(reader: Any, as_of: AsOf) -> list[Any]:
    """The results of every query."""
    page, _ = storm_queries.find(reader, now=as_of.at, limit=1000)
    return [
        *(job_queries.find(reader, filters) for filters in FILTERS),
        job_queries.summary(reader),
        runs.recent_failures(reader),
        page,
        *(storm_queries.one(reader, storm["id"], now=as_of.at) for storm in page),
        resume_queries.find(reader, ResumeFilter(limit=1000)),
        resume_queries.rates(reader, ResumeFilter()),
        gap_queries.find(reader, GapFilter(limit=1000)),
        gap_queries.find(reader, GapFilter(tag="team:billing", limit=1000)),
    ]


def test_the_past_equals_the_models_built_up_to_the_position(
    ledger: Ledger, read_models: ReadModels
) -> None:
    end = ledger.event_store.tail_position()
    random = Random(SEED)
    chosen = {random.randrange(1, end) for _ in range(25)}
    trips = [event.position for event in all_events(ledger) if event.topic == "job.circuit_tripped"]
    chosen |= {position - 1 for position in trips[:10]}
    chosen |= {EVERY - 1, EVERY, EVERY + 1, 3 * EVERY, end}
    memory = sqlite3.connect(":memory:", isolation_level=None)
    for model in MODELS:
        memory.executescript(model.SCHEMA.replace("{g}", ""))
    storm_counts = set()

    for event in all_events(ledger):
        for model in MODELS:
            for sql, values in model.project(event):
                memory.execute(sql.replace("{g}", ""), values)
        if event.position in chosen:
            as_of = AsOf(event.position, ledger.events.recorded_at(event.position))
            with read_models.reading(as_of, *PARTS) as reader:
                found = results(reader, as_of)
            expected = results(SQLiteRowReader(memory), as_of)
            assert found == expected, f"seed {SEED}, position {event.position}"
            storm_counts.add(len(expected[len(FILTERS) + 2]))

    memory.close()
    assert end > 3 * EVERY
    assert len(storm_counts) > 1, "the storms never changed"


def test_rebuilt_checkpoints_equal_the_updated_ones(read_models: ReadModels) -> None:
    for name in ("jobs", "storms"):
        updated, rebuilt = read_models.rebuild(name, lambda *_: None)
        assert updated == rebuilt

    with read_models.reading() as reader:
        for table in ("past_jobs", "past_definitions", "past_storm_members"):
            assert reader.row(f"SELECT * FROM {table}") is not None, table


def test_a_position_too_far_from_the_read_models_is_behind(
    ledger: Ledger, read_models: ReadModels
) -> None:
    historical = past.HistoricalModels(
        ledger.events, read_models._store, JobCheckpoints(EVERY), lambda _: EVERY
    )
    with historical.at(3 * EVERY, "jobs"):
        pass

    with raises(Behind), historical.at(past.LONGEST_TAIL + 2 * EVERY, "jobs"):
        pass
    with raises(Behind), historical.at(2 * EVERY, "jobs", "storms"):
        pass


def test_the_command_line_shows_the_past(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.schedule("first")
    shell.schedule("second")
    shell.ok("delete", "first", "--yes")
    made, _ = shell.ok("audit", "--json", "--topic", "job.scheduled").document["events"]

    listed = shell.ok("list", "--as-of", str(made["position"])).out

    assert "first" not in shell.ok("list").out
    assert "first" in listed
    assert "second" not in listed
    assert f"As of position {made['position']}" in listed
    assert made["job_id"] in shell.ok("show", "first", "--as-of", made["recorded_at"]).out
    assert "1: 1 active, 0 paused" in shell.ok("summary", "--as-of", str(made["position"])).out
    assert "Jobs 1: 1 active" in " ".join(shell.ok("summary").out.split())
    assert shell.type("storm", "show", "S-1", "--as-of", "3").code == 3
    for unknown in ("99999", "9" * 30, "2999-01-01T00:00:00Z", "yesterday"):
        assert shell.type("list", "--as-of", unknown).code in (1, 2), unknown


def test_queries_without_read_models_rebuild_them(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.schedule("report")
    (shell.data / READ_MODELS_FILE).unlink()

    assert "report" in shell.ok("audit", "--topic", "job.scheduled").out
    assert "report" in shell.ok("list").out
    (shell.data / READ_MODELS_FILE).unlink()
    assert "report" in shell.ok("list").out


def test_the_command_line_shows_what_changed_and_by_whom(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    kept = shell.schedule("kept")
    shell.schedule("gone")
    position = str(len(shell.ok("audit", "--json").document["events"]))
    shell.ok("pause", "kept", "--reason", "too loud")
    shell.ok("amend", "kept", "--task", "hum")
    shell.ok("delete", "gone", "--yes")
    shell.schedule("new")

    shown = shell.ok("diff", "--from", position).out
    document = shell.ok("diff", "--from", position, "--json").document

    assert "active → paused; paused; reason: too loud" in shown
    assert [(job["job_name"], job["change"]) for job in document["jobs"]] == [
        ("kept", "changed"),
        ("gone", "deleted"),
        ("new", "made"),
    ]
    assert document["jobs"][0]["job_id"] == kept["id"]
    assert "No lasting changes." in shell.ok("diff", "--from", position, "--to", position).out
    assert shell.type("diff", "--from", "9999").code == 1
    assert shell.type("diff", "--from", "soon").code == 2
    assert shell.type("diff").code == 2
