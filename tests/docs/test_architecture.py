"""The architecture page names files that exist, and no walk through more than seven."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MAX_FILES = 7

_, _, after = PAGE.partition("## Where do I look for")
TABLE, _, _ = after.partition("\n## ")
WALKS = {
    cells[1].strip(): re.findall(r"`([\w/]+\.py)`", cells[2])
    for cells in (line.split("|") for line in TABLE.splitlines() if line.startswith("| "))
    if "`" in cells[2]
}


def test_every_walk_is_written_out() -> None:
    assert "as above" not in TABLE


def test_twelve_behaviours_or_more_are_described() -> None:
    assert len(WALKS) >= 12


@pytest.mark.parametrize("behaviour", WALKS)
def test_a_behaviour_is_found_in_a_few_files_that_exist(behaviour: str) -> None:
    files = WALKS[behaviour]

    assert 1 <= len(files) <= MAX_FILES
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_every_package_says_in_its_first_line_what_it_is_for() -> None:
    layers = [ROOT / name for name in ("ledger", "projections", "api")]
    packages = [path for layer in layers for path in layer.rglob("__init__.py")]

    silent = [path for path in packages if not re.match(r'"""\S.{19,}', path.read_text())]
    assert silent == []
    assert len(packages) > 30
