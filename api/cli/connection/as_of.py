"""A moment of the past as a command asks for it, and the instant from which its answer is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.cli.connection.client import ApiClient
from api.cli.output.terminal import say
from api.cli.output.times import distance, read_moment, to_the_second
from ledger.clock import SystemClock, parse_rfc3339, rfc3339

LONGEST_POSITION = 18
"""Digits of a position; more are the API's to refuse."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """What `--as-of` said: what the API is asked for (None: as it is), and the instant that
    "in 3 min" and "due" count from.
    """

    as_of: str | None
    now: datetime

    def say(self) -> None:
        """Above an answer: of when it is, unless it is of now."""
        if self.as_of is not None:
            ago = distance(self.now, SystemClock().now())
            where = f"position {self.as_of}, " if self.as_of.isdigit() else ""
            say(f"As of {where}{to_the_second(rfc3339(self.now))} ({ago}):", style="bold")

    def pinned(self, position: int) -> dict[str, object]:
        """What keeps the next page at the same moment."""
        return {} if self.as_of is None else {"as_of": position}


def read_as_of(client: ApiClient, text: str | None) -> AsOf:
    """The moment that `--as-of` names. Misused when it is none."""
    now = SystemClock().now()
    as_of = read_moment(text, "--as-of", now)
    if as_of is None:
        return AsOf(None, now)
    return AsOf(
        as_of, _recorded_at(client, as_of, now) if as_of.isdigit() else parse_rfc3339(as_of)
    )


def _recorded_at(client: ApiClient, position: str, now: datetime) -> datetime:
    """When the event at a position was recorded; `now` for what is none."""
    if not 0 < int(position[: LONGEST_POSITION + 1]) < 10**LONGEST_POSITION:
        return now
    query = {"cursor": int(position) - 1, "limit": 1}
    events = client.request("GET", "/v1/events", query=query).document["events"]
    return parse_rfc3339(events[0]["recorded_at"]) if events else now
