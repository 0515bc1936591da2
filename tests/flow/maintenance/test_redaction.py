"""A redacted fork contains nothing that redaction removes, in whatever field it was."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from ledger import Ledger
from ledger.application.commands.deliveries import RecordNotice
from ledger.domain.job.outcomes import Success
from ledger.domain.streams.notices import NoticeOutcome
from ledger.maintenance.backup import reading
from ledger.maintenance.fork import fork
from ledger.store.sqlite.folder import EVENT_STORE_FILE
from tests.support.builders import HOUR, ManualClock, a_spec, open_ledger
from tests.support.runs import run

YES = Success("yes", 3, sha256(b"yes").hexdigest(), 5)
HOOK = {
    "kind": "http",
    "url": "https://hooks.example:8443/confidential?key=confidential",
    "headers": {"X-Key": "confidential"},
}
DUMP = {
    "kind": "command",
    "argv": ["pg_dump", "--password=confidential"],
    "env": {"PASS": "confidential"},
    "cwd": "/srv/confidential",
}


def redacted(ledger: Ledger, folder: Path) -> list[dict[str, Any]]:
    """The states of the events in a redacted fork of everything."""
    out = folder / "fork.db"
    with reading(folder / "data" / EVENT_STORE_FILE) as event_store:
        end = ledger.writer.position
        fork(event_store, out, until=end, is_redacted=True, progress=lambda *_: None)
    with reading(out) as event_store:
        return [orjson.loads(row.state) | {"topic": row.topic} for row in event_store.rows(after=0)]


@pytest.mark.parametrize(
    ("executor", "kept"),
    [
        (HOOK, {"kind": "http", "url": "https://hooks.example:8443/"}),
        (DUMP, {"kind": "command", "argv": ["pg_dump"]}),
        ({"kind": "noop"}, {"kind": "noop"}),
    ],
)
def test_redaction_leaves_the_kind_and_the_target_of_an_executor(
    tmp_path: Path, executor: dict[str, Any], kept: dict[str, Any]
) -> None:
    with open_ledger(tmp_path) as ledger:
        job_id = ledger.schedule(a_spec(name="first", executor=executor)).job_id
        ledger.schedule(a_spec(name="second", executor=None))
        ledger.amend(job_id, {"executor": None})
        ledger.amend(job_id, {"executor": executor})

        states = redacted(ledger, tmp_path)

    shown = [state for state in states if state["topic"] == "job.scheduled"]
    amended = [state["changes"] for state in states if state["topic"] == "job.amended"]
    assert [state["executor"] for state in shown] == [kept, None]
    assert [changes["executor"] for changes in amended] == [None, kept]
    assert b"confidential" not in (tmp_path / "fork.db").read_bytes()


def test_redaction_removes_the_answer_of_a_channel(tmp_path: Path) -> None:
    outcome = "no such user: confidential"
    shown = NoticeOutcome("trip", "ops", None, 1, 1, is_sent=False, outcome=outcome)
    with open_ledger(tmp_path) as ledger:
        ledger.execute(RecordNotice(shown, ledger.context()))

        [state] = redacted(ledger, tmp_path)

    assert (state["topic"], state["outcome"]) == ("notice.failed", "redacted")


@pytest.mark.parametrize("report", ["The handler confidential cannot be loaded.", YES])
def test_redaction_removes_why_a_run_was_blocked_and_the_hash_of_an_output(
    tmp_path: Path, report: str | Success
) -> None:
    clock = ManualClock()
    with open_ledger(tmp_path, clock) as ledger:
        job_id = ledger.schedule(a_spec()).job_id
        clock.advance(HOUR)
        run(ledger, job_id, report)

        last = redacted(ledger, tmp_path)[-1]

    assert last["topic"] in ("job.run_blocked", "job.run_succeeded")
    content = (tmp_path / "fork.db").read_bytes()
    assert b"confidential" not in content
    assert YES.output_sha256.encode() not in content


def test_redaction_removes_the_imported_record_and_the_original_id(tmp_path: Path) -> None:
    job = {
        "spec": a_spec(),
        "origin_id": "/home/confidential/jobs.cron:7",
        "imported": {"MAILTO": "confidential@example.org"},
    }
    with open_ledger(tmp_path) as ledger:
        ledger.import_jobs("crontab", [job])

        [state] = [one for one in redacted(ledger, tmp_path) if one["topic"] == "job.imported"]

    assert (state["origin"], state["imported"]) == ("crontab", {})
    assert state["origin_id"] == "redacted"
    assert b"confidential" not in (tmp_path / "fork.db").read_bytes()
