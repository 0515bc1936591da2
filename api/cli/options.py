"""Flags and arguments that several commands share, each with the one text that explains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
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
    """A flag without a value, or with one of a few words, which the help then lists."""
    names = (name,) if short is None else (name, short)
    return typer.Option(*names, help=text, **more)


def with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter of a command that is a dataclass of flags by one parameter for each of
    its fields, because typer reads the flags from the signature.
    """
    parameters: list[Parameter] = []
    bundles: dict[str, Any] = {}
    for name, own in signature(command, eval_str=True).parameters.items():
        if isinstance(own.annotation, type) and is_dataclass(own.annotation):
            bundles[name] = own.annotation
            parameters += signature(own.annotation, eval_str=True).parameters.values()
        else:
            parameters.append(own.replace(kind=Parameter.KEYWORD_ONLY))

    @wraps(command)
    def typed(**values: Any) -> None:
        for name, bundle in bundles.items():
            own = {one.name: values.pop(one.name) for one in fields(bundle)}
            values[name] = bundle(**own)
        command(**values)

    typed.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # see PEP 362
    return typed


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
