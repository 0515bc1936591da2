"""How many jobs stand where, watched while it changes."""

from __future__ import annotations

from collections.abc import Callable

from rich.live import Live
from rich.text import Text

from api.cli.connection.client import ApiClient
from api.cli.output.terminal import console
from api.demo.waiting import wait_for

WIDTH = 30
"""Characters of a bar that holds every job."""

Counts = dict[str, int]


def watch_counts(client: ApiClient, *, until: Callable[[Counts], bool], seconds: float) -> None:
    """Show the counts until they are as wanted: in place on a terminal, else a line a change."""
    screen = console()
    shown = ""

    with Live(console=screen, auto_refresh=False, transient=False) as live:

        def look() -> bool:
            nonlocal shown
            counts = client.request("GET", "/v1/summary").document["summary"]
            line = bar(counts)
            if line.plain != shown:
                shown = line.plain
                live.update(line, refresh=True) if screen.is_terminal else screen.print(line)
            return until(counts)

        wait_for("The trip of every job", look, seconds=seconds)


def bar(counts: Counts) -> Text:
    """One line: how many are active, how many failed."""
    failed = round(WIDTH * counts["failed"] / max(1, counts["total"]))
    line = Text("  ").append("█" * (WIDTH - failed), "green").append("░" * failed, "red")
    return line.append(f"  {counts['active']:>2} active  {counts['failed']:>2} failed")
