"""Playback without a terminal and without waiting: a test says how much time has passed."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console

from api.cli.replay.command import handle_key, play
from api.cli.replay.screen import OTHER_LINES, picture, plain_lines
from ledger.clock import rfc3339
from projections.history.replay import FASTEST, SLOWEST, FleetState, Playback
from tests.support.builders import HOUR, NOON, ManualClock

SECOND = timedelta(seconds=1)


def a_job(job_id: str = "a", **fields: Any) -> dict[str, Any]:
    plain = {"name": f"job {job_id}", "status": "active", "open_run": None, "consecutive_errors": 0}
    return {"id": job_id, **plain, **fields}


def an_event(seconds: float, topic: str, job_id: str = "a", **data: Any) -> dict[str, Any]:
    at = rfc3339(NOON + timedelta(seconds=seconds))
    run = {"trigger": "schedule", "attempt": 1, "scheduled_for": at, "missed": None}
    fields = {
        **run,
        "consecutive_errors": 1,
        "threshold": 1,
        "failure_class": "other",
        "last_error": "e",
    }
    return {
        "position": int(seconds) + 1,
        "topic": f"job.{topic}",
        "job_id": job_id,
        "recorded_at": at,
        "actor": {"id": "dispatcher", "kind": "system"},
        "source": "dispatcher",
        "reason": None,
        "data": fields | data,
    }


EVENTS = (
    an_event(10, "run_started"),
    an_event(20, "run_failed"),
    an_event(20, "circuit_tripped"),
    an_event(90, "run_started", "b"),
    an_event(100, "circuit_tripped", "b"),
)


def a_playback(*events: dict[str, Any], speed: float = 1.0, **jobs: Any) -> Playback:
    fleet = FleetState.of([a_job("a", **jobs), a_job("b")])
    until = NOON + HOUR
    return Playback(fleet, iter(events or EVENTS), since=NOON, until=until, speed=speed)


def test_the_past_plays_at_the_given_speed() -> None:
    playback = a_playback(speed=60)

    playback.advance(0.5)

    assert playback.now == NOON + 30 * SECOND
    assert playback.count == 3
    assert playback.fleet.counts() == {"active": 1, "failed": 1}
    assert playback.fleet.running == set()


def test_a_paused_playback_does_not_advance() -> None:
    playback = a_playback()
    handle_key(playback, " ")
    playback.advance(1000)
    assert (playback.now, playback.count) == (NOON, 0)

    handle_key(playback, " ")
    playback.advance(15)
    assert playback.count == 1


@pytest.mark.parametrize("key", ["n", "\x1b[C", "\x1bOC"])
def test_a_step_applies_one_event_and_pauses(key: str) -> None:
    playback = a_playback()

    handle_key(playback, key)

    assert (playback.count, playback.now, playback.is_paused) == (1, NOON + 10 * SECOND, True)
    assert playback.fleet.running == {"a"}


def test_a_jump_skips_to_the_next_trip_and_then_to_the_end() -> None:
    playback = a_playback()

    for at in (20 * SECOND, 100 * SECOND, HOUR):
        handle_key(playback, "j")
        assert playback.now == NOON + at
    assert playback.is_over
    assert playback.fleet.trip_count == 2


def test_speed_is_doubled_and_halved_within_bounds() -> None:
    playback = a_playback(speed=60)
    handle_key(playback, "+")
    assert playback.speed == 120
    for _ in range(40):
        handle_key(playback, "+")
    assert playback.speed == FASTEST
    for _ in range(40):
        handle_key(playback, "-")
    assert playback.speed == SLOWEST


def test_an_unknown_key_does_nothing() -> None:
    playback = a_playback()

    for key in ("x", "\x1b[A", "\x1b", ""):
        handle_key(playback, key)

    assert (playback.count, playback.is_paused, playback.speed) == (0, False, 1.0)


def test_a_playback_is_over_after_the_last_event_and_instant() -> None:
    playback = a_playback()
    playback.advance(3599)
    was_over = playback.is_over

    playback.advance(1)
    assert (was_over, playback.is_over) == (False, True)
    playback.step()
    playback.jump()
    assert playback.now == playback.until


def test_failures_are_counted_per_minute_up_to_now() -> None:
    playback = a_playback(an_event(20, "run_failed"), an_event(70, "run_failed", "b"))

    playback.advance(130)

    assert playback.failures_by_minute(60) == [1, 1, 0]
    assert playback.failures_by_minute(2) == [1, 0]


def test_deleted_jobs_disappear_and_new_ones_appear() -> None:
    playback = a_playback(an_event(1, "deleted"), an_event(2, "scheduled", "c", name="new"))

    playback.advance(5)

    assert set(playback.fleet.statuses) == {"b", "c"}
    assert playback.fleet.name("c") == "new"


@pytest.mark.parametrize(
    ("topic", "data", "is_failing"),
    [
        ("run_failed", {"consecutive_errors": 1}, True),
        ("run_failed", {"consecutive_errors": 0}, False),
        ("imported", {"status": "failed", "consecutive_errors": 4}, True),
        ("imported", {"status": "active", "consecutive_errors": 0}, False),
        ("run_lost", {}, False),
    ],
)
def test_a_job_fails_while_it_has_errors_in_a_row(
    topic: str, data: dict[str, Any], is_failing: bool
) -> None:
    playback = a_playback(an_event(1, topic, **data))

    playback.advance(5)

    assert (playback.fleet.failing == {"a"}) is is_failing


@pytest.mark.parametrize("topic", ["run_succeeded", "resumed", "force_resumed", "deleted"])
def test_a_job_stops_failing_when_its_streak_ends(topic: str) -> None:
    playback = a_playback(an_event(1, "run_failed"), an_event(2, topic))

    playback.advance(5)

    assert playback.fleet.failing == set()


class ScriptedKeys:
    """Keys in a given order; each wait lets time pass."""

    def __init__(self, clock: ManualClock, *keys: str | None) -> None:
        self._clock = clock
        self._keys = list(keys)
        self.waits = 0

    def wait(self, seconds: float) -> str | None:
        self._clock.advance(timedelta(seconds=seconds))
        self.waits += 1
        return self._keys.pop(0) if self._keys else None


def test_without_keys_it_plays_through(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    playback = a_playback(speed=3600)

    play(playback, "a storm", ScriptedKeys(clock), clock)

    assert playback.is_over
    assert "12:01:40  circuit_tripped  job b" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["q", "\x03", "\x04"])
def test_quitting_stops_the_playback_where_it_is(
    capsys: pytest.CaptureFixture[str], key: str
) -> None:
    clock = ManualClock()
    playback = a_playback()

    play(playback, "a storm", ScriptedKeys(clock, None, "j", key), clock)

    assert playback.now == NOON + 20 * SECOND
    assert "a storm" in capsys.readouterr().out


@pytest.mark.parametrize("height", [5, 14, 24])
def test_a_low_screen_shows_the_newest_events(height: int) -> None:
    playback = a_playback()
    playback.jump()
    playback.jump()
    screen = Console(width=70, height=height, file=StringIO())

    screen.print(picture(playback, "a storm", height=height))

    shown = cast(StringIO, screen.file).getvalue().splitlines()
    trips = [line for line in shown if "circuit_tripped  job" in line]
    assert "12:01:40" in next(line for line in trips if "12:0" in line)
    assert len(shown) <= max(height, OTHER_LINES + 1)


def test_the_last_event_and_the_keys_are_on_the_screen() -> None:
    playback = a_playback()
    playback.step()
    screen = Console(width=100, height=24, file=StringIO(), force_terminal=True, color_system="256")

    screen.print(picture(playback, "a storm"))

    shown = cast(StringIO, screen.file).getvalue()
    assert "run_started  job a" in shown
    assert "space pause" in shown


def test_recoveries_are_shown() -> None:
    planned = {
        **an_event(5, "paused"),
        "topic": "recovery.planned",
        "job_id": None,
        "source": "cli",
        "actor": {"id": "olga", "kind": "user"},
        "data": {
            "recovery_id": "R-1", "storm_id": None, "jobs": [1, 2], "refused": [],
            "selector": {"tag": "south"}, "probe": None, "rate_per_minute": 10, "abort_on": None,
        },
    }  # fmt: skip

    lines = list(plain_lines(a_playback(planned)))

    assert lines[0].startswith("2026-03-02T12:00:05Z  recovery.planned  by olga; R-1: 2 jobs")


def test_plain_lines_have_every_trip_and_every_minute_with_failures() -> None:
    lines = list(plain_lines(a_playback()))

    trips = [line for line in lines if "circuit_tripped" in line]
    assert [line.split()[0] for line in trips] == ["2026-03-02T12:00:20Z", "2026-03-02T12:01:40Z"]
    assert (
        lines[1]
        == "2026-03-02T12:01:00Z  1 active, 1 failed; failed runs since the previous line: 1"
    )
    assert lines[-1].startswith("2026-03-02T13:00:00Z  2 failed")
