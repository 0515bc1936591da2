"""A sandbox keeps to itself, whatever its environment says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from api.bootstrap import open_server_parts
from api.cli.sandboxes import Sandbox, sandbox_of
from api.settings import load_settings
from tests.flow.typed_commands import Shell

ELSEWHERE = {
    "JOBLEDGER_DSN": "postgresql://somewhere.example/ledger",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318",
}


@pytest.fixture
def forked(tmp_path: Path) -> Path:
    shell = Shell(tmp_path)
    shell.schedule("report")
    shell.ok("fork", "--out", str(tmp_path / "fork.db"))
    return tmp_path / "fork.db"


def opened_parts(box: Sandbox, *, dispatches: bool) -> bool:
    """Whether the parts of a server in a sandbox dispatch; nobody may be told of anything there."""
    with closing(
        open_server_parts(box.settings, dispatches=dispatches, clock=box.clock, sandbox=box.fork)
    ) as parts:
        assert parts.courier is None
        assert parts.tracing is None
        return parts.dispatcher is not None


def test_neither_a_database_nor_a_collector_of_spans_hears_of_a_sandbox(forked: Path) -> None:
    settings = load_settings(ELSEWHERE, {"data": forked.parent / "data"})
    assert settings.collector is not None

    with sandbox_of(forked, settings) as box:
        assert box.settings.address is None
        assert box.settings.collector is None
        assert opened_parts(box, dispatches=True)


def test_a_sandbox_that_is_only_to_answer_runs_nothing(forked: Path) -> None:
    settings = load_settings({}, {"data": forked.parent / "data"})

    with sandbox_of(forked, settings) as box:
        assert not opened_parts(box, dispatches=False)
