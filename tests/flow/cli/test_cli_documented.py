"""Every command and flag has a help text and is in the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from api.cli.exit_codes import Exit
from api.cli.program import build

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
COMMON = ("--json", "--data", "--help")


def commands() -> Iterator[tuple[str, Any]]:
    """Each command by the words that are typed for it."""
    program: Any = typer.main.get_command(build())
    for name, command in program.commands.items():
        inner = getattr(command, "commands", {})
        yield from ((f"{name} {word}", one.load()) for word, one in inner.items())
        if not inner:
            yield name, command.load()


def section(words: str) -> str:
    """The section of a command in the reference."""
    text = REFERENCE.read_text()
    found = re.search(rf"^### `jobledger {words}(?: [A-Z]+)*`$(.*?)(?=^##|\Z)", text, re.M | re.S)
    assert found, f"jobledger {words} is not in {REFERENCE.name}"
    return found[1]


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_command_and_flag_is_in_the_reference(words: str) -> None:
    command = dict(commands())[words]
    text = section(words)

    assert command.help.strip().splitlines()[0].rstrip(".") in text.replace("\n", " ")
    for parameter in command.params:
        for flag in (*parameter.opts, *parameter.secondary_opts):
            if flag.startswith("--") and flag not in COMMON:
                [row] = [
                    line for line in text.splitlines() if line[0:1] == "|" and f"`{flag}`" in line
                ]
                is_explained = parameter.help.rstrip(".") in row or "as for `audit`" in row
                assert is_explained, f"{flag} of {words} differs in {REFERENCE.name}"


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_parameter_has_a_help_text(words: str) -> None:
    for parameter in dict(commands())[words].params:
        assert parameter.help, (words, parameter.name)
        assert "[" not in parameter.help, "rich takes it for markup: use show_default"


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_the_help_names_no_types_of_python(words: str) -> None:
    result = CliRunner().invoke(build(), [*words.split(), "--help"])

    assert result.exit_code == Exit.OK
    assert not re.search(r"<(bool|str|int|float|list|path|file|dir)|\[\[", result.output)
    assert "--help" in result.output


def test_every_exit_code_is_in_the_reference() -> None:
    text = REFERENCE.read_text()

    assert [int(code) for code in Exit] == [0, 1, 2, 3, 4, 5]
    for code in Exit:
        assert re.search(rf"^\| {code.value} \| ", text, re.M)


def test_the_common_flags_are_in_the_reference() -> None:
    for flag in COMMON:
        assert f"| `{flag}`" in REFERENCE.read_text()
