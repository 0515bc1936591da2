"""Lines, tables and questions on a terminal, with control characters written out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from api.cli.exit_codes import Exit, Stop
from api.cli.text import harmless, harmless_lines

UNBOUNDED = 10_000
"""Width of output into a pipe, so that no cell is cut."""
ROOMY = 115
"""Columns that show every table in full."""
MARKS = ">~!"
"""Marks before the name of a column (see `print_table`)."""

Cell = str | Text

STYLES = {
    "active": "green",
    "succeeded": "green",
    "paused": "yellow",
    "running": "cyan",
    "failed": "bold red",
    "lost": "magenta",
    "blocked": "magenta",
    "completed": "dim",
    "deleted": "dim",
}
"""The colour of a job's or a run's status."""


def console(*, is_error: bool = False) -> Console:
    """The console for stdout or stderr. Colours only on a terminal, never with NO_COLOR."""
    stream = sys.stderr if is_error else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def status_cell(status: str) -> Text:
    """A status in its colour."""
    return Text(harmless(status), style=STYLES.get(status, ""))


def say(line: Cell = "", style: str = "") -> None:
    """Print one line."""
    text = line if isinstance(line, Text) else Text(harmless_lines(line), style=style)
    console().print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Print one line on stderr."""
    console(is_error=True).print(Text(harmless(text)), soft_wrap=True)


def write(text: str) -> None:
    """Print text for programs unchanged."""
    sys.stdout.write(text)
    sys.stdout.flush()


def is_narrow() -> bool:
    """Whether tables must leave details out."""
    return console().width < ROOMY


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table. `>` before a column's name aligns it right, `~` lets it wrap, `!` keeps it
    whole on a narrow terminal.
    """
    texts = [[_text(cell) for cell in row] for row in rows]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(columns):
        whole = max((row[number].cell_len for row in texts), default=0)
        table.add_column(
            name.lstrip(MARKS),
            justify="right" if name.startswith(">") else "left",
            no_wrap=not name.startswith("~"),
            overflow="fold" if name.startswith("~") else "ellipsis",
            min_width=whole if name.startswith("!") else None,
        )
    for row in texts:
        table.add_row(*row)
    console().print(table)


def print_lines(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table with a long last column, which a narrow terminal shows below the others."""
    if not is_narrow():
        print_table([*columns[:-1], f"~{columns[-1]}"], rows)
        return
    texts = [[_text(cell) for cell in row] for row in rows]
    heading = [Text(name.lstrip(MARKS), style="bold") for name in columns[:-1]]
    widths = [
        max(cell.cell_len for cell in column) for column in zip(heading, *texts, strict=False)
    ]
    screen = console()
    for *cells, last in [[*heading, Text()], *texts]:
        screen.print(_padded(cells, widths), no_wrap=True, overflow="ellipsis")
        if last:
            screen.print(Padding(last, (0, 0, 0, 4)), style="dim")


def require_yes(question: str) -> None:
    """Ask on stderr, so that stdout stays clean. Raises Stop unless the answer is yes."""
    complain(f"{question} [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop(Exit.REFUSED, "Nothing was changed.")


def is_interactive() -> bool:
    """Whether an operator can answer a question."""
    return sys.stdin.isatty()


def print_facts(facts: Iterable[tuple[str, Cell]]) -> None:
    """Print name and value pairs, one per line."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _text(value, may_break=True))
    console().print(table)


def _padded(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(cells, widths, strict=True):
        cell.pad_right(width - cell.cell_len + 2)
        line.append_text(cell)
    return line


def _text(cell: Cell, *, may_break: bool = False) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text(harmless_lines(cell) if may_break else harmless(cell))
