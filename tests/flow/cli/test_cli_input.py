"""Durations, instants and distances; log lines; web servers that are not jobledger."""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from api.cli.exit_codes import Misused, exit_of_status
from api.cli.output.logs import LineFormatter
from api.cli.output.times import ago, ago_short, distance, read_duration, read_instant, took
from api.cli.text import escaped_json, harmless
from tests.support.builders import NOON
from tests.support.servers.mailbox import a_mailbox
from tests.support.typed_commands import Shell


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("5min", 300),
        ("2h", 7200),
        ("1d", 86_400),
        ("1w", 604_800),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1.5", 1.5),
        (" 2 h ", 7200),
    ],
)
def test_a_duration_is_read_in_every_notation(text: str, seconds: float) -> None:
    assert read_duration(text, "--every") == seconds


@pytest.mark.parametrize("text", ["", "m", "5x", "-5m", "5m 3", "1,5h", "٥m", "1e3", "inf", "nan"])
def test_an_invalid_duration_is_refused_with_the_name_of_its_flag(text: str) -> None:
    with pytest.raises(Misused, match="--every: "):
        read_duration(text, "--every")


def test_an_instant_may_be_typed_as_a_distance_from_now() -> None:
    assert read_instant("2h", "--at", NOON) == "2026-03-02T14:00:00Z"
    assert read_instant("2h", "--since", NOON, direction=-1) == "2026-03-02T10:00:00Z"
    assert read_instant("2026-03-02T14:00:00+02:00", "--at", NOON) == "2026-03-02T12:00:00Z"
    with pytest.raises(Misused, match="with an offset"):
        read_instant("99999999d", "--at", NOON)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "now"),
        (1, "in 1 s"),
        (180, "in 3 min"),
        (7200, "in 2 h"),
        (172_800, "in 2 d"),
        (-119, "119 s ago"),
    ],
)
def test_a_distance_has_one_unit(seconds: float, words: str) -> None:
    assert distance(NOON + timedelta(seconds=seconds), NOON) == words


def test_an_instant_is_shown_with_its_distance() -> None:
    assert ago("2026-03-02T12:03:00.5Z", NOON) == "2026-03-02T12:03:00Z (in 3 min)"
    assert ago(None, NOON) == "-"
    assert ago_short("2026-03-02T12:03:00Z", NOON) == "12:03:00Z in 3 min"
    assert ago_short("2026-03-04T12:03:00Z", NOON) == "2026-03-04 12:03Z in 2 d"
    assert ago_short("2026-03-04T12:03:00Z", NOON, is_narrow=True) == "in 2 d"
    assert (took(None), took(12), took(1500), took(180_000)) == ("-", "12 ms", "1.5 s", "3 min")


def test_control_characters_are_written_out() -> None:
    assert harmless("a\x1b[31m\x9b\u202eb\n\tc\x7f") == "a\\x1b[31m\\x9b\\u202eb  c\\x7f"
    assert harmless("Grüße, 日本 👩‍🚀") == "Grüße, 日本 👩‍🚀"
    assert escaped_json('{"a":"\x7f\x9b\U000e0001ü"}') == '{"a":"\\u007f\\u009b\\udb40\\udc01ü"}'


def test_a_log_entry_is_one_line_without_control_characters() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        error = sys.exc_info()
    text = "job \x1b[31m%s"
    record = logging.LogRecord("ledger.x", logging.WARNING, "", 0, text, ("a\nb",), error)

    line = LineFormatter(str).format(record)

    assert "\n" not in line
    assert "\x1b" not in line
    assert ' level=warning logger=ledger.x message="job \\u001b[31ma\\nb" error="Traceback' in line


def test_a_status_has_one_exit_code() -> None:
    codes = {status: exit_of_status(status) for status in (400, 401, 403, 404, 409, 412, 422, 429)}
    assert codes == {400: 1, 401: 4, 403: 4, 404: 3, 409: 1, 412: 1, 422: 1, 429: 1}
    assert [exit_of_status(status) for status in (500, 503, 507)] == [5, 5, 5]


def test_a_server_that_is_not_jobledger_is_reported_as_such(tmp_path: Path) -> None:
    with a_mailbox() as stranger:
        stranger.answer = b"hello"
        shell = Shell(tmp_path, JOBLEDGER_URL=stranger.url, JOBLEDGER_TOKEN="jl_x")

        typed = shell.type("list")

    assert typed.code == 5
    assert "is not a jobledger server" in typed.err
