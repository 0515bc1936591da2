"""`make storm`: a seeded ledger with planted storms, and a file that lists what was planted."""

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
from tests.storm.generator import PLANTED, FleetGenerator, Size

LEAST_JOBS, LEAST_DAYS = 20, 2


def main() -> None:
    """Generate a ledger, and print what is in it."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same events")
    parser.add_argument("--days", type=float, default=Size.days)
    parser.add_argument("--jobs", type=int, default=Size.jobs)
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} exists already: name another folder, or remove it")
    if options.jobs < LEAST_JOBS or options.days < LEAST_DAYS:
        parser.error(f"at least {LEAST_JOBS} jobs and {LEAST_DAYS} days are needed")
    options.out.mkdir(parents=True)
    began = time.monotonic()
    planted = FleetGenerator(options.out, options.seed, Size(options.jobs, options.days)).generate()
    fill_read_models(options.out / "data")
    show(planted, options.out, time.monotonic() - began)


def fill_read_models(data: Path) -> None:
    """Build the read models, so that the first query need not wait for them."""
    with (
        Ledger.open_read_only(data) as ledger,
        closing(ReadModels.open(ledger, data / READ_MODELS_FILE)) as read_models,
    ):
        read_models.catch_up()


def show(planted: dict[str, Any], out: Path, seconds: float) -> None:
    """Print what was planted."""
    lines = [
        f"{planted['events']:,} events of {planted['jobs']} jobs in {seconds:.0f} s: {out}/data"
    ]
    outages = [*planted["storms"], planted["credential"], planted["flapping"]]
    for one in outages:
        lines.append(
            f"{one['begins_at']} to {one['ends_at']}: {one['failure_class']} at {one['target']}, "
            f"{len(one['jobs'])} jobs"
        )
    downtime, resumes = planted["downtime"], planted["resumes"]
    lines += [
        f"{downtime['begins_at']} to {downtime['ends_at']}: downtime, "
        f"{len(downtime['lost_runs'])} runs lost",
        f"{len(resumes)} forced resumes, {sum(one['holds'] for one in resumes)} of which hold; "
        f"{len(planted['pauses'])} pauses, {len(planted['edits'])} edits",
        f"planted with seed {planted['seed']}; the details are in {out}/{PLANTED}",
    ]
    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(line)


if __name__ == "__main__":
    main()
