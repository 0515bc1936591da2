"""The `NAME=value` lines of a crontab with their quotes (cronie, env.c)."""

from __future__ import annotations

import re

from api.crontab.percent import NotExpressible
from ledger.domain.job.executor_spec import ENTRIES, parse_executor
from ledger.errors import LedgerError

ZONE = "CRON_TZ"
SHELL = "SHELL"
HOME = "HOME"
REQUIRED = (ZONE, SHELL, HOME)
"""When one of these is refused, the jobs below are refused too: they would do something else."""
CRON_ONLY = frozenset(
    {"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "RANDOM_DELAY", "LOGNAME"}
)
"""Settings of cron itself, without effect here: recorded, not passed to the command."""

_LINE = re.compile(
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s="'][^\s=]*))"""
    r"[ \t]*=[ \t]*(?P<value>.*)",
    re.DOTALL,
)


class InvalidLine(Exception):
    """A line that cannot be imported; the text says why."""


def name_and_value(line: str) -> tuple[str, str] | None:
    """Name and raw value of a line without leading blanks; None when it sets no variable."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    name = next(found[key] for key in ("double", "single", "bare") if found[key] is not None)
    return name, found["value"]


def plain_value(text: str) -> str:
    """A value without its quotes. Raises InvalidLine."""
    quote = text[:1]
    if quote not in ("'", '"') or not quote:
        return text.rstrip()
    inside, end, rest = text[1:].partition(quote)
    if not end:
        raise InvalidLine(f"the quote {quote} is not closed")
    if rest.strip():
        raise InvalidLine("there is text after the closing quote")
    return inside


def require_variable(name: str, value: str, count: int) -> None:
    """Raises InvalidLine for a variable that no command may have."""
    if count >= ENTRIES:
        raise InvalidLine(f"there are more than {ENTRIES} variables")
    try:
        parse_executor({"kind": "command", "argv": ["/bin/true"], "env": {name: value}})
    except LedgerError as problem:
        raise InvalidLine(problem.message.removeprefix("executor.env: ")) from None


def line_for(name: str, value: str) -> str:
    """The line that sets a variable. Raises NotExpressible."""
    is_plain = value == value.strip() and value[:1] not in ("", "'", '"')
    quote = "" if is_plain else next((mark for mark in "\"'" if mark not in value), None)
    if quote is None or "\n" in value:
        raise NotExpressible(f"the value of {name} cannot be quoted")
    return f"{name}={quote}{value}{quote}"
