"""Commands on a terminal: they ask before a change that cannot be undone, and use colours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.terminal import on_terminal as on_terminal
from tests.support.typed_commands import Shell, tripped_job


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.schedule("report")
    return shell


def status(shell: Shell, name: str) -> str:
    return str(shell.ok("show", name, "--json").document["job"]["status"])


def test_a_force_resume_on_a_terminal_shows_the_trip_and_asks(shell: Shell) -> None:
    tripped_job(shell.data)

    code, shown = on_terminal(shell.data, "resume", "broken", "--force", answer="y")

    assert code == 0
    assert "its breaker tripped" in shown
    assert "429 Too Many Requests" in shown
    assert "[y/N]" in shown
    assert status(shell, "broken") == "active"


@pytest.mark.parametrize("answer", ["n", "no", " ", "maybe"])
def test_anything_but_yes_changes_nothing(shell: Shell, answer: str) -> None:
    tripped_job(shell.data)

    code, shown = on_terminal(shell.data, "resume", "broken", "--force", answer=answer)

    assert code == 1
    assert "Nothing was changed" in shown
    assert status(shell, "broken") == "failed"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("resume broken", 1, "force_required"),
        ("resume broken --yes", 1, "force_required"),
        ("resume broken --yes --force", 0, "resumed"),
        ("resume report", 0, "resumed"),
    ],
)
def test_there_is_no_question_without_force_and_none_with_yes(
    shell: Shell, words: str, code: int, says: str
) -> None:
    tripped_job(shell.data)
    shell.ok("pause", "report")

    ended, shown = on_terminal(shell.data, *words.split())

    assert (ended, says in shown) == (code, True)
    assert "[y/N]" not in shown


def test_delete_asks_on_a_terminal_only(shell: Shell) -> None:
    declined, shown = on_terminal(shell.data, "delete", "report", answer="n")
    assert (declined, status(shell, "report")) == (1, "active")
    assert "Delete report" in shown

    assert on_terminal(shell.data, "delete", "report", answer="y")[0] == 0
    assert shell.type("show", "report").code == 3


def test_colours_are_used_on_terminals_without_no_color(shell: Shell) -> None:
    assert "\x1b[32mactive" in on_terminal(shell.data, "list")[1]
    assert "\x1b[3" not in on_terminal(shell.data, "list", NO_COLOR="1")[1]
    assert "\x1b" not in shell.ok("list").out


def test_a_csv_on_a_terminal_has_no_control_characters(shell: Shell) -> None:
    shell.ok("pause", "report", "--reason", "\x1b]0;title\x07")

    shown = on_terminal(shell.data, "audit", "--format", "csv")[1]

    assert "\x1b" not in shown
    assert "\\x1b]0;title\\x07" in shown


def test_an_export_shows_a_terminal_no_control_characters(shell: Shell) -> None:
    shell.ok("import", "crontab", "-", given="@daily echo \x1b[31mred\n")

    code, shown = on_terminal(shell.data, "export", "--format", "crontab")

    assert code == 0
    assert "@daily echo \\x1b[31mred" in shown
    assert "\x1b[31m" in shell.ok("export", "--format", "crontab").out
