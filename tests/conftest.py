"""What every test run shares: Hypothesis draws the same examples each time, or says its seed."""

from __future__ import annotations

import pytest
from hypothesis import settings

# `repeatable` is what CI and `make test` use: same code, same examples. `explore` looks for new
# ones (pytest --hypothesis-profile=explore [--hypothesis-seed=N]) and prints how to repeat a find.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, print_blob=True
)
settings.register_profile(
    "explore", derandomize=False, deadline=None, database=None, print_blob=True, max_examples=2_000
)
settings.load_profile("repeatable")


def pytest_report_header(config: pytest.Config) -> str:
    seed = config.getoption("--hypothesis-seed")
    chosen = "fixed by the code" if settings().derandomize else "chosen anew, printed at a failure"
    return f"hypothesis seed: {chosen if seed is None else seed}"
