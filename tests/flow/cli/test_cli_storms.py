"""Storms on the command line, brought about through the library."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.cli.output.sparkline import by_minute, curve
from tests.support.typed_commands import Shell, tripped_job


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_storm_is_listed_and_shown_with_its_jobs(shell: Shell) -> None:
    for number in range(3):
        tripped_job(shell.data, f"digest {number}")

    listed = shell.ok("storm", "list")
    [storm] = shell.ok("storm", "list", "--json").document["storms"]
    shown = shell.ok("storm", "show", storm["id"])

    assert storm["id"] in listed.out
    assert "3 failed" in listed.out
    assert "3, 3 breakers tripped" in shown.out
    assert "a minute" in shown.out
    for number in range(3):
        assert f"digest {number}" in shown.out
    assert shell.ok("storm", "show", storm["id"], "--json").document["storm"]["id"] == storm["id"]


def test_where_there_is_no_storm_that_is_said(shell: Shell) -> None:
    shell.schedule("digest")

    assert "No storms." in shell.ok("storm", "list", "--open").out
    for wanted in ("S-1", "x/../y", "S-1?open=true"):
        assert shell.type("storm", "show", wanted).code == 3


def test_a_curve_is_as_high_as_its_highest_minute() -> None:
    counts = by_minute([("2026-03-01T00:00:00Z", 8), ("2026-03-01T00:03:00Z", 1)])

    assert counts == [8, 0, 0, 1]
    assert curve(counts) == "█  ▁"
    assert curve([]) == ""


def test_a_long_curve_is_told_in_the_columns_there_are() -> None:
    assert curve([0, 1, 0, 2, 4, 0], width=3) == "▂▄█"
