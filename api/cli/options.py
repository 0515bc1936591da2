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
    typer.Option(
        "--data", metavar="FOLDER", help="Data folder.", show_default="JOBLEDGER_DATA, ./data"
    ),
]
JobWanted = Annotated[
    str,
    typer.Argument(metavar="JOB", help="Job id, its first 4 or more characters, or job name."),
]
OfJob = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="Only this job: id, prefix or name.")
]
Tag = Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Only jobs with this tag.")]
StormWanted = Annotated[
    str, typer.Argument(metavar="STORM", help="Storm id, such as S-254478: see storm list.")
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Reason, recorded for the audit.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Cursor = Annotated[
    str | None,
    typer.Option("--cursor", metavar="CURSOR", help="Continue after the previous page."),
]
AsOfOption = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="WHEN", help="State at a position, an instant, or 2h ago (2h)."
    ),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="Page size.")]
IfRevision = Annotated[
    int | None,
    typer.Option(
        "--if-revision", metavar="N", min=1, help="Only if the job is still at this revision."
    ),
]
