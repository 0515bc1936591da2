"""Why a job ran or did not: every answer, reached by commands and a real dispatcher."""

from __future__ import annotations

from contextlib import closing
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import rfc3339
from ledger.dispatch.executors.outcomes import Blocked
from ledger.domain.job.outcomes import Failure
from projections.why.question import CODES
from tests.support.builders import DAY, EVERY_MINUTE, HOUR, HOURLY, MINUTE, NOON
from tests.support.docs_runner import DOCS, quoted, rows
from tests.support.scenario import DONE, Scenario
from tests.support.scenes import AT_ONCE, FAILS, HANGS, Scene

SECOND = timedelta(seconds=1)
SOON = {"trip_after": 3, "backoff_seconds": [60]}
TRIPS = {"trip_after": 1}
PROBES = {**TRIPS, "probe_after_seconds": 3600}
BERLIN_SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC) - NOON
BACK = 2 * HOUR + MINUTE
"""When a node is back that was killed a minute after noon."""


def once(after_noon: timedelta) -> dict[str, Any]:
    return {"kind": "at", "at": rfc3339(NOON + after_noon)}


def tripped_with_a_probe() -> Scene:
    return Scene(policy=PROBES, script=FAILS).until(2 * MINUTE)


def paused() -> Scene:
    return Scene(schedule=HOURLY).olga("pause", until=NOON + HOUR, reason="too noisy")


def slow() -> Scene:
    return Scene(schedule=EVERY_MINUTE, script=[(150 * SECOND, DONE)]).until(130 * SECOND)


def skipped_by_the_clock(dst: str) -> Scene:
    schedule = {"kind": "cron", "expr": "30 2 * * *", "tz": "Europe/Berlin", "dst": dst}
    scene = Scene(begins=BERLIN_SPRING - HOUR, schedule=schedule)
    return scene.until(BERLIN_SPRING + HOUR, MINUTE)


def for_workers() -> Scene:
    return Scene(executor={"kind": "worker", "queue": "gpu"}).until(3 * MINUTE)


def late(**policy: Any) -> Scene:
    """The last of four jobs that came due while no node ran."""
    fields: dict[str, Any] = {"schedule": HOURLY, "policy": policy}
    return Scene(beside=[fields] * 3, **fields).until(MINUTE).silent_until(BACK)


def late_retry(number: int) -> dict[str, Any]:
    policy, script = {"backoff_seconds": [60 + number]}, [*FAILS, (30 * SECOND, DONE)]
    return {"schedule": HOURLY, "policy": policy, "script": script}


def behind(*spans: timedelta, schedule: dict[str, Any], begins: timedelta = MINUTE) -> Scene:
    """Jobs beside it run as long as this."""
    others = [{"script": [(span, DONE)]} for span in spans]
    return Scene(beside=others, begins=begins, schedule=schedule).until(2 * MINUTE)


@dataclass(frozen=True)
class Row:
    """What happens; the code of the answer, the topics of its chain, and part of its text."""

    name: str
    scene: Scene
    code: str
    chain: str
    text: str = ""
    _: KW_ONLY
    at: timedelta | None = None
    """The instant that is asked about, from noon; None: now."""
    is_unattended: bool = False
    concurrency: int = 5
    link: str = ""
    """Part of the text of the chain's last link."""
    command: str = ""
    """How the command of the first remedy ends."""
    unsaid: str | None = None
    """What the text must not say."""


INACTIVE = [
    Row(
        "deleted", Scene().olga("delete", reason="no more"),
        "deleted", "deleted", "by olga (no more)",
    ),
    Row(
        "completed", Scene(schedule=once(MINUTE)).until(2 * MINUTE),
        "completed", "run_succeeded completed",
    ),
    Row(
        "tripped", Scene(policy=SOON, script=FAILS).until(5 * MINUTE),
        "tripped", "run_failed run_failed run_failed circuit_tripped", "429 Too Many Requests",
        command="--force --reason WHY",
    ),
    Row(
        "tripped, with a probe", tripped_with_a_probe().olga("amend", {"description": "x"}),
        "tripped", "run_failed circuit_tripped", "A probe will run at 2026-03-02T13:01",
        unsaid="until an operator resumes it with force",
    ),
    Row(
        "tripped and disabled", tripped_with_a_probe().olga("amend", {"enabled": False}),
        "tripped", "run_failed circuit_tripped", "until an operator resumes it with force",
        unsaid="A probe will run at",
    ),
    Row(
        "tripped by losses",
        Scene(policy={"max_losses": 1, "lease_seconds": 1}, script=HANGS)
        .until(2 * MINUTE).lose("lease_expired"),
        "tripped", "run_lost circuit_tripped",
    ),
    Row(
        "tripped then",
        Scene(schedule=HOURLY, policy=TRIPS, script=FAILS)
        .until(5 * HOUR + MINUTE, MINUTE).olga("resume", force=True),
        "tripped", "run_failed circuit_tripped force_resumed",
        at=3 * HOUR, link="(cause: failed)",
    ),
    Row("disabled at first", Scene(enabled=False), "disabled", "scheduled", "by olga in event"),
    Row(
        "disabled since",
        Scene().olga("amend", {"enabled": False}).olga("amend", {"description": "x"}),
        "disabled", "amended", "by olga in event",
    ),
    Row(
        "paused", paused(),
        "paused", "paused", "by olga (too noisy) until 2026-03-02T13:00:00Z",
    ),
    Row(
        "paused then",
        Scene(schedule=HOURLY).olga("pause").until(5 * HOUR + MINUTE, MINUTE).olga("resume"),
        "paused", "paused resumed", at=3 * HOUR, link="(cause: paused)",
    ),
    Row(
        "a pause that has just ended", paused().unattended(HOUR),
        "due", "paused", "paused until 2026-03-02T13:00:00Z and will be resumed in a moment.",
    ),
    Row(
        "a pause that ended unattended", paused().unattended(3 * HOUR),
        "node_down", "paused", "It was paused until 2026-03-02T13:00:00Z, but no dispatcher was",
        is_unattended=True, command="jobledger serve",
    ),
    Row(
        "a pause that ended in a gap", paused().silent_until(4 * HOUR),
        "node_down", "paused resumed",
        "It was paused until 2026-03-02T13:00:00Z, but no dispatcher was", at=2 * HOUR,
    ),
    Row(
        "paused until its instant had passed",
        Scene(schedule=once(MINUTE)).olga("pause").until(2 * MINUTE),
        "exhausted", "paused", command="--run-now",
    ),
    Row("not scheduled then", Scene(begins=HOUR), "not_yet", "scheduled", at=MINUTE),
]  # fmt: skip
ACTIVE = [
    Row("running", Scene(script=HANGS).until(61 * SECOND), "running", "run_started"),
    Row(
        "running unattended", Scene(script=HANGS).until(61 * SECOND).unattended(MINUTE),
        "node_down", "run_started", "Its node is gone",
        is_unattended=True, command="jobledger serve",
    ),
    *(
        Row(
            f"lost later: {cause}",
            Scene(script=HANGS).until(61 * SECOND).unattended(MINUTE).lose(cause),
            code, "run_started run_lost", at=90 * SECOND,
        )
        for cause, code in (("lease_expired", "node_down"), ("deadline", "running"))
    ),
    Row("running at its next slot", slow(), "overlap", "run_started"),
    Row(
        "running over two slots", slow().until(5 * MINUTE),
        "overlap", "run_started run_succeeded", at=2 * MINUTE, link="2 slots missed",
    ),
    Row("waiting", Scene(schedule=HOURLY), "waiting", "scheduled"),
    Row(
        "waiting days ago", Scene(schedule=HOURLY).until(2 * DAY, 20 * MINUTE),
        "waiting", "run_succeeded", at=90 * MINUTE,
    ),
    Row(
        "backing off",
        Scene(schedule=HOURLY, policy={"backoff_seconds": [600]}, script=FAILS)
        .until(HOUR + 11 * MINUTE),
        "backoff", "run_failed run_failed", "600 s after failure 2",
    ),
    Row(
        "backing off as the target asked",
        Scene(script=[(AT_ONCE, Failure("429", "rate_limited", None, NOON + 20 * MINUTE, 1))])
        .until(2 * MINUTE),
        "backoff", "run_failed", "as the target requested (Retry-After)",
    ),
    Row(
        "a slot within the backoff",
        Scene(schedule=EVERY_MINUTE, policy={"backoff_seconds": [3600]}, script=FAILS)
        .until(MINUTE + SECOND),
        "waiting", "run_failed",
    ),
    Row(
        "jitter", Scene(schedule=HOURLY, policy={"jitter_seconds": 1000}).until(HOUR + SECOND),
        "jitter", "scheduled",
    ),
    Row(
        "blocked",
        Scene(schedule=HOURLY, script=[(AT_ONCE, Blocked("commands are off"))])
        .until(HOUR + MINUTE),
        "blocked", "run_started run_blocked", "commands are off",
    ),
    Row(
        "lost",
        Scene(schedule=HOURLY, script=HANGS).until(HOUR + MINUTE).silent_until(HOUR + 30 * MINUTE),
        "lost", "run_started run_lost", "owner_restarted",
    ),
    Row(
        "a wall time that did not exist", skipped_by_the_clock("skip"),
        "clock_change", "scheduled", "02:30 did not exist on 2026-03-29 in Europe/Berlin",
    ),
    Row(
        "before the clock change", skipped_by_the_clock("skip"),
        "waiting", "scheduled", at=BERLIN_SPRING - MINUTE,
    ),
    Row("a wall time made up for", skipped_by_the_clock("vixie"), "waiting", "run_succeeded"),
]  # fmt: skip
DUE = [
    Row("due", Scene().until(59 * SECOND).unattended(SECOND), "due", "scheduled"),
    Row(
        "due then", Scene().until(59 * SECOND).unattended(SECOND).until(2 * MINUTE),
        "due", "scheduled run_started", at=MINUTE,
    ),
    Row(
        "due unattended", Scene().until(61 * SECOND).unattended(MINUTE),
        "node_down", "run_succeeded", "no dispatcher was running",
        is_unattended=True, command="jobledger serve",
    ),
    Row("requested", Scene(schedule=HOURLY).olga("run"), "due", "run_requested"),
    Row("no worker", for_workers(), "no_worker", "scheduled", "'gpu'"),
    Row("no worker then", for_workers(), "no_worker", "scheduled", "'gpu'", at=2 * MINUTE),
    Row(
        "running when its node died",
        Scene(schedule=HOURLY, script=HANGS).until(HOUR + MINUTE).silent_until(4 * HOUR + MINUTE),
        "node_down", "run_started run_lost", "owner_restarted", at=2 * HOUR,
    ),
    Row("late", late(), "catch_up_spread", "scheduled"),
    Row(
        "late then", late().until(BACK + 2 * MINUTE),
        "catch_up_spread", "scheduled run_started run_succeeded", at=BACK + 2 * SECOND,
    ),
    Row(
        "late and given up", late(catch_up="none").until(BACK + 2 * MINUTE),
        "catch_up_spread", "scheduled fires_skipped", "given up, as its policy says",
        at=BACK + 2 * SECOND,
    ),
    Row(
        "a retry that came due in a gap",
        Scene(beside=[late_retry(n) for n in range(3)], **late_retry(3))
        .until(HOUR + 5 * SECOND).silent_until(BACK).until(BACK + 2 * MINUTE),
        "catch_up_spread", "run_failed fires_skipped run_started",
        at=BACK + 12 * SECOND, unsaid="at its limit",
    ),
    Row(
        "behind as many runs as the limit",
        behind(150 * SECOND, 150 * SECOND, schedule=once(90 * SECOND)),
        "at_limit", "scheduled", "already executes 2 runs, its limit", concurrency=2,
    ),
    Row(
        "behind two runs then",
        behind(150 * SECOND, 150 * SECOND, schedule=once(90 * SECOND)).until(5 * MINUTE),
        "at_limit", "scheduled run_started", "2 other runs", at=2 * MINUTE, concurrency=2,
    ),
    Row(
        "behind one run then", behind(90 * SECOND, schedule=once(70 * SECOND)).until(5 * MINUTE),
        "at_limit", "scheduled run_started",
        "while one other run was open: perhaps its node was at its limit",
        at=100 * SECOND, concurrency=1,
    ),
    Row(
        "requested behind a run", behind(HOUR, schedule=HOURLY).olga("run"),
        "at_limit", "run_requested", concurrency=1,
    ),
]  # fmt: skip
ROWS = [*INACTIVE, *ACTIVE, *DUE]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_the_answer_names_the_rule_that_applies_and_the_events_that_prove_it(
    tmp_path: Path, row: Row
) -> None:
    with closing(Scenario(tmp_path, concurrency=row.concurrency)) as scenario:
        job_id = row.scene.play(scenario)

        at = None if row.at is None else NOON + row.at
        answer = scenario.why(job_id, at, is_unattended=row.is_unattended)

    assert answer["answer"] == row.code, answer["text"]
    assert " ".join(scenario.topics(answer)) == row.chain
    positions = [link["position"] for link in answer["chain"]]
    assert positions == sorted(set(positions))
    assert row.text in answer["text"]
    assert row.unsaid is None or row.unsaid not in answer["text"]
    assert row.link in answer["chain"][-1]["text"]
    assert [*answer["would_run"], {}][0].get("command", "").endswith(row.command)


def test_every_code_is_reached_and_in_the_reference() -> None:
    text = (DOCS / "reference" / "http.md").read_text().split("### Why")[1].split("## ")[0]

    assert {row.code for row in ROWS} == set(CODES)
    assert [quoted(row[0])[0] for row in rows(text)] == list(CODES)
