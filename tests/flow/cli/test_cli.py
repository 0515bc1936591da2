"""Commands without a server: documents for programs, which job is meant, control characters.

What they print for people is in tests/golden/cli.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.typed_commands import Shell

CSI = "\x9b"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_json_output_is_exactly_the_answer_of_the_api(shell: Shell) -> None:
    job = shell.schedule("report")

    assert shell.ok("list", "--json").document.keys() == {"jobs", "next", "position"}
    assert shell.ok("show", "report", "--json").document == {"job": job}
    assert shell.ok("history", "report", "--json").document.keys() == {"events", "next", "position"}
    assert shell.ok("runs", "report", "--json").document["runs"] == []
    assert shell.ok("pause", "report", "--json").document.keys() == {"job", "changed", "position"}
    assert shell.ok("token", "list", "--json").document["tokens"][0]["name"] == "admin"
    assert shell.ok("verify", "--json").document["sound"] is True
    assert shell.ok("rebuild", "--json").document["read_models"][0]["equal"] is True
    assert shell.ok("doctor", "--json").document == {"ghosts": [], "strayed": [], "read_models": []}
    assert "version" in shell.ok("version", "--json").document


# -- which job ----------------------------------------------------------------------------------


def test_a_job_is_found_by_id_by_prefix_or_by_name(shell: Shell) -> None:
    job_id = shell.schedule("Über [bold]")["id"]

    for wanted in (job_id, job_id.upper(), job_id[:8], "Über [bold]", "über [BOLD]"):
        assert shell.ok("show", wanted, "--json").document["job"]["id"] == job_id


def test_a_name_that_is_also_the_prefix_of_an_id_is_ambiguous(shell: Shell) -> None:
    job_id = shell.schedule("first")["id"]
    other_id = shell.schedule(job_id[:6])["id"]

    typed = shell.type("pause", job_id[:6])

    assert typed.code == 1
    assert job_id in typed.err
    assert other_id in typed.err
    assert shell.ok("show", "first", "--json").document["job"]["status"] == "active"


# -- control characters -------------------------------------------------------------------------


def test_no_stored_control_character_is_printed(shell: Shell) -> None:
    nasty = f"\x1b[31mred\x07{CSI}31m\u202e [bold]not markup[/]"
    shell.schedule("report", "--task", nasty, "--description", nasty)
    shell.ok("pause", "report", "--reason", nasty)

    for words in (
        ("show", "report"),
        ("history", "report"),
        ("audit",),
        ("audit", "--format", "jsonl"),
        ("show", "report", "--json"),
    ):
        out = shell.ok(*words).out
        assert not set("\x1b\x07\u202e" + CSI) & set(out), words
    assert "[bold]not markup[/]" in shell.ok("show", "report").out
    assert shell.ok("show", "report", "--json").document["job"]["task"] == nasty


def test_no_typed_control_character_is_printed(shell: Shell) -> None:
    shell.schedule("report")

    typed = shell.type("show", "\x1b[31mnope\n")

    assert typed.code == 3
    assert "\x1b" not in typed.err
    assert typed.err.count("\n") == 1
