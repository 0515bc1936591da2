"""The parts of `make bench`, by the names they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import command_line, figures, http, postgres
from tests.benchmarks.figures import Figure

PARTS: dict[str, Callable[[Path], list[Figure]]] = {
    "commands": figures.figure_commands,
    "runs": figures.figure_runs,
    "at-once": figures.figure_at_once,
    "long-history": figures.figure_long_history,
    "command-line": command_line.figure_command_line,
    "http": http.figure_http,
    "postgres-commands": postgres.figure_commands,
    "postgres-runs": postgres.figure_runs,
}


def measure(part: str, folder: str) -> list[Figure]:
    """One part, in a folder of its own; called in a process of its own, so that none pays for
    another's memory.
    """
    place = Path(folder) / part
    place.mkdir(parents=True)
    return PARTS[part](place)
