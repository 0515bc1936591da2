"""The tutorial, typed from its first line to its last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.demo.processes import ROOT
from tests.support.docs_runner import DOCS, Reader, fences

PAGE = (DOCS / "tutorial.md").read_text()


@pytest.mark.slow
def test_the_tutorial_works_as_documented(tmp_path: Path) -> None:
    [start] = fences(PAGE, "sh")
    make, activate, serve = start.splitlines()
    assert (make, activate) == ("make env", ". .venv/bin/activate")  # here: this environment

    reader = Reader(tmp_path)
    with reader.serving(serve):
        count = reader.follow(PAGE)

    assert count == PAGE.count("\n$ ")
    print(f"commands of the tutorial: {count}")


def test_the_make_targets_of_the_tutorial_exist() -> None:
    targets = set(re.findall(r"^make (\w+)", PAGE, re.M))

    assert targets == {"env"}
    assert "\nenv: " in (ROOT / "Makefile").read_text()
