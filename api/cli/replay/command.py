"""The command replay: the period that is played, and the keys that control it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated, Any
from urllib.parse import quote

from rich.live import Live
from rich.panel import Panel

from api.cli.connection.client import ApiClient
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import pages
from api.cli.exit_codes import Misused
from api.cli.options import DataFolder, flag
from api.cli.output.terminal import console, say
from api.cli.output.times import read_instant
from api.cli.replay.keyboard import Keys, keys
from api.cli.replay.screen import picture, plain_lines
from ledger.clock import Clock, SystemClock, parse_rfc3339, rfc3339
from projections.history.replay import FASTEST, SLOWEST, FleetState, Playback

FRAME_SECONDS = 0.1
BEFORE_STORM = timedelta(minutes=2)
AFTER_STORM = timedelta(minutes=5)
"""The time before the first and after the last failure of a storm that is played with it."""
QUIT = ("q", "\x03", "\x04")

Storm = Annotated[
    str | None, flag("--storm", "STORM", "Play the period of a storm: see storm list.")
]
Since = Annotated[str | None, flag("--since", "INSTANT", "Start of the period, or 2h ago (2h).")]
Until = Annotated[
    str | None, flag("--until", "INSTANT", "End of the period, or 2h ago (2h).", show_default="now")
]
Speed = Annotated[float, flag("--speed", "N", "Factor of real time.", min=SLOWEST, max=FASTEST)]


@dataclass(frozen=True, slots=True)
class Period:
    """The period that is played, and its title."""

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
        raise Misused("Give --storm S-…, or --since INSTANT with or without --until.")
    with connect(Intent.READ, data) as client:
        if storm is not None:
            period = _of_storm(client, storm, until, clock.now())
        else:
            period = _read_period(since or "", until, clock.now())
        player = _player(client, period, speed)
        if not console().is_terminal:
            for line in plain_lines(player):
                say(line)
            return
        with keys() as pressed:
            play(player, period.title, pressed, clock)


def _read_period(since: str, until: str | None, now: datetime) -> Period:
    begin = parse_rfc3339(read_instant(since, "--since", now, direction=-1))
    end = now if until is None else _read_until(until, now)
    if begin > now:
        raise Misused("--since is in the future: only the past can be played.")
    if end < begin:
        raise Misused("--until is before --since: the period is empty.")
    return Period(begin, min(end, now), f"{rfc3339(begin)} to {rfc3339(min(end, now))}")


def _read_until(until: str, now: datetime) -> datetime:
    return parse_rfc3339(read_instant(until, "--until", now, direction=-1))


def _of_storm(client: ApiClient, storm: str, until: str | None, now: datetime) -> Period:
    found = client.request("GET", f"/v1/storms/{quote(storm, safe='')}").document["storm"]
    begin = parse_rfc3339(found["first_failed_at"]) - BEFORE_STORM
    end = parse_rfc3339(found["last_failed_at"]) + AFTER_STORM
    if until is not None:
        end = _read_until(until, now)
    if end < begin:
        raise Misused("--until is before the storm: the period is empty.")
    return Period(begin, min(end, now), f"{found['id']}  {found['signature']}")


def _player(client: ApiClient, period: Period, speed: float) -> Playback:
    """A player that reads the events page by page, on the jobs as they were before them."""
    query = {"since": rfc3339(period.since), "until": rfc3339(period.until), "order": "asc"}
    events: Iterator[Mapping[str, Any]] = pages(client, "/v1/events", query, "events")
    first = next(events, None)
    as_of = query["since"] if first is None else first["position"] - 1
    fleet = FleetState.of(pages(client, "/v1/jobs", {"as_of": as_of}, "jobs"))
    whole = events if first is None else chain([first], events)
    return Playback(fleet, whole, since=period.since, until=period.until, speed=speed)


# -- playing --------------------------------------------------------------------------------------


def play(player: Playback, title: str, pressed: Keys, clock: Clock) -> None:
    """Show the player on the terminal until its end or the key q."""
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
                handle_key(player, key)
            show()


@contextmanager
def _live(player: Playback, title: str) -> Iterator[Callable[[], None]]:
    def now() -> Panel:
        return picture(player, title, height=console().height)

    with Live(now(), console=console(), auto_refresh=False) as live:
        yield lambda: live.update(now(), refresh=True)


def handle_key(player: Playback, key: str) -> None:
    """Do what a key means; other keys are ignored."""
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
