"""Storms on the command line."""

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

    [storm] = shell.ok("storm", "list", "--json").document["storms"]
    listed, shown = shell.ok("storm", "list").out, shell.ok("storm", "show", storm["id"]).out

    assert storm["id"] in listed
    assert "3 failed" in listed
    for said in ("3, 3 breakers tripped", "peak ", "digest 0", "digest 1", "digest 2"):
        assert said in shown


def test_no_storm_is_reported_as_such(shell: Shell) -> None:
    shell.schedule("digest")

    assert "No storms." in shell.ok("storm", "list", "--open").out
    for wanted in ("S-1", "x/../y", "S-1?open=true"):
        assert shell.type("storm", "show", wanted).code == 3


def test_a_curve_is_scaled_to_its_highest_minute() -> None:
    counts = by_minute([("2026-03-01T00:00:00Z", 8), ("2026-03-01T00:03:00Z", 1)])

    assert counts == [8, 0, 0, 1]
    assert curve(counts) == "█  ▁"
    assert curve([]) == ""


def test_a_long_curve_is_reduced_to_the_width() -> None:
    assert curve([0, 1, 0, 2, 4, 0], width=3) == "▂▄█"
