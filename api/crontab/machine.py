"""What cron takes from the machine: its time zone, and the user that runs commands."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ledger.domain.schedule.schedules import parse_schedule
from ledger.errors import LedgerError

ROOT = Path("/")
LONGEST_ZONE = 255


def zone_here(variable: str | None, root: Path = ROOT) -> tuple[str, str]:
    """The time zone of this machine and where it was found: the variable TZ, /etc/timezone, the
    target of /etc/localtime; UTC when none of them names a zone.
    """
    for zone, source in _candidates(variable, root):
        if is_zone(zone):
            return zone, source
    return "UTC", "no zone is set here"


def is_zone(tz: str) -> bool:
    """Whether schedules accept this time zone."""
    try:
        parse_schedule({"kind": "cron", "expr": "@daily", "tz": tz})
    except LedgerError:
        return False
    return True


def owner_of(folder: Path) -> str:
    """The owner of a folder, as whom the commands of its ledger run; the user of this process when
    the folder does not exist yet.
    """
    try:
        number = folder.stat().st_uid
    except OSError:
        number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _candidates(variable: str | None, root: Path) -> Iterator[tuple[str, str]]:
    if variable:
        yield variable.removeprefix(":"), "TZ"
    with suppress(OSError, UnicodeDecodeError):
        text = (root / "etc/timezone").read_text()
        yield text[:LONGEST_ZONE].strip(), "/etc/timezone"
    with suppress(OSError):
        _, _, zone = str((root / "etc/localtime").readlink()).partition("zoneinfo/")
        yield zone, "/etc/localtime"
