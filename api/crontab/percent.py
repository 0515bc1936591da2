"""The percent sign of a crontab's command: the first one begins its standard input, further ones
are line ends there, and `\\%` is a percent sign (cronie, do_command.c).
"""

from __future__ import annotations

import re

_PERCENT = re.compile(r"(\\*)%")


class Unsayable(Exception):
    """No line of a crontab says this exactly; the text says why."""


def split(command: str) -> tuple[str, str]:
    """The command that the shell gets, and its standard input (with the line end cron adds)."""
    said: list[str] = []
    is_escaped = False
    for place, character in enumerate(command):
        if is_escaped:
            _take(said, character)
            is_escaped = False
        elif character == "%":
            return "".join(said), _input(command[place + 1 :])
        else:
            said.append(character)
            is_escaped = character == "\\"
    return "".join(said), ""


def join(command: str, task: str) -> str:
    """The end of the line that `split` reads as `command` and `task`. Raises Unsayable."""
    if "\n" in command:
        raise Unsayable("its command holds a line end")
    if any(len(found[1]) % 2 for found in _PERCENT.finditer(command)):
        raise Unsayable("its command holds a percent sign behind a backslash")
    said = command.replace("%", "\\%")
    if not task:
        return said
    if (len(command) - len(command.rstrip("\\"))) % 2:
        raise Unsayable("its command ends with a backslash, and a task follows")
    return f"{said}%{_said(task)}"


def _input(text: str) -> str:
    """Unlike before the first percent sign, two backslashes do not cancel each other here."""
    said: list[str] = []
    is_escaped = False
    for character in text:
        if is_escaped and character == "%":
            said[-1] = "%"
        else:
            said.append("\n" if character == "%" else character)
        is_escaped = character == "\\"
    return "".join(said) if not said or said[-1] == "\n" else "".join([*said, "\n"])


def _take(said: list[str], character: str) -> None:
    """What follows a backslash: only of a percent sign the backslash goes."""
    if character == "%":
        said[-1] = "%"
    else:
        said.append(character)


def _said(task: str) -> str:
    if not task.endswith("\n"):
        raise Unsayable("its task does not end with a line end, which cron would add")
    if "\\\n" in task:
        raise Unsayable("its task has a backslash at the end of a line")
    rest = task[:-1]
    lines = rest if rest and not rest.endswith("\n") else task
    return lines.replace("%", "\\%").replace("\n", "%")
