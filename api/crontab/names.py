"""Names for jobs that come without one: readable, unique in their file, the same every time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from uuid import UUID

from ledger.domain.job.spec import MAX_NAME
from ledger.domain.streams.names import name_stream

NAMELESS = "job"
LONGEST_BASE = 100
NOT_THE_POINT = frozenset(
    {"cd", "test", "[", "[[", "if", "then", "else", "fi", "while", "for", "do", "done", "set"}
    | {"export", "umask", "sleep", "true", "false", ":", ".", "source", "command", "echo", "!"}
)
"""What stands before the program that a line is about; the next part of the line tells."""
PASSED_ON = frozenset(
    {"exec", "env", "nice", "ionice", "nohup", "time", "sudo", "chronic", "run-parts"}
    | {"sh", "bash", "dash", "zsh", "perl", "php", "ruby", "node", "python", "python3"}
)
"""Programs that run what they are given: that names the job."""

_PARTS = re.compile(r"[;|&(){}]+")
_UNWANTED = re.compile(r"[^\w.+-]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*|-.*|\d+")


class Names:
    """The names that one file has given away."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._taken: set[UUID] = set()

    def of(self, command: str) -> str:
        """A new name, from what the command runs: `backup`, then `backup-2`."""
        return self.unique(f"{self._prefix}{base(command)}")

    def unique(self, wanted: str) -> str:
        """The name that is wanted, with a number if it is taken."""
        stem = wanted[: MAX_NAME - 8]
        name = next(one for one in _numbered(wanted, stem) if name_stream(one) not in self._taken)
        self._taken.add(name_stream(name))
        return name


def base(command: str) -> str:
    """What a command is about, in one word: mostly the program it runs."""
    words = [word for part in _PARTS.split(command) if (word := _program(part.split()))]
    return next((word for word in words if word not in NOT_THE_POINT), (*words, NAMELESS)[0])


def _program(words: list[str]) -> str:
    """The program of one part, or what an interpreter is given."""
    named = [_clean(word) for word in words if not _ASSIGNMENT.fullmatch(word)]
    found = [word for word in named if word]
    return next((word for word in found if word not in PASSED_ON), (*found, "")[0])


def _clean(word: str) -> str:
    """The last part of a path, without what would not do in a name."""
    if word in NOT_THE_POINT:
        return word
    return _UNWANTED.sub("", word.rstrip("/").rpartition("/")[2])[:LONGEST_BASE]


def _numbered(wanted: str, stem: str) -> Iterator[str]:
    yield wanted
    yield from (f"{stem}-{number}" for number in count(2))
