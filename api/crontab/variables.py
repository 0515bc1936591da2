"""The `NAME=value` lines of a crontab, with their quotes (cronie, env.c), and what some mean."""

from __future__ import annotations

import re

from api.crontab.percent import Unsayable
from ledger.domain.job.executor_spec import ENTRIES, parse_executor
from ledger.errors import LedgerError

ZONE = "CRON_TZ"
SHELL = "SHELL"
HOME = "HOME"
DECISIVE = (ZONE, SHELL, HOME)
"""A job whose zone, shell or folder was refused is refused too: it would be another job."""
ONLY_CRONS = frozenset(
    {"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "RANDOM_DELAY", "LOGNAME"}
)
"""Variables that tell cron itself something we do not do: recorded, not given to the command."""

_LINE = re.compile(
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s="'][^\s=]*))"""
    r"[ \t]*=[ \t]*(?P<value>.*)",
    re.DOTALL,
)


class Misread(Exception):
    """A line that cannot be taken; the text says why."""


def name_and_value(line: str) -> tuple[str, str] | None:
    """What a line without blanks before it says, or None when it is none of these lines."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    name = next(found[key] for key in ("double", "single", "bare") if found[key] is not None)
    return name, found["value"]


def plain_value(text: str) -> str:
    """A value without its quotes. Raises Misread."""
    quote = text[:1]
    if quote not in ("'", '"') or not quote:
        return text.rstrip()
    inside, end, rest = text[1:].partition(quote)
    if not end:
        raise Misread(f"the quote {quote} is not closed")
    if rest.strip():
        raise Misread("something stands behind the closing quote")
    return inside


def require_variable(name: str, value: str, count: int) -> None:
    """Refuse what no command may be given. Raises Misread."""
    if count >= ENTRIES:
        raise Misread(f"more than {ENTRIES} variables are too many")
    try:
        parse_executor({"kind": "command", "argv": ["/bin/true"], "env": {name: value}})
    except LedgerError as problem:
        raise Misread(problem.message.removeprefix("executor.env: ")) from None


def line_for(name: str, value: str) -> str:
    """The line that sets a variable. Raises Unsayable."""
    is_plain = value == value.strip() and value[:1] not in ("", "'", '"')
    quote = "" if is_plain else next((mark for mark in "\"'" if mark not in value), None)
    if quote is None or "\n" in value:
        raise Unsayable(f"the value of {name} cannot be quoted")
    return f"{name}={quote}{value}{quote}"
