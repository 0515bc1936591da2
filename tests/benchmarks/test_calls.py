"""A change that makes a run or a command call more functions than before is noticed, on a machine
of any speed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import calls

MORE = 1.05
"""How many times the recorded calls are too many."""


@pytest.mark.parametrize(
    ("measure", "recorded"),
    [(calls.per_run, 222), (calls.per_command, 105)],
    ids=["run", "command"],
)
def test_the_path_calls_no_more_functions_than_recorded(
    measure: Callable[[Path], float], recorded: int, tmp_path: Path
) -> None:
    """A recorded count is what the path took when it was last made shorter (Python 3.11)."""
    assert measure(tmp_path) <= recorded * MORE
