"""Names for jobs that have none: readable, unique in their file, the same at every import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from uuid import UUID

from ledger.domain.job.spec import MAX_NAME
from ledger.domain.streams.names import name_stream

NAMELESS = "job"
LONGEST_BASE = 100
PRELIMINARY = frozenset(
    {"cd", "test", "[", "[[", "if", "then", "else", "fi", "while", "for", "do", "done", "set"}
    | {"export", "umask", "sleep", "true", "false", ":", ".", "source", "command", "echo", "!"}
)
"""Commands that come before the one that names the job; the next part of the line has it."""
WRAPPERS = frozenset(
    {"exec", "env", "nice", "ionice", "nohup", "time", "sudo", "chronic", "run-parts"}
    | {"sh", "bash", "dash", "zsh", "perl", "php", "ruby", "node", "python", "python3"}
)
"""Programs that run another program, which names the job."""

_PARTS = re.compile(r"[;|&(){}]+")
_UNWANTED = re.compile(r"[^\w.+-]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*|-.*|\d+")


class Names:
    """The names that were given in one file."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._taken: set[UUID] = set()

    def of(self, command: str) -> str:
        """A new name from the program of a command: `backup`, then `backup-2`."""
        return self.unique(f"{self._prefix}{base(command)}")

    def unique(self, wanted: str) -> str:
        """The wanted name, with a number if it is taken."""
        stem = wanted[: MAX_NAME - 8]
        name = next(one for one in _numbered(wanted, stem) if name_stream(one) not in self._taken)
        self._taken.add(name_stream(name))
        return name


def base(command: str) -> str:
    """The word that names a command, mostly the program it runs."""
    words = [word for part in _PARTS.split(command) if (word := _program(part.split()))]
    return next((word for word in words if word not in PRELIMINARY), (*words, NAMELESS)[0])


def _program(words: list[str]) -> str:
    """The program of one part of a line, or the script of an interpreter."""
    named = [_clean(word) for word in words if not _ASSIGNMENT.fullmatch(word)]
    found = [word for word in named if word]
    return next((word for word in found if word not in WRAPPERS), (*found, "")[0])


def _clean(word: str) -> str:
    """The last part of a path, without characters that a name may not have."""
    if word in PRELIMINARY:
        return word
    return _UNWANTED.sub("", word.rstrip("/").rpartition("/")[2])[:LONGEST_BASE]


def _numbered(wanted: str, stem: str) -> Iterator[str]:
    yield wanted
    yield from (f"{stem}-{number}" for number in count(2))
