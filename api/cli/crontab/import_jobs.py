"""import crontab: create jobs from the lines of a crontab, and list the refused lines."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from api.cli.crontab.send import send
from api.cli.exit_codes import Exit, Misused, Stop
from api.cli.options import AsJson, DataFolder, argument, flag, switch
from api.cli.output.render import write_json
from api.cli.output.terminal import is_narrow, print_lines, print_table, say
from api.cli.output.times import ago_short, shown
from api.cli.text import harmless
from api.crontab.machine import is_zone, owner_of, zone_here
from api.crontab.reading import Form, ParsedCrontab, ReadOptions, read
from api.settings import Settings, load_settings, zone_variable
from ledger.clock import SystemClock
from ledger.domain.schedule.recurrence import describe
from ledger.domain.schedule.schedules import parse_schedule
from ledger.plurals import counted
from ledger.store.sqlite.folder import Folder

LARGEST_FILE_BYTES = 4 * 1024 * 1024
LONGEST_SOURCE = 400
LONGEST_SHOWN = 120
"""Characters of a refused line in the table."""
STDIN = "-"

File = Annotated[str, argument("FILE", "Crontab; - reads standard input.")]
DryRun = Annotated[bool, switch("--dry-run", "Show what would be created; create nothing.")]
System = Annotated[
    bool | None,
    switch(
        "--system/--user",
        "With or without a column of users.",
        show_default="with, for /etc/crontab and /etc/cron.d",
    ),
]
AnyUser = Annotated[
    bool,
    switch(
        "--any-user", "Import lines of other users too; they run as the owner of the data folder."
    ),
]
Zone = Annotated[
    str | None, flag("--tz", "ZONE", "Time zone without CRON_TZ.", show_default="this machine's")
]
Disabled = Annotated[
    bool, switch("--disabled", "Create the jobs disabled: they do not fire until enabled.")
]
Prefix = Annotated[str, flag("--prefix", "TEXT", "Prefix of every name.")]

Document = Mapping[str, Any]


def import_crontab(
    file: File,
    dry_run: DryRun = False,
    system: System = None,
    any_user: AnyUser = False,
    tz: Zone = None,
    disabled: Disabled = False,
    prefix: Prefix = "",
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Create jobs from a crontab.

    Lines that become no job are listed with the reason.
    """
    settings = load_settings(overrides={"data": data})
    zone, zone_source = _zone(tz)
    reading = ReadOptions(
        source=_source(file),
        form=_form(file, system),
        tz=zone,
        runs_as=None if any_user else owner_of(settings.data),
        is_enabled=not disabled,
        prefix=prefix,
    )
    outcome = _send(read(_content(file), reading), settings, data, dry_run=dry_run)
    document = {
        "source": reading.source,
        "form": reading.form.value,
        "tz": zone,
        "tz_told_by": zone_source,
        "dry_run": dry_run,
        **outcome,
    }
    if as_json:
        write_json(document)
    else:
        _print(document)
    if document["refused"]:
        raise Stop(Exit.REFUSED, _refused_text(document))


def _send(
    found: ParsedCrontab, settings: Settings, data: Path | None, *, dry_run: bool
) -> dict[str, Any]:
    """Send the jobs. A dry run creates no ledger either: without one it has one for itself."""
    has_ledger = settings.url is not None or Folder(settings.data).event_store_file.exists()
    if has_ledger or not dry_run:
        return send(found, dry_run=dry_run, data=data)
    with TemporaryDirectory(prefix="jobledger-") as folder:
        return send(found, dry_run=True, data=Path(folder))


# -- the file -----------------------------------------------------------------------------------


def _content(file: str) -> bytes:
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(LARGEST_FILE_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        why = getattr(error, "strerror", None) or str(error)
        raise Misused(f"{shown(file)} cannot be read: {why}.") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise Misused(f"{shown(file)} is larger than {LARGEST_FILE_BYTES} bytes.")
    return content


def _source(file: str) -> str:
    name = "stdin" if file == STDIN else str(Path(file).absolute())
    return harmless(name)[-LONGEST_SOURCE:]


def _form(file: str, is_system: bool | None) -> Form:
    if is_system is not None:
        return Form.SYSTEM if is_system else Form.USER
    path = Path(file).absolute()
    has_users = path == Path("/etc/crontab") or path.parent == Path("/etc/cron.d")
    return Form.SYSTEM if has_users and file != STDIN else Form.USER


def _zone(tz: str | None) -> tuple[str, str]:
    """The time zone of lines without CRON_TZ, and who told it."""
    if tz is None:
        return zone_here(zone_variable())
    if not is_zone(tz):
        raise Misused(f"--tz: {shown(tz)} is not a time zone; write Europe/Berlin or UTC.")
    return tz, "--tz"


# -- the outcome --------------------------------------------------------------------------------


def _print(document: Document) -> None:
    column = "with" if document["form"] == Form.SYSTEM.value else "without"
    say(
        f"{document['source']}, read {column} a column of users; time zone without CRON_TZ: "
        f"{document['tz']} ({document['tz_told_by']})."
    )
    if document["jobs"]:
        _print_jobs(document["jobs"])
    if document["refused_lines"]:
        rows = [
            (str(one["line"]), one["text"][:LONGEST_SHOWN], one["reason"])
            for one in document["refused_lines"]
        ]
        say()
        print_lines([">LINE", "REFUSED", "REASON"], rows)
    done = "can be imported" if document["dry_run"] else "imported"
    say(f"{counted(document['imported'], 'line')} {done}, {document['refused']} refused.")


def _print_jobs(jobs: list[dict[str, Any]]) -> None:
    now, narrow = SystemClock().now(), is_narrow()
    rows = [
        (
            str(one["line"]),
            one["job"]["name"],
            _in_words(one["job"]["schedule"]),
            ago_short(one["job"]["next_run_at"], now, is_narrow=narrow),
        )
        for one in jobs
    ]
    print_table([">LINE", "NAME", "~SCHEDULE", "NEXT RUN"], rows)


def _in_words(schedule: Document) -> str:
    zone = schedule["tz"]
    text = describe(parse_schedule(schedule))
    return text if zone in text else f"{text} ({zone})"


def _refused_text(document: Document) -> str:
    return f"{counted(document['refused'], 'line')} refused; the list has the reasons."
