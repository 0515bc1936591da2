"""export: the jobs in another scheduler's language, on stdout or in a file of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.door import Door
from api.cli.exits import Misused
from api.cli.moments import shown
from api.cli.options import DataFolder
from api.cli.screen import complain, harmless_lines, write
from api.cli.ways import Intent, open_door
from api.crontab import writing

PAGE = 500


class Format(StrEnum):
    """The languages there are."""

    CRONTAB = "crontab"


WRITERS: dict[Format, Callable[[Iterable[Mapping[str, Any]]], str]] = {
    Format.CRONTAB: writing.write,
}

Wanted = Annotated[Format, typer.Option("--format", help="In which language.")]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="A new file; left out: stdout.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")]
Tag = Annotated[str | None, typer.Option("--tag", metavar="WORD", help="Only jobs with this tag.")]


def export(
    wanted: Wanted,
    output: Output = None,
    force: Force = False,
    tag: Tag = None,
    data: DataFolder = None,
) -> None:
    """Write the jobs for another scheduler; what it cannot say is a comment with the reason."""
    with open_door(Intent.READ, data) as door:
        text = WRITERS[wanted](_jobs(door, tag))
    if output is None:
        write(harmless_lines(text) if sys.stdout.isatty() else text)
    else:
        _keep(output, text.encode(), may_replace=force)
        complain(f"Written to {output}.")


def _jobs(door: Door, tag: str | None) -> Iterator[Mapping[str, Any]]:
    cursor = None
    while True:
        query = {"limit": PAGE, "cursor": cursor, "tag": tag}
        page = door.ask("GET", "/v1/jobs", query=query).document
        yield from page["jobs"]
        cursor = page["next"]
        if cursor is None:
            return


def _keep(file: Path, content: bytes, *, may_replace: bool) -> None:
    """Only its owner may read it: commands and variables hold secrets. Raises Misused."""
    how = os.O_TRUNC if may_replace else os.O_EXCL
    try:
        number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
        with os.fdopen(number, "wb") as opened:
            opened.write(content)
    except FileExistsError:
        raise Misused(f"{shown(str(file))} exists: --force replaces it.") from None
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        why = getattr(error, "strerror", None) or str(error)
        raise Misused(f"{shown(str(file))} cannot be written: {why}.") from None
