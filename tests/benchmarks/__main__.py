"""`make bench`: measures what the design promises and prints a table. Floors must be reached;
run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import Figure
from tests.benchmarks.parts import PARTS, measure


def main() -> int:
    """Measure, print, and answer 1 when a floor was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts (default: all)")
    parser.add_argument("--dir", help="where the ledgers lie (default: a temporary folder)")
    asked = parser.parse_args()
    table = Table("figure", "measured", "floor", "", title="jobledger, fsync on every answer")
    is_missed = False
    with tempfile.TemporaryDirectory(dir=asked.dir) as folder:
        for part in asked.parts or PARTS:
            for figure in in_own_process(part, folder):
                is_missed |= figure.is_reached is False
                table.add_row(figure.what, figure.value, figure.floor, verdict(figure))
    Console(width=120).print(table)
    return int(is_missed)


def in_own_process(part: str, folder: str) -> list[Figure]:
    """The part's figures, measured in a fresh interpreter."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, part, folder).result()


def verdict(figure: Figure) -> str:
    """How the figure stands to its floor."""
    return {None: "", True: "reached", False: "MISSED"}[figure.is_reached]


if __name__ == "__main__":
    sys.exit(main())
