"""Flags and arguments that several commands share, each with the one text that explains it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def argument(metavar: str, text: str) -> Any:
    """An argument, which commands name by its place."""
    return typer.Argument(metavar=metavar, help=text)


def flag(name: str, metavar: str, text: str, **more: Any) -> Any:
    """A flag with a value."""
    return typer.Option(name, metavar=metavar, help=text, **more)


def switch(name: str, text: str, short: str | None = None, **more: Any) -> Any:
    """A flag without a value."""
    names = (name,) if short is None else (name, short)
    return typer.Option(*names, help=text, **more)


AsJson = Annotated[bool, switch("--json", "Print the API's answer as one JSON document.")]
DataFolder = Annotated[
    Path | None, flag("--data", "FOLDER", "Data folder.", show_default="JOBLEDGER_DATA, ./data")
]
JobWanted = Annotated[str, argument("JOB", "Job id, its first 4 or more characters, or job name.")]
OfJob = Annotated[str | None, flag("--job", "JOB", "Only this job: id, prefix or name.")]
Tag = Annotated[str | None, flag("--tag", "TAG", "Only jobs with this tag.")]
StormWanted = Annotated[str, argument("STORM", "Storm id, such as S-254478: see storm list.")]
Reason = Annotated[str | None, flag("--reason", "TEXT", "Reason, recorded for the audit.")]
Yes = Annotated[bool, switch("--yes", "Do not ask for confirmation.", "-y")]
Cursor = Annotated[str | None, flag("--cursor", "CURSOR", "Continue after the previous page.")]
AsOfOption = Annotated[
    str | None, flag("--as-of", "WHEN", "State at a position, an instant, or 2h ago (2h).")
]
Limit = Annotated[int, flag("--limit", "N", "Page size.", min=1, max=1000)]
IfRevision = Annotated[
    int | None, flag("--if-revision", "N", "Only if the job is still at this revision.", min=1)
]
