"""A fork is a ledger of its own, contains nothing that redaction removes, and lets a storm
recur.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from ledger import Dispatcher, Ledger
from ledger.application.commands.runs import Claimed
from ledger.clock import microseconds, parse_rfc3339
from ledger.dispatch.executors.outcomes import Outcome
from ledger.dispatch.executors.recorded import outcome_of
from ledger.domain.job.outcomes import Failure
from ledger.errors import InvalidField, StartRefused
from ledger.maintenance.backup import reading
from ledger.maintenance.fork import Fork, fork
from ledger.maintenance.fork_outcomes import RecordedRun, RecordedRuns, store_runs
from ledger.maintenance.verify import verify_event_store
from ledger.store.sqlite.folder import EVENT_STORE_FILE
from projections.models.storms import queries as storm_questions
from projections.read_models import ReadModels
from tests.storm.generator import FleetGenerator, Size
from tests.support.builders import HOUR, NOON, ManualClock, open_ledger
from tests.support.fake_pool import TimedPool
from tests.support.typed_commands import Shell, tripped_job

SEED, SMALL = 3, Size(jobs=24, days=2)
DATA = "data"
BEFORE = timedelta(minutes=5)
TICK = timedelta(seconds=10)


@dataclass(frozen=True)
class Source:
    """A recorded fleet, as stored."""

    folder: Path
    planted: dict[str, Any]

    @property
    def file(self) -> Path:
        return self.folder / DATA / EVENT_STORE_FILE

    @property
    def storm(self) -> dict[str, Any]:
        one: dict[str, Any] = self.planted["storms"][0]
        return one

    def fork(self, out: Path, *, until: int, is_redacted: bool = True) -> Fork:
        with reading(self.file) as source:
            return fork(source, out, until=until, is_redacted=is_redacted, progress=lambda *_: None)

    def position_before(self) -> int:
        """The last position before the storm."""
        begins_at = microseconds(parse_rfc3339(self.storm["begins_at"]) - BEFORE)
        with reading(self.file) as event_store:
            return event_store.position_at(begins_at)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("source")
    return Source(folder, FleetGenerator(folder, SEED, SMALL).generate())


@pytest.mark.slow
def test_a_fork_has_the_same_events_at_the_same_positions_and_a_chain_of_its_own(
    source: Source, tmp_path: Path
) -> None:
    until = source.position_before()

    made = source.fork(tmp_path / "fork.db", until=until)

    with reading(made.file) as forked, reading(source.file) as event_store:
        verdict = verify_event_store(forked, lambda *_: None)
        assert verdict.is_sound
        assert verdict.verified == until == made.position
        assert forked.ledger_id == made.ledger_id != event_store.ledger_id
        same = attrgetter("position", "stream", "version", "topic", "recorded_at", "actor", "kind")
        for ours, theirs in zip(forked.rows(after=0), event_store.rows(after=0), strict=False):
            assert same(ours) == same(theirs)


@pytest.mark.slow
def test_a_redacted_fork_contains_no_tasks_outputs_errors_or_reasons(
    source: Source, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(source.file)) as event_store:
        words = {body for (body,) in event_store.execute("SELECT DISTINCT body FROM texts")}
    assert len(words) > 10

    whole = source.fork(tmp_path / "whole.db", until=source.position_before(), is_redacted=False)
    redacted = source.fork(tmp_path / "fork.db", until=source.position_before())

    assert any(word in whole.file.read_bytes() for word in words)
    content = redacted.file.read_bytes()
    assert not [word for word in words if word in content]
    assert b"Too Many Requests" not in content
    assert redacted.file.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.parametrize("is_redacted", [True, False])
def test_a_storm_recurs_in_simulated_time(
    source: Source, tmp_path: Path, is_redacted: bool
) -> None:
    until = source.position_before()
    made = source.fork(tmp_path / "fork.db", until=until, is_redacted=is_redacted)
    (tmp_path / DATA).mkdir(mode=0o700)
    shutil.copyfile(made.file, tmp_path / DATA / EVENT_STORE_FILE)
    (tmp_path / DATA / EVENT_STORE_FILE).chmod(0o600)
    clock = ManualClock(parse_rfc3339(source.storm["begins_at"]) - BEFORE)
    with closing(sqlite3.connect(made.file)) as recorded, open_ledger(tmp_path, clock) as ledger:
        runs = RecordedRuns(recorded)
        work = TimedPool(clock, lambda claimed: as_recorded(runs, claimed, clock.now()))
        dispatcher = Dispatcher(ledger, work)
        end = parse_rfc3339(source.storm["ends_at"])
        while clock.now() < end:
            dispatcher.run_once()
            clock.advance(TICK)

        again = storms_of(ledger, tmp_path)
    with open_ledger(source.folder, clock) as ledger:
        once = storms_of(ledger, source.folder)

    [found] = [storm for storm in again if storm["failure_class"] == "rate_limited"]
    original = once[0]
    assert found["job_count"] == original["job_count"] == len(source.storm["jobs"])
    assert (found["signature"] == original["signature"]) is not is_redacted
    assert found["trip_count"] >= 1


def as_recorded(runs: RecordedRuns, claimed: Claimed, now: datetime) -> tuple[timedelta, Outcome]:
    """The duration of the recorded run that is like this one, and its outcome."""
    run = claimed.run
    like = runs.like(claimed.job_id, scheduled_for=run.scheduled_for, attempt=run.attempt, at=now)
    took = timedelta(milliseconds=like.duration_ms if like is not None else 0)
    return took, outcome_of(like, now)


def storms_of(ledger: Ledger, folder: Path) -> list[dict[str, Any]]:
    """All storms, oldest first."""
    read_models = ReadModels.open(ledger, folder / "projections.db")
    read_models.catch_up()
    with read_models.reading() as questions:
        found, _ = storm_questions.find(questions, now=ledger.clock.now())
    read_models.close()
    return found[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("until", [0, 10**9])
def test_a_position_beyond_the_ledger_is_refused(
    source: Source, tmp_path: Path, until: int
) -> None:
    with pytest.raises(InvalidField, match="until: must be one of the positions 1 to"):
        source.fork(tmp_path / "fork.db", until=until)

    assert not (tmp_path / "fork.db").exists()


@pytest.mark.slow
def test_an_existing_file_is_never_overwritten(source: Source, tmp_path: Path) -> None:
    (tmp_path / "fork.db").write_text("mine")

    with pytest.raises(StartRefused, match="exists already"):
        source.fork(tmp_path / "fork.db", until=1)

    assert (tmp_path / "fork.db").read_text() == "mine"


def test_the_command_line_forks_up_to_an_instant(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    tripped_job(shell.data, "digest", task="confidential words")

    typed = shell.ok("fork", "--redact", "--out", str(tmp_path / "fork.db"), "--json")
    told = shell.ok("fork", "--until", "2", "--out", str(tmp_path / "early.db"))

    assert typed.document["redacted"] is True
    assert b"confidential" not in (tmp_path / "fork.db").read_bytes()
    assert "2 events" in told.out
    assert shell.type("fork", "--until", "0", "--out", str(tmp_path / "no.db")).code == 1
    for until in ("9h9", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"):
        assert shell.type("fork", "--until", until, "--out", str(tmp_path / "no.db")).code == 2
    assert shell.type("fork", "--out", "").code == 2
    assert shell.type("serve", "--sandbox", str(tmp_path / "nowhere.db")).code == 2
    assert shell.type("serve", "--sandbox", str(shell.data / EVENT_STORE_FILE)).code == 2


def test_after_the_last_recorded_run_a_job_repeats_its_outcome(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    job_id = UUID(tripped_job(shell.data))
    shell.ok("fork", "--out", str(tmp_path / "fork.db"))

    with closing(sqlite3.connect(tmp_path / "fork.db")) as recorded:
        later = datetime.now(UTC)
        run = RecordedRuns(recorded).like(job_id, scheduled_for=later, attempt=1, at=later)

    assert run is not None
    assert run.status == "failed"
    assert outcome_of(run, later) != outcome_of(None, later)


def test_a_fork_includes_all_events_of_its_last_command(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    job_id = tripped_job(shell.data)
    events = shell.ok("history", job_id, "--json").document["events"]
    failed, tripped = events[-2:]
    assert (failed["topic"], tripped["topic"]) == ("job.run_failed", "job.circuit_tripped")

    shell.ok("fork", "--until", str(failed["position"]), "--out", str(tmp_path / "fork.db"))

    with reading(tmp_path / "fork.db") as event_store:
        assert event_store.tail_position() == tripped["position"]


def test_the_outcome_of_a_run_that_was_open_at_the_fork_is_known(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    job_id = UUID(tripped_job(shell.data))
    with reading(shell.data / EVENT_STORE_FILE) as event_store:
        started = next(row for row in event_store.rows(after=0) if row.topic == "job.run_started")
    shell.ok("fork", "--until", str(started.position), "--out", str(tmp_path / "fork.db"))

    with closing(sqlite3.connect(tmp_path / "fork.db")) as recorded:
        state = orjson.loads(started.state)
        slot = parse_rfc3339(state["scheduled_for"])
        run = RecordedRuns(recorded).like(job_id, scheduled_for=slot, attempt=1, at=slot)

    assert run is not None
    assert (run.scheduled_for, run.status) == (slot, "failed")


def test_a_fork_records_its_origin_and_position(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    tripped_job(shell.data)

    shell.ok("fork", "--until", "5", "--redact", "--out", str(tmp_path / "fork.db"))

    with closing(sqlite3.connect(tmp_path / "fork.db")) as forked:
        [said] = forked.execute("SELECT value FROM meta WHERE key = 'forked_from'").fetchone()
    with reading(shell.data / EVENT_STORE_FILE) as event_store:
        whose = str(event_store.ledger_id)
    assert orjson.loads(said) == {"ledger_id": whose, "position": 5, "redacted": True}


@pytest.mark.parametrize(
    ("minutes", "expected"), [(-90, "early"), (-31, "early"), (-29, "late"), (29, "late")]
)
def test_a_run_at_another_time_ends_as_the_nearest_recorded_one(
    minutes: int, expected: str
) -> None:
    job_id, at = UUID(int=7), NOON + timedelta(minutes=minutes)
    early, late = (recorded(job_id, NOON - HOUR, "early"), recorded(job_id, NOON, "late"))
    with closing(sqlite3.connect(":memory:")) as connection:
        store_runs(connection, [early, late])

        like = RecordedRuns(connection).like(job_id, scheduled_for=at, attempt=1, at=at)

    assert like is not None
    assert like.error_text == expected


def recorded(job_id: UUID, at: datetime, error: str) -> RecordedRun:
    signature = "rate_limited api.example.com 429"
    return RecordedRun(job_id, at, at, 1, "failed", 7, "rate_limited", signature, error, 90.0)


def test_a_replayed_failure_asks_for_the_same_retry_delay() -> None:
    outcome = outcome_of(recorded(UUID(int=7), NOON - HOUR, "429"), NOON)

    assert isinstance(outcome, Failure)
    assert outcome.retry_after == NOON + timedelta(seconds=90)
    assert (outcome.target, outcome.failure_class) == ("api.example.com", "rate_limited")


def test_a_job_for_workers_needs_no_worker_in_a_sandbox(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.ok("schedule", "crawl", "--every", "5m", "--queue", "crawlers")

    shell.ok("fork", "--out", str(tmp_path / "fork.db"))

    with reading(tmp_path / "fork.db") as event_store:
        states = b"".join(row.state for row in event_store.rows(after=0))
    assert b'"worker"' not in states
    assert b'"recorded"' in states
