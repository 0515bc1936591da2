"""Stable stand-ins for what differs from ledger to ledger: ids, secrets, hashes, the folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from uuid import UUID

HOME = "/home/olga"
"""What a transcript shows for the folder."""
UNKNOWN = "00000000"
"""How an id begins that a transcript makes up."""


class StandIns:
    """What differs from ledger to ledger, numbered in the order in which it is first shown."""

    ID = re.compile(r"\b[0-9a-f]{8}(?:(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24})?\b")
    SECRET = re.compile(r"\bjl_[\w-]{43}")
    HASH = re.compile(r"\b(?:[0-9a-f]{64}\b|[0-9a-f]{16}…)")
    PROCESS = re.compile(rf"\bprocess {os.getpid()}\b")

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())
        self.issued: list[str] = []
        """Ids that the ledger was given; a word of eight letters may be the beginning of one."""
        self._ids: list[str] = []
        self._secrets: list[str] = []

    def shown(self, text: str) -> str:
        """A text of the ledger as a transcript has it."""
        text = text.replace(self._folder, HOME)
        text = self.HASH.sub(lambda found: f"<{len(found[0].rstrip('…'))} hex digits>", text)
        text = self.SECRET.sub(self._secret, text)
        text = self.PROCESS.sub("process 4711", text)
        return self.ID.sub(self._id, text)

    def typed(self, text: str) -> str:
        """A text of a transcript as the ledger knows it."""
        for number, secret in enumerate(self._secrets, 1):
            text = text.replace(f"jl_secret-{number}", secret)
        for number, found in enumerate(self._ids, 1):
            text = text.replace(f"{number:08}-0000-4000-8000-000000000000", found)
            text = re.sub(rf"\b{number:08}\b", found[:8], text)
        return text

    def _secret(self, found: re.Match[str]) -> str:
        return f"jl_secret-{_number(self._secrets, found[0])}"

    def _id(self, found: re.Match[str]) -> str:
        word = found[0]
        if len(word) == 8:
            known = [one for one in self.issued + self._ids if one.startswith(word)]
            return f"{_number(self._ids, known[0]):08}" if known else word
        if word.startswith(UNKNOWN):
            return word
        number = _number(self._ids, str(UUID(word)))
        stand_in = f"{number:08}-0000-4000-8000-000000000000"
        return stand_in if "-" in word else stand_in.replace("-", "")


def _number(known: list[str], word: str) -> int:
    if word not in known:
        known.append(word)
    return known.index(word) + 1
