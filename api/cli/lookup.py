"""From what a person types to one job: an id, the beginning of one, or a name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from api.cli.door import Door
from api.cli.exits import Exit, Stop
from api.cli.screen import harmless

SHORTEST_PREFIX = 4
PAGE = 1000
MAX_CANDIDATES = 10
"""How many jobs are named when several are meant."""

Job = Mapping[str, Any]

_PREFIX = re.compile(rf"[0-9a-f-]{{{SHORTEST_PREFIX},36}}")


def find_job_id(door: Door, wanted: str) -> str:
    """The id of the job that is meant. A whole id need not be in the list: history and runs of a
    deleted job are still there. Raises Stop when no job, or more than one, fits.
    """
    try:
        return str(UUID(wanted))
    except ValueError:
        pass
    found = {job["id"]: job for job in _fitting(door, wanted)}
    if not found:
        raise Stop(Exit.NOT_FOUND, f"There is no job {harmless(wanted)[:200]!r}: see list.")
    if len(found) > 1:
        raise Stop(Exit.REFUSED, _ambiguous(wanted, list(found.values())))
    [job_id] = found
    return str(job_id)


def _fitting(door: Door, wanted: str) -> Iterator[Job]:
    folded = wanted.casefold()
    # The list's own search ignores case in ASCII only.
    query = {"q": wanted} if wanted.isascii() else {}
    yield from (job for job in _jobs(door, query) if job["name"].casefold() == folded)
    if _PREFIX.fullmatch(folded):
        yield from (job for job in _jobs(door, {}) if job["id"].startswith(folded))


def _jobs(door: Door, query: Mapping[str, object]) -> Iterator[Job]:
    cursor: str | None = None
    while True:
        page = door.ask(
            "GET", "/v1/jobs", query={**query, "cursor": cursor, "limit": PAGE}
        ).document
        yield from page["jobs"]
        cursor = page["next"]
        if cursor is None:
            return


def _ambiguous(wanted: str, jobs: list[Job]) -> str:
    named = ", ".join(f"{job['id']} ({harmless(job['name'])})" for job in jobs[:MAX_CANDIDATES])
    more = f" and {len(jobs) - MAX_CANDIDATES} more" if len(jobs) > MAX_CANDIDATES else ""
    return f"{harmless(wanted)!r} may be any of {len(jobs)} jobs: {named}{more}. Type more of it."
