"""Pages: the command that a page prints shows exactly the next one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.typed_commands import Shell

MORE = "Next page: "


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Six jobs, of which the odd ones are tagged and paused."""
    shell = Shell(tmp_path)
    for number in range(6):
        odd = ("--tag", "odd one") if number % 2 else ()
        shell.ok("schedule", f"job {number}", "--every", "1h", "--noop", *odd)
    for number in (1, 3, 5):
        shell.ok("pause", f"job {number}", "--reason", "it's loud")
    return shell


def pages(shell: Shell, *words: str) -> list[str]:
    """The lines of every page, each shown by the command that the previous one printed."""
    found: list[str] = []
    while True:
        *lines, last = shell.ok(*words).out.splitlines()
        is_last = not last.startswith(MORE)
        found += [*lines, last] if is_last else lines
        if is_last:
            return found
        program, *words = shlex.split(last.removeprefix(MORE))  # type: ignore[assignment]
        assert program == "jobledger"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("list", "--limit", "2"), [f"job {number}" for number in range(6)]),
        (("list", "--tag", "odd one", "--limit", "1"), ["job 1", "job 3", "job 5"]),
        (("list", "--status", "paused", "--limit", "2"), ["job 1", "job 3", "job 5"]),
        (("list", "--as-of", "6", "--limit", "1"), ["job 0", "job 1", "job 2"]),
        (("diff", "--from", "12", "--limit", "1"), ["job 1", "job 3", "job 5"]),
    ],
)
def test_the_next_page_keeps_the_filters(
    shell: Shell, words: tuple[str, ...], wanted: list[str]
) -> None:
    text = "\n".join(pages(shell, *words))

    named = [f"job {number}" for number in range(6) if f"job {number} " in text]
    assert named == wanted


def test_the_next_page_of_an_audit_keeps_every_filter(shell: Shell) -> None:
    words = ("audit", "--topic", "job.paused", "--topic", "job.scheduled", "--order", "desc")

    text = "\n".join(pages(shell, *words, "--source", "cli", "--limit", "2"))

    whole = shell.ok(*words, "--source", "cli", "--json").document["events"]
    assert [text.count(f"{event['position']:>8}  ") for event in whole] == [1] * 9


def test_the_next_page_keeps_the_position_of_as_of(shell: Shell) -> None:
    job_id = shell.ok("list", "--json").document["jobs"][1]["id"]
    shell.ok("amend", "job 1", "--task", "hum")
    shell.ok("amend", "job 1", "--task", "sing")

    text = "\n".join(pages(shell, "history", job_id, "--as-of", "14", "--limit", "1"))

    assert "scheduled" in text
    assert "paused" in text
    assert "amended" not in text
