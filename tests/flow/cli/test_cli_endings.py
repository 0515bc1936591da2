"""How commands end when they cannot do what was typed: what no transcript in tests/golden/cli can
have, because it cannot be typed into a text file or depends on the machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from api.cli.exit_codes import Exit
from ledger.store.sqlite.folder import READ_MODELS_FILE
from tests.support.typed_commands import Shell, library

ENDINGS = [
    (("schedule", "x", "--every", "9" * 400), Exit.USAGE, "100 years"),
    (("schedule", "bad \udcff name", "--every", "1m"), Exit.USAGE, "UTF-8"),
    (("amend", "report", "--patch", "[" * 100_000), Exit.USAGE, "not JSON"),
    (
        ("amend", "report", "--patch", '{"policy": {"timeout_seconds": NaN}}'),
        Exit.USAGE,
        "not JSON",
    ),
    (("schedule", "x", "--every", "1m", "--task", "x" * 40_000), Exit.REFUSED, ": too_large: "),
    (("token", "revoke", "unknown \udcff"), Exit.NOT_FOUND, "unknown"),
]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.schedule("report")
    return shell


def assert_one_line(text: str) -> None:
    assert text.startswith("jobledger: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1


@pytest.mark.parametrize(("words", "code", "says"), ENDINGS, ids=lambda value: str(value)[:40])
def test_an_odd_argument_ends_a_command_with_its_code_and_one_sentence(
    shell: Shell, words: tuple[str, ...], code: Exit, says: str
) -> None:
    typed = shell.type(*words)

    assert (typed.code, typed.out) == (code, "")
    assert_one_line(typed.err)
    assert says in typed.err


def test_a_server_that_cannot_be_reached_ends_with_5(tmp_path: Path) -> None:
    nowhere = Shell(tmp_path, JOBLEDGER_URL="http://127.0.0.1:1", JOBLEDGER_TOKEN="jl_x")

    typed = nowhere.type("list")

    assert typed.code == Exit.UNAVAILABLE
    assert_one_line(typed.err)


def test_answers_are_up_to_date_although_the_stored_read_models_are_old(shell: Shell) -> None:
    assert (shell.data / READ_MODELS_FILE).exists()
    with library(shell.data) as ledger:
        ledger.schedule(name="newer", schedule={"kind": "every", "interval_seconds": 60})

        jobs = shell.ok("list", "--json").document["jobs"]

    assert [job["name"] for job in jobs] == ["report", "newer"]
