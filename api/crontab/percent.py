"""The percent sign of a crontab's command: the first one begins its standard input, further ones
are line ends there, and `\\%` is a percent sign (cronie, do_command.c).
"""

from __future__ import annotations

import re

_PERCENT = re.compile(r"(\\*)%")


class NotExpressible(Exception):
    """A crontab cannot express this exactly; the text says why."""


def split(command: str) -> tuple[str, str]:
    """The command that the shell gets, and its standard input (with the line end cron adds)."""
    taken: list[str] = []
    is_escaped = False
    for index, character in enumerate(command):
        if is_escaped:
            _append_escaped(taken, character)
            is_escaped = False
        elif character == "%":
            return "".join(taken), _input(command[index + 1 :])
        else:
            taken.append(character)
            is_escaped = character == "\\"
    return "".join(taken), ""


def join(command: str, task: str) -> str:
    """The text that `split` reads as `command` and `task`. Raises NotExpressible."""
    if "\n" in command:
        raise NotExpressible("its command contains a line end")
    if any(len(found[1]) % 2 for found in _PERCENT.finditer(command)):
        raise NotExpressible("its command contains a percent sign after a backslash")
    escaped = command.replace("%", "\\%")
    if not task:
        return escaped
    if (len(command) - len(command.rstrip("\\"))) % 2:
        raise NotExpressible("its command ends with a backslash, and a task follows")
    return f"{escaped}%{_escaped_task(task)}"


def _input(text: str) -> str:
    """The standard input. Unlike in the command, two backslashes do not cancel each other here."""
    taken: list[str] = []
    is_escaped = False
    for character in text:
        if is_escaped and character == "%":
            taken[-1] = "%"
        else:
            taken.append("\n" if character == "%" else character)
        is_escaped = character == "\\"
    return "".join(taken) if not taken or taken[-1] == "\n" else "".join([*taken, "\n"])


def _append_escaped(taken: list[str], character: str) -> None:
    """Append the character after a backslash, which is dropped before a percent sign only."""
    if character == "%":
        taken[-1] = "%"
    else:
        taken.append(character)


def _escaped_task(task: str) -> str:
    if not task.endswith("\n"):
        raise NotExpressible("its task does not end with a line end, which cron would add")
    if "\\\n" in task:
        raise NotExpressible("its task has a backslash at the end of a line")
    rest = task[:-1]
    lines = rest if rest and not rest.endswith("\n") else task
    return lines.replace("%", "\\%").replace("\n", "%")
