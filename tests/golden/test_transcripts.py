"""What commands print, to the letter: every transcript is typed again and compared."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copyfile

import pytest

from api.cli.table import COMMANDS, CommandEntry
from tests.golden.scene import STEPS
from tests.golden.transcript import (
    FOLDER,
    STEP,
    difference,
    replayed,
    script_of,
    transcripts,
    typed_in,
)
from tests.golden.write import write_transcripts

ENDLESS = {
    "serve": "serves until it is stopped",
    "dispatch": "dispatches until it is stopped",
    "worker": "waits for runs until it is stopped",
}
"""Commands of which transcripts have the help alone, each with the reason."""
HELP = "--help"
STRANGE = {
    "COLUMNS": "200",
    "FORCE_COLOR": "1",
    "GITHUB_ACTIONS": "true",
    "HOME": "/nowhere",
    "JOBLEDGER_DATA": "/nowhere",
    "LANG": "tr_TR.ISO-8859-9",
    "NO_COLOR": "1",
    "TZ": "Asia/Kathmandu",
}
"""An environment of which nothing may reach a transcript."""
SENSITIVE = """\
$ jobledger schedule report --every 1h --description 'Größe'
$ jobledger list
$ jobledger import crontab short.crontab --dry-run
$ jobledger storm --help
"""
"""Output that depends on the zone, the width, the encoding, the colours and the folder."""


def names() -> list[str]:
    """Every command by the words that are typed for it."""
    return [
        name
        for entry in COMMANDS
        for name in (
            [entry.name]
            if isinstance(entry, CommandEntry)
            else [f"{entry.name} {command.name}" for command in entry.commands]
        )
    ]


def commands() -> list[str]:
    """Every command of every transcript, as one text."""
    return [" ".join(words) for path in transcripts() for words in typed_in(path.read_text())]


@pytest.mark.parametrize(
    "path", transcripts(), ids=lambda path: path.relative_to(FOLDER).with_suffix("").as_posix()
)
def test_commands_print_what_their_transcript_has(path: Path) -> None:
    changed = difference(path)

    if changed:
        pytest.fail(
            f"{changed}\nIf that is better: python -m tests.golden.write transcripts", pytrace=False
        )


def test_every_command_that_ends_is_typed_in_a_transcript() -> None:
    typed = [f"{command} " for command in commands() if HELP not in command]

    missing = {name for name in names() if not any(one.startswith(f"{name} ") for one in typed)}

    assert missing == ENDLESS.keys()


def test_a_refusal_is_one_line_that_names_the_program() -> None:
    blocks = [block for path in transcripts() for block in path.read_text().split("\n$ ")]

    for block in blocks:
        complaints = re.findall("^! .*$", block, re.MULTILINE)
        if "\n[exit " in block:
            assert len(complaints) == 1, block
            assert complaints[0].startswith("! jobledger: "), block


def test_the_help_of_every_command_and_group_is_in_a_transcript() -> None:
    wanted = [*names(), *(entry.name for entry in COMMANDS), ""]

    assert {f"{name} {HELP}".strip() for name in wanted} - set(commands()) == set()


def test_every_step_happens_in_a_transcript() -> None:
    steps = [
        line.removeprefix(STEP)
        for path in transcripts()
        for line in script_of(path.read_text())
        if line.startswith(STEP)
    ]

    assert [one for one in STEPS if not any(re.fullmatch(one, step) for step in steps)] == []


def test_a_transcript_is_the_same_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = replayed(SENSITIVE)
    for name, value in STRANGE.items():
        monkeypatch.setenv(name, value)

    assert replayed(SENSITIVE) == expected
    assert "(TZ)" in expected
    assert "╮" in expected


def test_a_difference_is_shown_as_a_diff_of_the_transcript(tmp_path: Path) -> None:
    file = tmp_path / "version.txt"
    file.write_text("-- Which version is this?\n$ jobledger version\njobledger 0.0.0\n")

    assert difference(file).splitlines()[2:] == [
        "@@ -1,3 +1,3 @@",
        " -- Which version is this?",
        " $ jobledger version",
        "-jobledger 0.0.0",
        "+jobledger 0.1.0",
    ]


def test_transcripts_are_written_anew_from_their_commands_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = (FOLDER / "help" / "token.txt").read_text()
    bare, same = tmp_path / "bare.txt", tmp_path / "same.txt"
    bare.write_text("\n".join(script_of(kept)))
    copyfile(FOLDER / "help" / "token.txt", same)

    write_transcripts([bare, same])

    assert bare.read_text() == same.read_text() == kept
    assert capsys.readouterr().out == "bare.txt: changed\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("% the report is lost\n", "There is no step 'the report is lost'"),
        ("$ rm -r data\n", "rm -r data"),
        ("$ jobledger schedule x --at 2h\n% x runs\n% x runs\n", "% x runs: nothing was due"),
    ],
)
def test_a_line_that_cannot_be_replayed_is_named(text: str, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        replayed(text)
