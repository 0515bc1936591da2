"""How long it takes to export a whole book on the command line, and what that takes of memory."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

LOOK_SECONDS = 0.05
GROWTH = 1.25
"""So much more memory at most for ten times as many events: it is flat."""
PART = 10

_PEAK = re.compile(r"VmHWM:\s*([0-9]+) kB")


def show_export(screen: Console, data: Path, events: int, until: str) -> bool:
    """A table of two exports, of the tenth of the book up to `until` and of all of it; whether the
    second took no more memory.
    """
    table = Table(
        "export as JSON Lines", "s", "events/s", "peak MiB", "", title="memory stays flat"
    )
    part_seconds, part_peak = exported(data, "--until", until)
    seconds, peak = exported(data)
    is_flat = peak <= part_peak * GROWTH
    rate = f"{events / PART / part_seconds:,.0f}"
    table.add_row(f"{events // PART:,} events", f"{part_seconds:.0f}", rate, f"{part_peak:.0f}", "")
    verdict = "reached" if is_flat else "MISSED"
    rate = f"{events / seconds:,.0f}"
    table.add_row(f"{events:,} events", f"{seconds:.0f}", rate, f"{peak:.0f}", verdict)
    screen.print(table)
    return is_flat


def exported(data: Path, *flags: str) -> tuple[float, float]:
    """How long `jobledger export` ran, and the most memory it had (MiB)."""
    words = ["export", "--format", "jsonl", "--data", str(data), *flags]
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "api.cli", *words], stdout=subprocess.DEVNULL
    ) as process:
        peak = max(_peaks(process), default=0.0)
    if process.returncode:
        raise SystemExit(f"jobledger {' '.join(words)} ended with {process.returncode}")
    return time.perf_counter() - began, peak


def _peaks(process: subprocess.Popen[bytes]) -> Iterator[float]:
    """What the process had at the most, again and again. Its own account at the end would have in
    it what its parent had when it was forked.
    """
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = _PEAK.search(status.read_text())
        if found is not None:
            yield int(found[1]) / 1024
        time.sleep(LOOK_SECONDS)
