"""`jobledger export`: the events as a file, stretch by stretch, the same as the audit's pages."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from api.cli.inspect.export_stream import BATCH_EVENTS
from ledger import Ledger
from ledger.store.audit_query import AuditQuery
from tests.storm.generator import FleetGenerator, Size
from tests.support.terminal import on_terminal
from tests.support.typed_commands import Shell

FILTERS: dict[str, tuple[list[str], AuditQuery]] = {
    "everything": ([], AuditQuery()),
    "an actor": (["--actor", "olga"], AuditQuery(actor="olga")),
    "a kind and a source": (
        ["--kind", "user", "--source", "cli"],
        AuditQuery(kind="user", source="cli"),
    ),
    "topics": (
        ["--topic", "job.run_failed", "--topic", "job.paused"],
        AuditQuery(topics=("job.run_failed", "job.paused")),
    ),
    "a class": (["--failure-class", "rate_limited"], AuditQuery(failure_class="rate_limited")),
}
NARROW = [name for name in FILTERS if name != "everything"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a small fleet: more events than one stretch has."""
    folder = tmp_path_factory.mktemp("fleet")
    FleetGenerator(folder, 11, Size(jobs=24, days=2)).generate()
    return folder


def told(fleet: Path, query: AuditQuery) -> list[dict[str, Any]]:
    with Ledger.open_read_only(fleet / "data") as ledger:
        return list(ledger.queries.export(query))


@pytest.mark.parametrize(
    "name", ["everything", *(pytest.param(name, marks=pytest.mark.slow) for name in NARROW)]
)
def test_an_export_has_every_matching_event_in_order(fleet: Path, name: str) -> None:
    flags, query = FILTERS[name]
    shell = Shell(fleet)

    lines = shell.ok("export", "--format", "jsonl", *flags).out.splitlines()
    sheet = shell.ok("export", "--format", "csv", *flags).out

    expected = told(fleet, query)
    assert [json.loads(line) for line in lines] == expected
    names, *rows = csv.reader(io.StringIO(sheet, newline=""))
    assert names[0] == "position"
    assert [int(row[0]) for row in rows] == [event["position"] for event in expected]
    assert len(told(fleet, AuditQuery())) > BATCH_EVENTS


def test_an_audit_as_csv_or_jsonl_keeps_order_and_limit(fleet: Path) -> None:
    count = BATCH_EVENTS + 7

    typed = Shell(fleet).ok("audit", "--format", "jsonl", "--order", "desc", "--limit", str(count))

    newest = told(fleet, AuditQuery(order="desc"))[:count]
    assert [json.loads(line) for line in typed.out.splitlines()] == newest


def test_an_export_file_is_complete_and_private(fleet: Path, tmp_path: Path) -> None:
    file, shell = tmp_path / "events.jsonl", Shell(fleet)
    words = ("export", "--format", "jsonl", "--topic", "job.paused", "--output", str(file))

    shell.ok(*words)

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == told(fleet, AuditQuery(topics=("job.paused",)))
    assert file.stat().st_mode & 0o777 == 0o600
    assert shell.type(*words).code == 2
    shell.ok(*words, "--force")


def test_no_cell_of_a_csv_begins_like_a_formula(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.schedule("report")
    shell.ok("pause", "report", "--reason", "=HYPERLINK(1)\nand more")

    sheet = shell.ok("export", "--format", "csv").out

    rows = list(csv.DictReader(io.StringIO(sheet, newline="")))
    assert rows[-1]["reason"] == "'=HYPERLINK(1)\nand more"
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@")]


@pytest.mark.slow
def test_an_export_shows_its_progress_on_a_terminal(fleet: Path, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"

    code, shown = on_terminal(fleet / "data", "export", "--format", "csv", "--output", str(file))

    assert code == 0
    assert "Events: exported" in shown
    assert (
        Shell(fleet).ok("export", "--format", "csv", "--output", f"{file}.2").err.count("\n") == 1
    )
