"""Variables that name the file that holds a secret, as containers hand secrets over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ledger.errors import StartRefused

IN_FILES = ("JOBLEDGER_DSN", "JOBLEDGER_TOKEN")
"""The settings that may hold a secret: each may be given as NAME_FILE instead."""
SUFFIX = "_FILE"
MAX_BYTES = 64 * 1024


def read_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables, with what their files hold in place of the files' names. A variable set to
    nothing is left out. Refuses StartRefused when both are given, and for a file that cannot be
    read or holds nothing; never shows what is in it.
    """
    found = {name: text for name, text in environ.items() if name not in _FILES}
    for variable, name in _FILES.items():
        path = environ.get(variable, "").strip()
        if not path:
            continue
        if environ.get(name, "").strip():
            raise StartRefused(f"{variable} and {name} are both given: which one is meant?")
        found[name] = _content(variable, Path(path))
    return found


_FILES = {f"{name}{SUFFIX}": name for name in IN_FILES}


def _content(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode().strip()
    except OSError as problem:
        raise StartRefused(f"{variable}: {path} cannot be read: {problem.strerror}.") from None
    except ValueError:  # a name that is none, or bytes that are no text
        raise StartRefused(f"{variable}: this is no file of text.") from None
    if not text or len(text) > MAX_BYTES:
        raise StartRefused(f"{variable}: {path} holds nothing, or too much.")
    return text
