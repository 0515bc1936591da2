"""A sandbox contacts nothing outside, whatever its environment says."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from api.bootstrap import ServerParts, open_server_parts
from api.cli.server.sandbox import Sandbox, sandbox_of
from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT
from api.metrics.readiness import Readiness
from api.settings import load_settings
from api.web.pages import status_page
from tests.support.typed_commands import Shell

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


def opened(box: Sandbox, **how: bool) -> closing[ServerParts]:
    """The parts of a server in a sandbox."""
    return closing(open_server_parts(box.settings, clock=box.clock, sandbox=box.fork, **how))


def opened_parts(box: Sandbox, *, dispatches: bool) -> bool:
    """Whether the parts of a server in a sandbox dispatch; nothing may be notified there."""
    with opened(box, dispatches=dispatches) as parts:
        assert parts.notifier is None
        assert parts.tracing is None
        return parts.dispatcher is not None


def test_a_sandbox_contacts_neither_a_database_nor_a_trace_collector(forked: Path) -> None:
    settings = load_settings(ELSEWHERE, {"data": forked.parent / "data"})
    assert settings.collector is not None

    with sandbox_of(forked, settings) as box:
        assert box.settings.address is None
        assert box.settings.collector is None
        assert opened_parts(box, dispatches=True)


def test_the_clock_of_a_sandbox_stands_still_until_it_is_started(forked: Path) -> None:
    settings = load_settings({}, {"data": forked.parent / "data"})

    with sandbox_of(forked, settings) as box:
        began = box.clock.now()
        with opened(box) as parts:
            admins_token = 1
            assert parts.read_models.position == parts.ledger.writer.position - admins_token
            assert box.clock.now() == began
            box.clock.start()
            assert box.clock.now() > began


def test_every_page_of_a_sandbox_says_that_it_is_one(forked: Path) -> None:
    settings = load_settings({}, {"data": forked.parent / "data"})

    with sandbox_of(forked, settings) as box, opened(box) as parts:
        [admin] = [token for token in parts.tokens.listing() if token.name == "admin"]
        html = status_page(parts, admin, "csrf")

        readiness = Readiness(
            parts.ledger, parts.read_models, parts.dispatcher, None, is_sandbox=parts.is_sandbox
        )
        assert "This is a sandbox" in html
        assert asyncio.run(readiness.answer())["sandbox"] is True


def test_a_refused_command_names_how_to_reach_a_sandbox(forked: Path) -> None:
    words = [*PROGRAM, "serve", "--port", "0", "--sandbox", str(forked)]
    with subprocess.Popen(words, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE) as server:
        said = said_until(server, "export")
        server.terminate()

    way = said[-1]
    assert re.search(r"export JOBLEDGER_URL=http://127\.0\.0\.1:\d+ JOBLEDGER_TOKEN=\$\(cat /", way)
    assert not any("find it themselves" in line for line in said)


def said_until(server: subprocess.Popen[bytes], word: str) -> list[str]:
    """Its output lines, up to one with a word; a hang fails by the time-out of the test."""
    said: list[str] = []
    while not said or word not in said[-1]:
        assert server.stdout is not None
        line = server.stdout.readline().decode()
        assert line, said
        said.append(line)
    return said


def test_a_file_that_is_not_a_fork_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_text("junk")
    shell = Shell(tmp_path)

    refused = shell.type("serve", "--sandbox", str(tmp_path / "junk.db"))

    assert refused.code == 2
    assert str(tmp_path / "junk.db") in refused.out + refused.err


def test_a_sandbox_without_a_dispatcher_runs_nothing(forked: Path) -> None:
    settings = load_settings({}, {"data": forked.parent / "data"})

    with sandbox_of(forked, settings) as box:
        assert not opened_parts(box, dispatches=False)
