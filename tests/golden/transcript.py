"""Transcripts: text files of typed commands, each followed by exactly what it printed.

    -- A remark, for the reader.
    $ jobledger show report
    ! jobledger: There is no job 'report': see jobledger list.
    [exit 3]

    % 2h later

`$` is a command (`NAME=value` before it sets a variable, `< file` after it is its standard input,
`$ cat file` shows a file), `%` is a step of tests.golden.scene, `!` is a line on stderr, and an
exit code that is not 0 stands in brackets. `python -m tests.golden.write transcripts` writes all of
them anew: it types the commands again and keeps remarks and steps as they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.golden.scene import Scene, a_scene
from tests.support.typed_commands import Typed

FOLDER = Path(__file__).parent / "cli"
PROMPT, STEP, REMARK, COMPLAINT = "$ ", "% ", "-- ", "! "
SETTING = re.compile(r"[A-Z_]+=.*")


def transcripts() -> list[Path]:
    """The files of all transcripts."""
    return sorted(FOLDER.rglob("*.txt"))


def script_of(text: str) -> list[str]:
    """The lines of a transcript that are not output."""
    return [line for line in text.splitlines() if line.startswith((PROMPT, STEP, REMARK))]


def typed_in(text: str) -> Iterator[list[str]]:
    """The words of each command of a transcript, without `jobledger` and what stands before it."""
    for line in script_of(text):
        words = shlex.split(line.removeprefix(PROMPT)) if line.startswith(PROMPT) else []
        if "jobledger" in words:
            yield words[words.index("jobledger") + 1 :]


def replayed(text: str) -> str:
    """The transcript as it would be written now, in a new folder."""
    with TemporaryDirectory() as folder, a_scene(Path(folder)) as scene:
        blocks = [_block(scene, line) for line in script_of(text)]
    return "".join(blocks)[:-1]


def difference(path: Path) -> str:
    """What a transcript would say now that it does not say, as a diff; empty if nothing."""
    kept = path.read_text()
    old, new = kept.splitlines(keepends=True), replayed(kept).splitlines(keepends=True)
    return "".join(unified_diff(old, new, f"{path.name}, as kept", f"{path.name}, as printed now"))


def _block(scene: Scene, line: str) -> str:
    """A line of the script, and what it prints."""
    if line.startswith(PROMPT):
        return f"{line}\n{_printed(scene, line.removeprefix(PROMPT))}\n"
    if line.startswith(STEP):
        scene.happen(line.removeprefix(STEP))
        return f"{line}\n\n"
    return f"{line}\n"


def _printed(scene: Scene, line: str) -> str:
    words = shlex.split(scene.stand_ins.typed(line))
    if words[0] == "cat":
        return scene.stand_ins.shown(Path(words[1]).read_text())
    given = None
    if words[-2] == "<":
        given, words = Path(words[-1]).read_bytes(), words[:-2]
    settings: dict[str, str] = {}
    while SETTING.fullmatch(words[0]):
        name, _, settings[name] = words.pop(0).partition("=")
    assert words.pop(0) == "jobledger", line
    shown = scene.stand_ins.shown(_as_on_screen(scene.type(words, given, settings)))
    assert not script_of(shown), f"{line} prints what would be read as a part of the script"
    return shown


def _as_on_screen(typed: Typed) -> str:
    complaints = "".join(COMPLAINT + line for line in typed.err.splitlines(keepends=True))
    code = f"[exit {typed.code}]\n" if typed.code else ""
    return f"{_whole(typed.out)}{_whole(complaints)}{code}"


def _whole(text: str) -> str:
    """A text whose last line ends."""
    return text if not text or text.endswith("\n") else f"{text}[no line end]\n"
