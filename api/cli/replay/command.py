"""The command: what is played, from where, and how the keys steer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.live import Live
from rich.panel import Panel

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import pages
from api.cli.exit_codes import Misused
from api.cli.options import DataFolder
from api.cli.output.terminal import console, say
from api.cli.output.times import read_instant
from api.cli.replay.keyboard import Keys, keys
from api.cli.replay.screen import picture, plain_lines
from ledger.clock import Clock, SystemClock, parse_rfc3339, rfc3339
from projections.history.replay import FASTEST, SLOWEST, FleetState, Playback

FRAME_SECONDS = 0.1
BEFORE_STORM = timedelta(minutes=2)
AFTER_STORM = timedelta(minutes=5)
"""How much of the time around a storm's failures is played with it."""
QUIT = ("q", "\x03", "\x04")

Storm = Annotated[
    str | None,
    typer.Option("--storm", metavar="STORM", help="The stretch of a storm: see storm list."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="INSTANT", help="From when on, or 2h ago: 2h.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="INSTANT", help="Until when, or 2h ago: 2h.")
]
Speed = Annotated[
    float,
    typer.Option(
        "--speed", metavar="N", min=SLOWEST, max=FASTEST, help="How many times as fast as it was."
    ),
]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is played, and what it is called."""

    since: datetime
    until: datetime
    title: str


def replay(
    storm: Storm = None,
    since: Since = None,
    until: Until = None,
    speed: Speed = 60.0,
    data: DataFolder = None,
) -> None:
    """Play back a period of history.

    Job states, failures per minute and trips, as they happened.
    """
    clock = SystemClock()
    if (storm is None) == (since is None):
        raise Misused("Say what to play: --storm S-…, or --since INSTANT and perhaps --until.")
    with connect(Intent.READ, data) as client:
        if storm is not None:
            stretch = _of_storm(client, storm, until, clock.now())
        else:
            stretch = _read_stretch(since or "", until, clock.now())
        player = _player(client, stretch, speed)
        if not console().is_terminal:
            for line in plain_lines(player):
                say(line)
            return
        with keys() as pressed:
            play(player, stretch.title, pressed, clock)


def _read_stretch(since: str, until: str | None, now: datetime) -> Stretch:
    begin = parse_rfc3339(read_instant(since, "--since", now, direction=-1))
    end = now if until is None else _read_until(until, now)
    if begin > now:
        raise Misused("--since is still to come: only what has happened can be played.")
    if end < begin:
        raise Misused("--until is before --since: there is nothing between them.")
    return Stretch(begin, min(end, now), f"{rfc3339(begin)} to {rfc3339(min(end, now))}")


def _read_until(until: str, now: datetime) -> datetime:
    return parse_rfc3339(read_instant(until, "--until", now, direction=-1))


def _of_storm(client: ApiClient, storm: str, until: str | None, now: datetime) -> Stretch:
    told = client.request("GET", f"/v1/storms/{quote(storm, safe='')}").document["storm"]
    begin = parse_rfc3339(told["first_failed_at"]) - BEFORE_STORM
    end = parse_rfc3339(told["last_failed_at"]) + AFTER_STORM
    if until is not None:
        end = _read_until(until, now)
    if end < begin:
        raise Misused("--until is before the storm: there is nothing to play.")
    return Stretch(begin, min(end, now), f"{told['id']}  {told['signature']}")


def _player(client: ApiClient, stretch: Stretch, speed: float) -> Playback:
    """The events come page by page while they are played; the jobs as they stood before them."""
    query = {"since": rfc3339(stretch.since), "until": rfc3339(stretch.until), "order": "asc"}
    events: Iterator[Mapping[str, Any]] = pages(client, "/v1/events", query, "events")
    first = next(events, None)
    as_of = query["since"] if first is None else first["position"] - 1
    board = FleetState.of(pages(client, "/v1/jobs", {"as_of": as_of}, "jobs"))
    whole = events if first is None else chain([first], events)
    return Playback(board, whole, since=stretch.since, until=stretch.until, speed=speed)


# -- playing --------------------------------------------------------------------------------------


def play(player: Playback, title: str, pressed: Keys, clock: Clock) -> None:
    """Show the player on the terminal until it is over or somebody quits."""
    before = clock.elapsed()
    with _live(player, title) as show:
        while not player.is_over:
            key = pressed.wait(FRAME_SECONDS)
            if key in QUIT:
                return
            now = clock.elapsed()
            player.advance(now - before)
            before = now
            if key is not None:
                obey(player, key)
            show()


@contextmanager
def _live(player: Playback, title: str) -> Iterator[Callable[[], None]]:
    def now() -> Panel:
        return picture(player, title, height=console().height)

    with Live(now(), console=console(), auto_refresh=False) as live:
        yield lambda: live.update(now(), refresh=True)


def obey(player: Playback, key: str) -> None:
    """What a key does; one that means nothing does nothing."""
    match key:
        case " ":
            player.toggle_pause()
        case "n" | "\x1b[C" | "\x1bOC":
            player.step()
        case "j":
            player.jump()
        case "+" | "=":
            player.faster()
        case "-" | "_":
            player.slower()
