"""export: events, or jobs in the format of another scheduler, on stdout or into a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import pages
from api.cli.exit_codes import Misused
from api.cli.inspect import audit
from api.cli.inspect.event_filters import EventFlags
from api.cli.inspect.export_stream import FileFormat, stream_events
from api.cli.options import DataFolder, flag, switch, with_flags
from api.cli.output.terminal import complain, write
from api.cli.output.times import shown
from api.cli.text import harmless_lines


class ExportFormat(StrEnum):
    """Formats of events, and of jobs for another scheduler."""

    JSONL = "jsonl"
    CSV = "csv"
    CRONTAB = "crontab"


Wanted = Annotated[ExportFormat, switch("--format", "Events: jsonl, csv. Jobs: crontab.")]
Output = Annotated[Path | None, flag("--output", "FILE", "New file (default: stdout).")]
Force = Annotated[bool, switch("--force", "Replace an existing file.")]
Tag = Annotated[str | None, flag("--tag", "TAG", "Only jobs with this tag (crontab).")]


@with_flags
def export(
    *,
    wanted: Wanted,
    output: Output = None,
    force: Force = False,
    tag: Tag = None,
    filters: EventFlags,
    data: DataFolder = None,
) -> None:
    """Write events, or jobs as a crontab.

    Events are filtered as in audit.
    """
    query = filters.query()
    _require_filters_of(wanted, tag, {**query, "job": filters.job})
    with connect(Intent.READ, data) as client:
        if wanted is ExportFormat.CRONTAB:
            _write([_crontab(client, tag)], output, may_replace=force)
            return
        query["job"] = filters.job_id(client)
        _write_events(client, query, FileFormat(wanted.value), output, may_replace=force)


def _crontab(client: ApiClient, tag: str | None) -> str:
    """The jobs as a crontab; what it cannot express is a comment in it."""
    from api.crontab import writing  # imports the domain: slow, and not needed for events

    return writing.write(pages(client, "/v1/jobs", {"tag": tag}, "jobs"))


def _require_filters_of(wanted: ExportFormat, tag: str | None, filters: dict[str, Any]) -> None:
    """Misused when a filter does not apply to the format."""
    if wanted is ExportFormat.CRONTAB:
        given = [name for name, value in filters.items() if value]
        if given:
            flag = given[0].replace("_", "-")
            raise Misused(f"--{flag} filters events; --format crontab writes jobs.")
    elif tag is not None:
        raise Misused(f"--tag filters jobs; --format {wanted.value} writes events.")


def _write_events(
    client: ApiClient,
    query: dict[str, Any],
    shape: FileFormat,
    output: Path | None,
    *,
    may_replace: bool,
) -> None:
    if output is None:
        audit.write_events(client, query, shape)
    else:
        _write(stream_events(client, query, shape), output, may_replace=may_replace)


def _write(pieces: Iterable[str], output: Path | None, *, may_replace: bool) -> None:
    if output is None:
        for text in pieces:
            write(harmless_lines(text) if sys.stdout.isatty() else text)
        return
    with _new_file(output, may_replace=may_replace) as file:
        file.writelines(pieces)
    complain(f"Written to {output}.")


@contextmanager
def _new_file(path: Path, *, may_replace: bool) -> Iterator[TextIO]:
    """A file that only its owner may read, because tasks, commands and variables may contain
    secrets. An incomplete file is removed. Raises Misused.
    """
    how = os.O_TRUNC if may_replace else os.O_EXCL
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)
    except FileExistsError:
        raise Misused(f"{shown(str(path))} exists: --force replaces it.") from None
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritable(path, error) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _unwritable(path: Path, error: OSError | ValueError) -> Misused:
    why = getattr(error, "strerror", None) or str(error)
    return Misused(f"{shown(str(path))} cannot be written: {why}.")
