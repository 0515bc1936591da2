"""Commands start fast: beside a server they import neither the store nor the web framework.

Counted are imported modules, not seconds; `make bench` measures the seconds.
"""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli.table import COMMANDS, CommandEntry, GroupEntry
from api.demo.processes import ENVIRONMENT, ROOT, DemoServer, a_server
from projections.models.gaps.model import CAUSES
from tests.support.typed_commands import Shell

FORBIDDEN = {
    "apprise", "asyncio", "cron_descriptor", "croniter", "cryptography",
    "eventsourcing", "fastapi", "jinja2", "multiprocessing", "opentelemetry", "psycopg",
    "pydantic", "sqlite3", "starlette", "uvicorn", "zoneinfo",
    "api.app", "api.bootstrap", "ledger.application", "ledger.domain", "ledger.maintenance",
    "projections.models", "projections.queries", "projections.read_models", "ledger.store.records",
}  # fmt: skip
MOST_MODULES = 480
"""Of a command beside a server; 430 to 450 when this was written, without the server's 1,000."""
MOST_MODULES_OF_HELP = 350
LIMIT_SECONDS = 60.0
"""A hang fails by this name; nothing is measured by it."""
PROGRAM = """
import json, sys
sys.argv[0] = "jobledger"
from api.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
BESIDE_A_SERVER = [
    "list", "show report", "runs report", "history report", "why report", "blame report",
    "summary", "audit", "gaps", "resumes", "diff --from 1", "what-if --trip-after 3",
    "storm list", "recovery list", "token list", "export --format csv", "replay --since 1h",
    "pause report", "resume report", "run report --json", "preview --every 5m",
    "schedule again --every 5m", "amend report --every 2h", "list --limit 3 --as-of 1",
    "recovery start --tag none --dry-run",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    folder = tmp_path_factory.mktemp("start")
    with a_server(folder) as running:
        Shell(folder).schedule("report")
        yield running


def modules_of(words: str, **environment: str) -> tuple[int, set[str]]:
    """A command's exit code and the modules it has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words.split()],
        cwd=ROOT,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return done.returncode, set(json.loads(done.stderr.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {one for one in FORBIDDEN if any(f"{name}.".startswith(f"{one}.") for name in modules)}


@pytest.mark.parametrize("words", BESIDE_A_SERVER)
def test_a_command_beside_a_server_imports_no_part_of_one(server: DemoServer, words: str) -> None:
    code, modules = modules_of(words, JOBLEDGER_DATA=str(server.data))

    assert code == 0
    assert heavy(modules) == set()
    assert len(modules) < MOST_MODULES


@pytest.mark.parametrize("words", ["--help", "storm --help", "--show-completion bash"])
def test_the_help_imports_no_command_and_no_client(words: str) -> None:
    # Without this the script is that of the parent process, and make's /bin/sh has none.
    code, modules = modules_of(words, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    homes = {f"api.cli.{one.home.partition(':')[0]}" for one in entries()}
    assert code == 0
    assert heavy(modules) == set()
    assert {"httpx", *homes} & modules == set()
    assert len(modules) < MOST_MODULES_OF_HELP


def entries() -> Iterator[CommandEntry]:
    for entry in COMMANDS:
        yield from entry.commands if isinstance(entry, GroupEntry) else (entry,)


@pytest.mark.parametrize("entry", [*entries()], ids=lambda entry: entry.home)
def test_the_table_says_what_the_docstring_of_the_command_says(entry: CommandEntry) -> None:
    module, _, function = entry.home.partition(":")

    found = getattr(importlib.import_module(f"api.cli.{module}"), function)

    assert (inspect.getdoc(found) or "").splitlines()[0] == entry.help


def test_every_line_of_the_help_fits_a_terminal_of_80_columns() -> None:
    longest = max(len(entry.name) for entry in COMMANDS)

    assert max(len(entry.help) for entry in (*COMMANDS, *entries())) + longest + 6 <= 80


def test_the_help_names_every_cause_of_a_gap() -> None:
    text = (Path(ROOT) / "api" / "cli" / "inspect" / "gaps.py").read_text()

    assert ", ".join(CAUSES) in text
