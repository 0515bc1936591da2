"""`make storm`: a seeded fleet with planted storms, and what was planted beside it."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from ledger import Ledger
from ledger.store.sqlite.folder import READ_MODELS_FILE
from projections.read_models import ReadModels
from tests.storm.making import PLANTED, Making, Size

LEAST_JOBS, LEAST_DAYS = 20, 2


def main() -> None:
    """Make the fleet that was asked for, and say what is in it."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder, not made yet")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same events")
    parser.add_argument("--days", type=float, default=Size.days)
    parser.add_argument("--jobs", type=int, default=Size.jobs)
    asked = parser.parse_args()
    if asked.out.exists():
        parser.error(f"{asked.out} is there already: name another folder, or remove it")
    if asked.jobs < LEAST_JOBS or asked.days < LEAST_DAYS:
        parser.error(f"at least {LEAST_JOBS} jobs and {LEAST_DAYS} days are needed")
    asked.out.mkdir(parents=True)
    began = time.monotonic()
    planted = Making(asked.out, asked.seed, Size(asked.jobs, asked.days)).make()
    fill_read_models(asked.out / "data")
    tell(planted, asked.out, time.monotonic() - began)


def fill_read_models(data: Path) -> None:
    """So that the first question need not wait for them."""
    with (
        Ledger.open_read_only(data) as ledger,
        closing(ReadModels.open(ledger, data / READ_MODELS_FILE)) as read_models,
    ):
        read_models.catch_up()


def tell(planted: dict[str, Any], out: Path, seconds: float) -> None:
    """What was planted, for people."""
    lines = [
        f"{planted['events']:,} events of {planted['jobs']} jobs in {seconds:.0f} s: {out}/data"
    ]
    troubles = [*planted["storms"], planted["credential"], planted["flapping"]]
    for one in troubles:
        lines.append(
            f"{one['begins_at']} to {one['ends_at']}: {one['failure_class']} at {one['target']}, "
            f"{len(one['jobs'])} jobs"
        )
    silence, resumes = planted["silence"], planted["resumes"]
    lines += [
        f"{silence['begins_at']} to {silence['ends_at']}: silence, "
        f"{len(silence['lost_runs'])} runs lost",
        f"{len(resumes)} forced resumes, of which {sum(one['holds'] for one in resumes)} hold; "
        f"{len(planted['pauses'])} pauses, {len(planted['edits'])} edits",
        f"planted with seed {planted['seed']}; all of it is in {out}/{PLANTED}",
    ]
    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(line)


if __name__ == "__main__":
    main()
