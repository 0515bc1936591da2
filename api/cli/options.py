"""Flags and arguments that several commands share, each with the one text that explains it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the API's answer as one JSON document.")
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="The data folder [JOBLEDGER_DATA, ./data]."),
]
JobWanted = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="A job's id, the beginning of it (4 characters or more), or its name."
    ),
]
StormWanted = Annotated[
    str, typer.Argument(metavar="STORM", help="A storm's id, such as S-254478: see storm list.")
]
OfJob = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="Only this job: id, prefix or name.")
]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the audit.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on after the page before.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="MOMENT", help="As it stood at a position, an instant, or 2h ago: 2h."
    ),
]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=1000, help="How many at most.")
]
IfRevision = Annotated[
    int | None,
    typer.Option(
        "--if-revision", metavar="N", min=1, help="Only if the job still is at this revision."
    ),
]
