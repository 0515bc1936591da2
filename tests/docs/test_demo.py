"""The demonstration, as `make demo` runs it; it fails when a step does not happen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from api.demo.processes import ENVIRONMENT, ROOT
from api.demo.waiting import Broken, require, wait_for

LIMIT_SECONDS = 120.0
"""A hang fails by this name; it is not a measurement."""


@pytest.mark.slow
def test_every_step_of_the_demonstration_happens() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "api.demo"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    out = done.stdout
    order = [
        "30 jobs are scheduled",
        "0 active  30 failed",
        "409 force_required",
        "is active, next run",
        "ran and succeeded",
        "reason: provider raised our quota",
        "events are sound",
        "All steps happened",
    ]
    offsets = [out.find(words) for words in order]
    assert -1 not in offsets, out
    assert offsets == sorted(offsets)


def test_a_step_that_does_not_happen_is_named_with_its_limit() -> None:
    with pytest.raises(Broken, match=r"The trip did not happen within 0\.2 s"):
        wait_for("The trip", lambda: None, seconds=0.2)


def test_a_step_that_the_ledger_does_not_confirm_fails() -> None:
    require("True is so", True)
    with pytest.raises(Broken, match="One forced resume"):
        require("One forced resume", False)
