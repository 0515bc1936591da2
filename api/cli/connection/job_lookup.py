"""Finds the job that was typed: by its id, the beginning of it, or its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from api.cli.connection.client import ApiClient
from api.cli.exit_codes import Exit, Problem, Stop
from api.cli.text import harmless

SHORTEST_PREFIX = 4
PAGE = 1000
MAX_CANDIDATES = 10
"""Jobs that the refusal of an ambiguous name lists."""

Job = Mapping[str, Any]

_PREFIX = re.compile(rf"[0-9a-f-]{{{SHORTEST_PREFIX},36}}")


def find_job_id(client: ApiClient, wanted: str, *, as_of: str | None = None) -> str:
    """The id of the job, as of now or then. A whole id is not looked up, because the history of a
    deleted job still exists. Raises Stop when no job, or more than one, matches.
    """
    try:
        return str(UUID(wanted))
    except ValueError:
        pass
    found = {job["id"]: job for job in _candidates(client, wanted, as_of)}
    if not found:
        raise Stop(
            Exit.NOT_FOUND, f"There is no job {harmless(wanted)[:200]!r}: see jobledger list."
        )
    if len(found) > 1:
        raise Stop(Exit.REFUSED, _ambiguous(wanted, list(found.values())))
    [job_id] = found
    return str(job_id)


def _candidates(client: ApiClient, wanted: str, as_of: str | None) -> list[Job]:
    """The matching jobs, also while the list of jobs cannot answer: a broken read model must not
    prevent an operator from resuming a job.
    """
    try:
        return list(_matching(client, wanted, as_of))
    except Problem as problem:
        if problem.problem_code != "behind" or as_of is not None:
            raise
    return list(_matching_in_events(client, wanted))


def _matching(client: ApiClient, wanted: str, as_of: str | None) -> Iterator[Job]:
    folded, at = wanted.casefold(), {"as_of": as_of}
    # The list's own search ignores case in ASCII only.
    query = at | ({"q": wanted} if wanted.isascii() else {})
    yield from (job for job in _jobs(client, query) if job["name"].casefold() == folded)
    if _PREFIX.fullmatch(folded):
        yield from (job for job in _jobs(client, at) if job["id"].startswith(folded))


def _matching_in_events(client: ApiClient, wanted: str) -> Iterator[Job]:
    """As `_matching`, from the events alone: the last event of a name says whose it is."""
    # The domain is slow to import, and needed only while the list of jobs cannot answer.
    from ledger.domain.streams.names import NameReleased, NameReserved, name_stream

    folded, stream = wanted.casefold(), name_stream(wanted)
    is_prefix = _PREFIX.fullmatch(folded) is not None
    query = {"topic": (NameReserved.TOPIC, NameReleased.TOPIC), "order": "desc"}
    seen: set[UUID] = set()
    for event in pages(client, "/v1/events", query, "events"):
        job_id, of_name = event["data"]["job_id"], name_stream(event["data"]["name"])
        is_latest = of_name not in seen
        seen.add(of_name)
        is_wanted = of_name == stream or (is_prefix and job_id.startswith(folded))
        if is_latest and is_wanted and event["topic"] == NameReserved.TOPIC:
            yield {"id": job_id, "name": event["data"]["name"]}


def _jobs(client: ApiClient, query: Mapping[str, object]) -> Iterator[Job]:
    yield from pages(client, "/v1/jobs", query, "jobs")


def pages(client: ApiClient, path: str, query: Mapping[str, object], key: str) -> Iterator[Job]:
    """Every entry of a list, page by page."""
    cursor: str | None = None
    while True:
        page = client.request(
            "GET", path, query={**query, "cursor": cursor, "limit": PAGE}
        ).document
        yield from page[key]
        cursor = page["next"]
        if cursor is None:
            return


def _ambiguous(wanted: str, jobs: list[Job]) -> str:
    named = ", ".join(f"{job['id']} ({harmless(job['name'])})" for job in jobs[:MAX_CANDIDATES])
    more = f" and {len(jobs) - MAX_CANDIDATES} more" if len(jobs) > MAX_CANDIDATES else ""
    return f"{harmless(wanted)!r} matches {len(jobs)} jobs: {named}{more}. Type more of it."
