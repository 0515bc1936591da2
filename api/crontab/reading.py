"""Reads a crontab line by line: the jobs, and the refused lines with the reason.

The rules are cronie's (crontab.5, entry.c). What a job cannot express is recorded as `imported`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from api.crontab import percent, variables
from api.crontab.lines import Line, lines_of
from api.crontab.names import Names
from api.crontab.variables import InvalidLine
from ledger.domain.job.spec import read_name
from ledger.domain.schedule.cron_grammar import NICKNAMES
from ledger.domain.schedule.schedules import parse_schedule
from ledger.errors import LedgerError

DEFAULT_SHELL = "/bin/sh"
TAG = "crontab"
FIELDS = 5
NAME_MARK = "# jobledger: "
"""A comment that names the job of the next line; the export writes it."""

_BLANKS = re.compile(r"[ \t]+")
_SIXTH_FIELD = re.compile(r"[\d*?][\d*?,/-]*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")


class Form(Enum):
    """Whether a line names a user before its command (/etc/crontab, /etc/cron.d/*) or not."""

    USER = "user"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file: its name, its form, the initial time zone, and the user whose lines are
    imported (None: all users).
    """

    source: str
    form: Form
    tz: str
    runs_as: str | None = None
    is_enabled: bool = True
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class ParsedJob:
    """A line that becomes a job: `job` is one of the jobs of POST /v1/imports."""

    line: int
    text: str
    job: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that becomes no job, and the reason."""

    line: int
    text: str
    reason: str


@dataclass(slots=True)
class ParsedCrontab:
    """The jobs and the refused lines of a crontab."""

    found: list[ParsedJob] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)


def read(content: bytes, how: ReadOptions) -> ParsedCrontab:
    """Read a whole crontab. Never fails: lines that cannot be imported are among the refused."""
    reader, result = _Reader(how), ParsedCrontab()
    for line in lines_of(content):
        try:
            job = reader.take(line)
        except (InvalidLine, LedgerError) as problem:
            result.refused.append(RefusedLine(line.number, line.text, str(problem)))
            continue
        if job is not None:
            result.found.append(ParsedJob(line.number, line.text, job))
    return result


class _Reader:
    """The settings that the lines so far have made for those that follow."""

    def __init__(self, how: ReadOptions) -> None:
        self._how = how
        self._names = Names(how.prefix)
        self._name: str | None = None
        self._tz = how.tz
        self._shell = DEFAULT_SHELL
        self._variables: dict[str, str] = {}
        self._recorded: dict[str, str] = {}
        self._refused_at: dict[str, int] = {}

    def take(self, line: Line) -> dict[str, Any] | None:
        """The job of a line, or None when it only sets something. Raises InvalidLine."""
        name, self._name = self._name, None
        if line.is_silent:
            self._name = _named(line.text)
            return None
        if line.problem is not None:
            raise InvalidLine(line.problem)
        setting = variables.name_and_value(line.text)
        if setting is None:
            return self._job(line, name)
        try:
            self._set(setting[0], variables.plain_value(setting[1]))
        except InvalidLine as problem:
            raise self._without(setting[0], line.number, problem) from None
        return None

    # -- settings -------------------------------------------------------------------------------

    def _set(self, name: str, value: str) -> None:
        match name:
            case variables.ZONE:
                self._tz = _known_zone(value) if value else self._how.tz
            case variables.SHELL:
                self._shell = _absolute(value)
                self._recorded[name] = value
            case _ if name in variables.CRON_ONLY:
                self._recorded[name] = value
            case _:
                variables.require_variable(name, value, len(self._variables.keys() - {name}))
                self._variables[name] = _absolute(value) if name == variables.HOME else value
        self._refused_at.pop(name, None)

    def _without(self, name: str, number: int, problem: InvalidLine) -> InvalidLine:
        """Drop an older value, so that the jobs below never get it in place of the refused one."""
        self._variables.pop(name, None)
        if name in variables.REQUIRED:
            self._refused_at[name] = number
            return InvalidLine(f"{problem}; the jobs below are refused until it is set again")
        return InvalidLine(f"{problem}; the jobs below run without it")

    # -- jobs -----------------------------------------------------------------------------------

    def _job(self, line: Line, name: str | None) -> dict[str, Any]:
        text = line.text.removeprefix("-")
        expr, rest = _schedule(text)
        user, rest = self._user(rest)
        command, task = percent.split(_command(rest))
        if not command.strip():
            raise InvalidLine("there is no command before the %")
        for setting, number in self._refused_at.items():
            raise InvalidLine(f"its {setting} was refused in line {number}")
        schedule = {"kind": "cron", "expr": expr, "tz": self._tz}
        parse_schedule(schedule)
        if self._how.runs_as not in (None, user) and user is not None:
            raise InvalidLine(
                f"it runs as {user}, but commands here run as {self._how.runs_as}; --any-user "
                "imports it anyway"
            )
        no_log = {"no_log": True} if text != line.text else {}
        by_user = {"user": user} if user is not None else {}
        return {
            "origin_id": f"{self._how.source}:{line.number}",
            "spec": {
                "name": self._names.unique(name) if name else self._names.of(command),
                "schedule": schedule,
                "task": task,
                "executor": self._executor(command),
                "tags": [TAG],
                "enabled": self._how.is_enabled,
                "delete_after_run": False,
            },
            "imported": {**by_user, **no_log, **self._recorded},
        }

    def _user(self, rest: str) -> tuple[str | None, str]:
        if self._how.form is Form.USER:
            return None, rest
        user, _, command = _BLANKS.sub(" ", rest, count=1).partition(" ")
        if not _USER.fullmatch(user):
            raise InvalidLine(
                f"{user[:64]!r} is not a user; --user reads a file without that column"
            )
        return user, command

    def _executor(self, command: str) -> dict[str, Any]:
        """As cron does, pass the command to the shell, in the folder HOME."""
        home = self._variables.get(variables.HOME)
        return {
            "kind": "command",
            "argv": [self._shell, "-c", command],
            **({"env": dict(self._variables)} if self._variables else {}),
            **({"cwd": home} if home is not None else {}),
        }


def _schedule(text: str) -> tuple[str, str]:
    """The schedule at the start of a line, and the rest."""
    if text.startswith("@"):
        nickname, rest = (*_BLANKS.split(text, maxsplit=1), "")[:2]
        if nickname == "@reboot":
            raise InvalidLine("@reboot is not supported: no job fires when a machine starts")
        if nickname not in NICKNAMES:
            raise InvalidLine(f"{nickname[:64]!r} is not one of {', '.join(NICKNAMES)}")
        return nickname, rest
    words = _BLANKS.split(text.rstrip(" \t"), maxsplit=FIELDS)
    if len(words) < FIELDS:
        raise InvalidLine(f"it sets no variable and has {len(words)} of the five schedule fields")
    rest = _BLANKS.split(text, maxsplit=FIELDS)[FIELDS] if len(words) > FIELDS else ""
    return " ".join(words[:FIELDS]), rest


def _command(rest: str) -> str:
    if not rest.strip():
        raise InvalidLine("there is no command after the schedule")
    first = rest.split(maxsplit=1)[0]
    if _SIXTH_FIELD.fullmatch(first):
        raise InvalidLine(f"{first[:64]!r} looks like a sixth field, but cron has five")
    return rest


def _known_zone(tz: str) -> str:
    try:
        parse_schedule({"kind": "cron", "expr": "@daily", "tz": tz})
    except LedgerError as problem:
        raise InvalidLine(problem.message.rstrip(".")) from None
    return tz


def _absolute(path: str) -> str:
    if not path.startswith("/") or not path.isprintable():
        raise InvalidLine(f"{path[:64]!r} is not an absolute path")
    return path


def _named(comment: str) -> str | None:
    """The name for the next line, if the comment has one."""
    if not comment.startswith(NAME_MARK):
        return None
    try:
        return read_name(comment.removeprefix(NAME_MARK).strip())
    except LedgerError:
        return None
