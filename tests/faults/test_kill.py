"""kill -9 under load (D1, D2, X1-X5, P4): every answered command is stored."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import orjson
import pytest

from ledger import Ledger
from ledger.dispatch.dispatcher import Dispatcher
from ledger.store.audit_query import AuditQuery
from projections.read_models import ReadModels
from tests.faults.causes.killed_process import THREADS, Work
from tests.simulation import invariants as laws

ROOT = Path(__file__).parents[2]
WHOLE = {
    "schedule": (["job.scheduled", "name.reserved"], ["job.amended"]),
    "delete": (["job.deleted", "name.released"],),
    "amend": (["job.amended"],),
    "pause": (["job.paused"],),
    "resume": (["job.resumed"], ["job.force_resumed"]),
    "run": (["job.run_requested"],),
}
"""What each kind of command may have appended, whole. At the limit of jobs it amends instead of
adding.
"""


@dataclass
class Reported:
    """What all killed processes together reported before they died."""

    kinds: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    launched: list[str] = field(default_factory=list)

    def hear(self, line: dict[str, Any]) -> None:
        match line["what"]:
            case "tried":
                self.kinds[line["command_id"]] = line["kind"]
            case "answered":
                self.answers[line["command_id"]] = line
            case "refused":
                self.refused.add(line["command_id"])
            case "launched":
                self.launched.append(line["run_id"])


@dataclass(frozen=True)
class Death:
    """When a process is killed: at its `count`th line that says `what`, or at any `count`th line.

    Counted, not timed: a slow machine takes longer and proves as much.
    """

    what: str | None
    count: int

    @classmethod
    def drawn(cls, chance: Random) -> Death:
        if chance.random() < 0.25:
            return cls("launched", chance.randrange(1, 9))
        return cls(None, chance.choice((1, 2, chance.randrange(3, 60), chance.randrange(60, 4000))))

    def counts(self, line: dict[str, Any]) -> bool:
        return self.what is None or line["what"] == self.what


def run_until_killed(folder: Path, seed: str, death: Death, reports: Reported) -> None:
    """Read a process's lines until its death, and the rest of its output."""
    command = [sys.executable, "-m", "tests.faults.causes.killed_process", str(folder), seed]
    left = death.count
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        for line in map(json.loads, victim.stdout):
            reports.hear(line)
            left -= death.counts(line)
            if left == 0:
                victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL, "it died of something else"


def check(folder: Path, reports: Reported) -> None:
    """Open what was left behind, reap lost runs, and compare it with what was reported."""
    with Ledger.open(folder) as ledger:
        left_open = dict(ledger.job_cache.runs.open_runs())
        dispatcher = Dispatcher(ledger, Work(Random(0)), concurrency=0)

        dispatcher.run_once()

        assert ledger.job_cache.runs.open_runs() == []
        by_job = laws.histories(ledger)
        check_answers(ledger, reports)
        check_wholeness(ledger, reports)
        check_runs(by_job, {run.run_id for run in left_open.values()}, reports)
        laws.check_event_store(ledger)
        read_models = ReadModels.open(ledger, folder / "projections.db")
        laws.check_read_models(ledger, read_models, [UUID(job_id) for job_id in by_job])
        read_models.close()


def check_answers(ledger: Ledger, reports: Reported) -> None:
    """D1: every answer is stored, at the position it named; an answer without a change left
    nothing.
    """
    for command_id, answer in reports.answers.items():
        if not answer["changed"]:
            continue
        kept = ledger.event_store.command_at(UUID(answer["job_id"]), answer["version"])
        [last] = ledger.event_store.read(after=answer["position"] - 1, limit=1)
        assert kept is not None, answer
        assert orjson.loads(kept)["command_id"] == command_id
        assert orjson.loads(last.state)["command_id"] == command_id


def check_wholeness(ledger: Ledger, reports: Reported) -> None:
    """D2: whole or absent, only what was tried, and nothing of what was refused or changed
    nothing.
    """
    batches: dict[str, list[str]] = defaultdict(list)
    for event in ledger.queries.export(AuditQuery(source="library")):
        batches[event["command_id"]].append(event["topic"])
    for command_id, topics in batches.items():
        assert topics in WHOLE[reports.kinds[command_id]]
        assert command_id not in reports.refused
        assert reports.answers.get(command_id, {"changed": True})["changed"]


def check_runs(
    by_job: dict[str, list[dict[str, Any]]], left_open: set[str], reports: Reported
) -> None:
    """X1-X5: invariants of each history; open runs are lost once; executed runs are recorded."""
    started: set[str] = set()
    lost: list[str] = []
    for events in by_job.values():
        laws.check_history(events)
        started |= {e["data"]["run_id"] for e in events if e["topic"] == "job.run_started"}
        ends = [event["data"] for event in events if event["topic"] == "job.run_lost"]
        assert {data["cause"] for data in ends} <= {"owner_restarted"}
        lost += [data["run_id"] for data in ends]
    assert len(lost) == len(set(lost))
    assert left_open <= set(lost)
    assert len(reports.launched) == len(set(reports.launched))
    assert set(reports.launched) <= started


def kill_again_and_again(tmp_path: Path, kills: int, seed: int) -> Reported:
    print(f"seed {seed}, {kills} kills")
    chance, reports = Random(seed), Reported()
    deaths = [Death.drawn(chance) for _ in range(kills)]
    for number, death in enumerate(deaths):
        run_until_killed(tmp_path / "data", f"{seed}/{number}", death, reports)
        check(tmp_path / "data", reports)
    assert len(reports.launched) >= sum(d.count for d in deaths if d.what == "launched")
    assert len(reports.answers) + len(reports.refused) >= len(reports.kinds) - THREADS * kills
    return reports


@pytest.mark.slow
@pytest.mark.parametrize("seed", [5, 8])
def test_no_answered_command_is_lost_when_the_process_is_killed(tmp_path: Path, seed: int) -> None:
    reports = kill_again_and_again(tmp_path, 12, seed)

    assert len(reports.answers) > 500
    assert len(reports.launched) > 10


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(30))
def test_no_answered_command_is_lost_in_many_kills(tmp_path: Path, seed: int) -> None:
    kill_again_and_again(tmp_path, 10, 1000 + seed)
