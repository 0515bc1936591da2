"""How long a command takes to start, against the libraries that it cannot do without."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from api.demo.processes import ENVIRONMENT, PROGRAM, ROOT, a_server
from tests.benchmarks.figures import Figure

ROUNDS = 21
JOBS = 20
LIBRARIES = (sys.executable, "-c", "import typer, httpx, rich")


def figure_command_line(folder: Path) -> list[Figure]:
    """The help and a list of jobs beside a server, as ratios: medians of interleaved rounds."""
    with a_server(folder) as server:
        with server.client() as client:
            for number in range(JOBS):
                schedule = {"kind": "every", "interval_seconds": 3600}
                client.request(
                    "POST", "/v1/jobs", body={"name": f"job {number}", "schedule": schedule}
                )
        commands = {
            "libraries": LIBRARIES,
            "help": (*PROGRAM, "--help"),
            "list": (*PROGRAM, "list", "--data", str(server.data)),
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, words in commands.items():
                taken[name].append(_seconds(words))
    libraries, of_help, of_list = (statistics.median(taken[name]) for name in commands)
    return [
        Figure("python -c 'import typer, httpx, rich'", f"{libraries:.3f} s"),
        _against("jobledger --help", of_help, libraries, 1.5),
        _against("jobledger list, beside a server", of_list, libraries, 2.0),
    ]


def _against(what: str, seconds: float, libraries: float, most: float) -> Figure:
    ratio = seconds / libraries
    return Figure(what, f"{seconds:.3f} s = {ratio:.2f} ×", f"≤ {most:g} ×", ratio <= most)


def _seconds(words: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run(words, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True)
    return time.perf_counter() - started
