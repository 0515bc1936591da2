"""Questions about now or the past: `--as-of`, the request, and the page that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.options import AsJson, AsOfOption, Cursor, DataFolder, Limit
from api.cli.output.paging import say_more
from api.cli.output.render import show
from api.cli.output.terminal import Cell, print_table, say
from api.cli.output.times import distance, read_when, to_the_second
from api.cli.responses import Document
from ledger.clock import SystemClock, parse_rfc3339, rfc3339

LONGEST_POSITION = 18
"""Digits of a position; the API refuses more."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """The value of `as_of` in the request (None: now), and the instant from which an answer counts
    what is "due" and what runs "in 3 min".
    """

    value: str | None
    now: datetime

    def print_heading(self) -> None:
        """The instant that an answer is about, unless it is about now."""
        if self.value is not None:
            ago = distance(self.now, SystemClock().now())
            where = f"position {self.value}, " if self.value.isdigit() else ""
            say(f"As of {where}{to_the_second(rfc3339(self.now))} ({ago}):", style="bold")

    def pinned(self, position: int) -> dict[str, object]:
        """The parameter that keeps the next page at the same position."""
        return {} if self.value is None else {"as_of": position}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The flags of a question about now or the past."""

    as_of: AsOfOption = None
    as_json: AsJson = False
    data: DataFolder = None

    def ask(
        self,
        path: str,
        render: Callable[[Document, AsOf], None],
        *,
        query: Mapping[str, object] | None = None,
        job: str | None = None,
    ) -> None:
        """Ask the API and print its answer. A job is looked up as of then; its id replaces `{job}`
        in the path, or is a filter where the path has none. Raises Stop.
        """
        with connect(Intent.READ, self.data) as client:
            as_of = read_as_of(client, self.as_of)
            job_id = find_job_id(client, job, as_of=as_of.value) if job is not None else None
            asked = {**(query or {}), "as_of": as_of.value}
            if "{job}" not in path:
                asked["job"] = job_id
            answer = client.request("GET", path.format(job=job_id), query=asked)
        show(answer, self.as_json, lambda document: render(document, as_of))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuestion:
    """The same of a question that is answered page by page."""

    as_of: AsOfOption = None
    limit: Limit = 50
    cursor: Cursor = None
    as_json: AsJson = False
    data: DataFolder = None

    def ask(
        self,
        path: str,
        render: Callable[[Document, AsOf], None],
        *,
        query: Mapping[str, object] | None = None,
        job: str | None = None,
    ) -> None:
        """As `Question.ask`, for one page."""
        asked = {**(query or {}), "limit": self.limit, "cursor": self.cursor}
        question = Question(as_of=self.as_of, as_json=self.as_json, data=self.data)
        question.ask(path, render, query=asked, job=job)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortListQuestion(ListQuestion):
    """The same, with shorter pages: its rows are long."""

    limit: Limit = 20


def print_page(
    document: Document,
    as_of: AsOf,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    empty: str,
    print_rows: Callable[[Sequence[str], Sequence[Sequence[Cell]]], None] = print_table,
    print_footer: Callable[[Document], None] | None = None,
) -> None:
    """Print one page of a list, a footer, and the command that shows the next page."""
    as_of.print_heading()
    if not rows:
        say(empty, style="dim")
        return
    print_rows(columns, rows)
    if print_footer is not None:
        print_footer(document)
    say_more(document, **as_of.pinned(document["position"]))


def read_as_of(client: ApiClient, text: str | None) -> AsOf:
    """The value of `--as-of`. Raises Misused when it is not valid."""
    now = SystemClock().now()
    value = read_when(text, "--as-of", now)
    if value is None:
        return AsOf(None, now)
    if value.isdigit():
        return AsOf(value, _recorded_at(client, value) or now)
    return AsOf(value, parse_rfc3339(value))


def _recorded_at(client: ApiClient, position: str) -> datetime | None:
    """When the event at a position was recorded; None when there is no such position."""
    if not 0 < int(position[: LONGEST_POSITION + 1]) < 10**LONGEST_POSITION:
        return None
    query = {"cursor": int(position) - 1, "limit": 1}
    events = client.request("GET", "/v1/events", query=query).document["events"]
    return parse_rfc3339(events[0]["recorded_at"]) if events else None
