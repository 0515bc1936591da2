"""The documentation as a reader uses it: tables are read, fenced commands typed into a shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT, DemoServer
from api.demo.waiting import Broken, wait_for

DOCS = ROOT / "docs"
LIMIT_SECONDS = 30.0
"""A hang fails by this name; it is not a measurement."""
DOCUMENTED_SERVER = "127.0.0.1:8321"
QUERIES = re.compile(
    r"(\S+ \| )?(jobledger (list|show|history|runs|audit|\w+ (list|show))\b"
    r"|curl -s \S*\$SERVER)"
)
"""Commands that only query: a reader who types one too early repeats it."""
SCRIPT = """
[ ! -e bin/variables ] || . bin/variables
set -o allexport
{command}
code=$?
export -p > bin/variables
exit $code
"""
"""One command in a shell that knows the variables of those before."""
REFUSED = "jobledger: "
"""Begins a refusal, whose exit code is not 0."""


def fences(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def rows(page: str) -> list[tuple[str, ...]]:
    """Every row of every table on a page, without headings and rulers."""
    lines = page.splitlines()
    pairs = zip(lines, [*lines[1:], ""], strict=True)
    found = [line for line, below in pairs if line.startswith("| ") and "|---" not in below]
    return [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in found]


def quoted(cell: str) -> list[str]:
    """The words in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


@dataclass(frozen=True)
class Step:
    """One command of a page, and the output that the page shows."""

    command: str
    shown: tuple[str, ...]


def steps(block: str) -> Iterator[Step]:
    """The commands of a console block: `$ ` begins one, `> ` continues it, the rest is output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        first, *others = part.rstrip("\n").split("\n")
        more = [line.removeprefix("> ") for line in others if line.startswith("> ")]
        shown = tuple(line for line in others if line and not line.startswith("> "))
        yield Step("\n".join([first, *more]), shown)


class Reader:
    """Types a page's commands, in a folder of its own.

    The output must contain what the page shows, with `…` for anything and blanks for any blanks. A
    line that begins with `jobledger: ` is a refusal; every other command must succeed.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.addresses: dict[str, str] = {}
        program = folder / "bin" / "jobledger"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{PROGRAM[0]}" -m api.cli "$@"\n')
        program.chmod(0o755)
        path = os.pathsep.join([str(program.parent), str(Path(sys.executable).parent), os.defpath])
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "400"}
        self._environment = {**ENVIRONMENT, **own, **environment}

    def follow(self, page: str) -> int:
        """Type every console block of a page; returns the number of commands."""
        found = [step for block in fences(page, "console") for step in steps(block)]
        for step in found:
            self.type(step)
        return len(found)

    def type(self, step: Step) -> None:
        """Type one command, and check its output."""
        if "curl" in step.command and shutil.which("curl") is None:
            pytest.skip("this page uses curl, which is not on this machine")
        if QUERIES.match(step.command):
            try:
                wait_for(
                    step.command, lambda: self._problem_with(step) is None, seconds=LIMIT_SECONDS
                )
            except Broken:
                pass
            else:
                return
        problem = self._problem_with(step)
        assert problem is None, problem

    @contextmanager
    def serving(self, command: str) -> Iterator[DemoServer]:
        """Run the page's command that starts a server, on a free port."""
        with self.running(command, JOBLEDGER_PORT="0") as process:
            server = DemoServer(self.data, process)
            self.addresses[DOCUMENTED_SERVER] = server.url.removeprefix("http://")
            yield server

    @contextmanager
    def running(self, command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command beside the others; it is killed afterwards."""
        with (self.folder / "running.log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", self._with_real_addresses(command)],
                cwd=self.folder,
                env={**self._environment, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _problem_with(self, step: Step) -> str | None:
        """Why the output of a command is not the documented one, or None."""
        done = subprocess.run(
            ["bash", "-c", SCRIPT.replace("{command}", self._with_real_addresses(step.command))],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        is_refused = any(line.startswith(REFUSED) for line in step.shown)
        if (done.returncode != 0) is not is_refused:
            return f"$ {step.command}\n{done.stdout}ended with {done.returncode}"
        said = " ".join(done.stdout.split())
        missing = [line for line in step.shown if not _pattern(line).search(said)]
        return f"$ {step.command}\n{done.stdout}shows no {missing[0]!r}" if missing else None

    def _with_real_addresses(self, text: str) -> str:
        for documented, actual in self.addresses.items():
            text = text.replace(documented, actual)
        return text


def _pattern(line: str) -> re.Pattern[str]:
    """What a shown line must match; `…` stands for anything, also for the blanks around it."""
    parts = re.split(r"\s*…\s*", " ".join(line.split()))
    return re.compile(".*?".join(map(re.escape, parts)))


def run_python(
    source: str, name: str, given: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Run a page's Python as a module of that name; returns what it defined."""
    names: dict[str, object] = {"__name__": name, **(given or {})}
    exec(compile(source, name, "exec"), names)
    return names
