"""How a replay is shown: as a picture on a terminal, as lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.cli.output import event_text
from api.cli.output.sparkline import WIDEST, curve
from api.cli.output.terminal import status_cell
from api.cli.output.times import to_the_second
from api.cli.text import harmless
from ledger.clock import parse_rfc3339, rfc3339
from projections.history.replay import STATUSES, Event, Playback

SHOWN_LINES = 8
OTHER_LINES = 11
"""Lines of the picture beside the events."""
HELP = "space pause · → or n one event · j next trip · + - speed · q quit"


def picture(player: Playback, title: str, *, height: int = SHOWN_LINES + OTHER_LINES) -> Panel:
    """The present state of a player, on a screen of so many lines. Notable events come newest
    first, as many as fit.
    """
    room = max(1, min(SHOWN_LINES, height - OTHER_LINES))
    return Panel(
        Group(
            _clock(player),
            Padding(
                ProgressBar(total=1.0, completed=_done(player)), 0
            ),  # ends the line, as a bar alone does not
            Text(HELP, style="dim"),
            _last(player),
            _jobs_by_status(player),
            _failures(player),
            Text(),
            *_notable(player, room),
        ),
        title=Text(harmless(title)),
        title_align="left",
    )


def _clock(player: Playback) -> Text:
    state = "■ over" if player.is_over else "‖ paused" if player.is_paused else "▶"
    position = player.last["position"] if player.last is not None else "-"
    text = Text(f"{rfc3339(player.now.replace(microsecond=0))}  ", style="bold")
    return text.append(f"{state} ×{player.speed:g}   position {position}", style="")


def _last(player: Playback) -> Text:
    """The last event, for stepping event by event."""
    event = player.last
    if event is None:
        return Text()
    name = player.fleet.name(event["job_id"]) if event["job_id"] else event["topic"]
    text = f"{event_text.topic(event)}  {name}: {event_text.details(event)}"
    return Text(harmless(text), style="dim", no_wrap=True, overflow="ellipsis")


def _done(player: Playback) -> float:
    whole = (player.until - player.since).total_seconds()
    return (player.now - player.since).total_seconds() / whole if whole else 1.0


def _jobs_by_status(player: Playback) -> Table:
    fleet = player.fleet
    counts = fleet.counts()
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    for status in STATUSES:
        table.add_column(status_cell(status), justify="right")
    for name in ("running", "failing", "trips"):
        table.add_column(name, justify="right")
    cells = [counts[status] for status in STATUSES]
    cells += [len(fleet.running), len(fleet.failing), fleet.trip_count]
    table.add_row(*(str(count) for count in cells))
    return table


def _failures(player: Playback) -> Text:
    counts = player.failures_by_minute(WIDEST)
    text = Text("failures/min  ", style="bold").append(curve(counts), style="red")
    return text.append(f"  {counts[-1]} now, peak {max(counts)}")


def _notable(player: Playback, room: int) -> Iterator[Text]:
    recent = list(player.fleet.notable)[: -room - 1 : -1]
    for event in recent:
        yield _line(player, event, f"{parse_rfc3339(event['recorded_at']):%H:%M:%S}")
    for _ in range(room - len(recent)):
        yield Text()


def _line(player: Playback, event: Event, at: str) -> Text:
    what = event_text.topic(event)
    line = Text(f"{at}  {harmless(what)}  ", no_wrap=True, overflow="ellipsis")
    line.stylize("bold red" if what == "circuit_tripped" else "bold")
    who = "" if event["source"] == "dispatcher" else f"by {event['actor']['id']}; "
    name = f"{player.fleet.name(event['job_id'])}: " if event["job_id"] else ""
    detail = f"{name}{who}{event_text.details(event)}"
    return line.append(harmless(detail), style="")


def plain_lines(player: Playback) -> Iterator[str]:
    """The period as lines: one per notable event, one per minute with events or failures."""
    player.speed = 60.0
    seen = 0
    while True:
        before = player.fleet.failures.total()
        player.advance(1.0)
        new = player.fleet.notable_count - seen
        for event in list(player.fleet.notable)[-new:] if new else []:
            yield _line(player, event, to_the_second(event["recorded_at"])).plain
        seen = player.fleet.notable_count
        failures = player.fleet.failures.total() - before
        if new or failures or player.is_over:
            yield _minute(player, failures)
        if player.is_over:
            return


def _minute(player: Playback, failures: int) -> str:
    counts = player.fleet.counts()
    states = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    now = rfc3339(player.now.replace(microsecond=0))
    return f"{now}  {states or 'no jobs'}; failed runs since the previous line: {failures}"
