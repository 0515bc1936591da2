"""Secrets: values that jobs name as `secret://name`, filled in at run time and removed from every
output and error. They are never stored as events.

A value is in a file `<folder>/<name>` (mode 0600, read anew each time, so that it can be rotated)
or comes from the environment. Output, errors and logs are searched for each value as it is, in
base64 (at any of the three alignments), URL-encoded and as JSON writes it.
"""

from __future__ import annotations

import base64
import json
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from ledger.domain.job.executor_spec import REFERENCE
from ledger.errors import Refused

LONGEST_BYTES = 4 * 1024
"""The maximum size of a secret's file."""
SHORTEST_HIDDEN = 4
"""A shorter value is not searched for: it would match in every text."""
SHORTEST_PIECE = 8
"""The shortest piece of a value's base64 that is not a match by chance."""
MARGIN = 6 * LONGEST_BYTES
"""As long as any form of any secret (JSON's `\u0001`): texts are searched so far beyond where they
are cut.
"""
MAX_REMEMBERED = 500
"""Replaced values that are still searched for."""
UNTOUCHED = "!'()*"
"""Characters that JavaScript's encodeURIComponent leaves as they are, and Python does not."""
ENCODED = re.compile("%[0-9A-F]{2}")


class MissingSecret(Refused):
    """A job names a secret that does not exist, or cannot be read."""

    code = "missing_secret"


class Secrets:
    """The secrets of one node. `given` are those of the environment, by upper-case name."""

    def __init__(self, folder: Path | None = None, given: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._given = given or {}
        self._given_out: dict[str, str] = {}
        self._search = Search({})

    def fill(self, text: str) -> str:
        """The text with every reference replaced by its value. Refuses MissingSecret."""
        return REFERENCE.sub(lambda found: self.value(found[1]), text)

    def value(self, name: str) -> str:
        """One secret. Refuses MissingSecret, whose message says what to do."""
        value = self._read(name)
        if value is None:
            value = self._given.get(name.upper().replace("-", "_"))
        if not value:
            raise MissingSecret(
                f"The secret {name} is missing on this node: put it into a file "
                f"secrets/{name} of the data folder (mode 0600), or set "
                f"JOBLEDGER_SECRET_{name.upper().replace('-', '_')}."
            )
        self._remember(value, name)
        return value

    def redact(self, text: str) -> str:
        """The text with every secret, in any of its forms, replaced by its name. Any thread may
        call it, while another notices that the secrets have changed.
        """
        known = dict(self._known())
        search = self._search
        if search.known != known:
            self._search = search = Search(known)
        return search.replaced(text)

    def _remember(self, value: str, name: str) -> None:
        """A run that got a value may output it long after its file was replaced."""
        self._given_out.pop(value, None)
        self._given_out[value] = name.lower()
        if len(self._given_out) > MAX_REMEMBERED:
            del self._given_out[next(iter(self._given_out))]

    def _read(self, name: str) -> str | None:
        if self._folder is None:
            return None
        file = self._folder / name
        try:
            mode, raw = stat.S_IMODE(file.stat().st_mode), _head(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MissingSecret(f"The secret {name} cannot be read: {error.strerror}.") from None
        if mode & 0o077:
            raise MissingSecret(
                f"The secret {name} may be read by others (mode {mode:04o}): run "
                "chmod 600 on its file."
            )
        try:
            value = raw.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise MissingSecret(f"The secret {name} is not UTF-8 text.") from None
        if len(raw) > LONGEST_BYTES:
            raise MissingSecret(f"The secret {name} is longer than {LONGEST_BYTES} bytes.")
        return value

    def _known(self) -> Iterator[tuple[str, str]]:
        """Values and their names: those that were used, and those that could be."""
        yield from list(self._given_out.items())
        for name, value in self._given.items():
            yield value, name.lower()
        for name in self._filed():
            try:
                yield self._read(name) or "", name
            except MissingSecret:
                continue

    def _filed(self) -> Iterable[str]:
        try:
            return [file.name for file in self._folder.iterdir()] if self._folder else []
        except OSError:
            return []


class Search:
    """Finds every form of the known values; immutable, so that threads can share it."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known
        self._names = {form: name for value, name in known.items() for form in forms_of(value)}
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def replaced(self, text: str) -> str:
        """The text with a name in the place of each value."""
        if not self._names:
            return text
        return self._pattern.sub(lambda found: f"[secret:{self._names[found[0]]}]", text)


NO_SECRETS = Secrets()


def forms_of(value: str) -> set[str]:
    """The forms of a value in a text: as it is, URL-encoded, in JSON, in base64."""
    if len(value) < SHORTEST_HIDDEN:
        return set()
    in_url = {quote(value, safe=safe) for safe in ("", "/", UNTOUCHED)} | {quote_plus(value)}
    in_url |= {ENCODED.sub(lambda found: found[0].lower(), form) for form in in_url}
    in_json = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    in_json |= {form.replace("/", "\\/") for form in in_json}
    return {value} | in_url | in_json | set(_in_base64(value.encode()))


def _in_base64(raw: bytes) -> Iterator[str]:
    """Inside a longer text a value has one of three alignments; the characters at both ends that
    also encode its neighbours are left out.
    """
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + raw).decode().rstrip("=")
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        piece = whole[first:last]
        if len(piece) >= SHORTEST_PIECE:
            yield piece
            yield piece.replace("+", "-").replace("/", "_")


def _head(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(LONGEST_BYTES + 2)
