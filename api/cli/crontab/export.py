"""The jobs as a crontab."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.cli.connection.client import ApiClient
from api.crontab import writing

PAGE = 500


def crontab(client: ApiClient, tag: str | None) -> str:
    """The jobs, with that tag if one is given; what a crontab cannot say is a comment."""
    return writing.write(_jobs(client, tag))


def _jobs(client: ApiClient, tag: str | None) -> Iterator[Mapping[str, Any]]:
    cursor = None
    while True:
        query = {"limit": PAGE, "cursor": cursor, "tag": tag}
        page = client.request("GET", "/v1/jobs", query=query).document
        yield from page["jobs"]
        cursor = page["next"]
        if cursor is None:
            return
