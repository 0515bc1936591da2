"""Progress bars: on stderr, on a terminal only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from api.cli.output.terminal import console

BUSY_AFTER_SECONDS = 1.0


@contextmanager
def steps(what: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each step, updated with (step, done, total), and removed at the end."""
    screen = console(is_error=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
    tasks: dict[str, TaskID] = {}

    def report(step: str, done: int, total: int) -> None:
        if step not in tasks:
            tasks[step] = bar.add_task(f"{what}: {step}", total=total)
        bar.update(tasks[step], completed=done, total=total)

    with bar:
        yield report


@contextmanager
def busy(what: str) -> Iterator[None]:
    """A moving bar while something takes longer than a second and has no known length."""
    screen = console(is_error=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
    bar.add_task(what, total=None)
    later = threading.Timer(BUSY_AFTER_SECONDS, bar.start)
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()
        bar.stop()
