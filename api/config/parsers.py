"""Parsers of settings: each takes a text or a TOML value to its type, or raises a ValueError that
says what is valid. And the variables that name a file with a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from ledger.errors import StartRefused


def _optional(parse: Callable[[object], object]) -> Callable[[object], object]:
    return lambda raw: None if raw == "" else parse(raw)


def line(raw: object) -> str:
    text = raw.strip() if isinstance(raw, str) else ""
    if not text or not text.isprintable():
        raise ValueError(f"{_shown(raw)} is not a line of text.")
    return text


def folder(raw: object) -> Path:
    return raw if isinstance(raw, Path) else Path(line(raw))


@_optional
def token(raw: object) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"[!-~]+", raw.strip()):
        raise ValueError("a token is printable ASCII without spaces (its value is not shown).")
    return raw.strip()


SQLITE = "sqlite:///"
_DSN = re.compile(rf"{SQLITE}(?!:memory:)\S.*|postgres(ql)?://\S*")


@_optional
def dsn(raw: object) -> str:
    text = raw.strip() if isinstance(raw, str) else ""
    if not text.isprintable() or not _DSN.fullmatch(text):
        raise ValueError("must be sqlite:///FILE or postgresql://… (its value is not shown).")
    return text


def host(raw: object) -> str:
    text = line(raw).lower()
    if not _is_host(text):
        raise ValueError(f"{_shown(raw)} is not an address or host name (without a port).")
    return text


# 127.1 and 0x7f.1 look like host names but resolve as addresses.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*(?!(?:\d+|0x[0-9a-f]*)\.?$){_LABEL}\.?")


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(text) is not None
    return True


@_optional
def url(raw: object) -> str:
    text = line(raw)
    try:
        parts = urlsplit(text)
        is_reachable = _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # an invalid port or address
        is_reachable = False
    if not is_reachable or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError("must be http://HOST[:PORT][/PATH] or https://…, without a password.")
    return text


def targets(raw: object) -> tuple[str, ...]:
    words = re.split(r"[,\s]+", raw) if isinstance(raw, str) else raw
    if not isinstance(words, list | tuple):
        raise ValueError(f"{_shown(raw)} is not a list of hosts and networks.")
    return tuple(_target(word) for word in words if word != "")


def _target(raw: object) -> str:
    text = line(raw).lower()
    try:
        return str(ip_network(text))
    except ValueError:
        if _is_host(text):
            return text
    raise ValueError(f"{_shown(raw)} is neither a host nor a network such as 10.0.0.0/8.")


_WORDS = {"on": True, "true": True, "yes": True, "1": True}
_WORDS |= {"off": False, "false": False, "no": False, "0": False}


def switch(raw: object) -> bool:
    word = str(raw).strip().lower() if isinstance(raw, str | bool) else ""
    if word not in _WORDS:
        raise ValueError(f"{_shown(raw)} is neither on nor off.")
    return _WORDS[word]


def _whole(raw: object, *, low: int, high: int) -> int:
    digits = str(raw).strip()
    if not re.fullmatch(r"-?[0-9]{1,18}", digits) or not low <= int(digits) <= high:
        raise ValueError(f"{_shown(raw)} is not a whole number from {low} to {high}.")
    return int(digits)


port = partial(_whole, low=0, high=65_535)
concurrency = partial(_whole, low=1, high=10_000)
limit = _optional(partial(_whole, low=1, high=2**53))


def projections(raw: object) -> str:
    if raw not in ("thread", "process"):
        raise ValueError(f"{_shown(raw)} is neither thread nor process.")
    return str(raw)


def _shown(raw: object) -> str:
    return ascii(raw) if len(ascii(raw)) <= 60 else f"{ascii(raw)[:57]}..."


# -- secrets in files -----------------------------------------------------------------------------

IN_FILES = ("JOBLEDGER_DSN", "JOBLEDGER_TOKEN")
"""The settings that may be secret: each can be given as NAME_FILE instead."""
SUFFIX = "_FILE"
MAX_FILE_BYTES = 64 * 1024
_FILES = {f"{name}{SUFFIX}": name for name in IN_FILES}


def with_file_contents(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables, with the content of each NAME_FILE as NAME. A NAME_FILE set to nothing is left
    out. Raises StartRefused when both are set, and for a file that is unreadable, empty or too
    large; never shows its content.
    """
    found = {name: text for name, text in environ.items() if name not in _FILES}
    for variable, name in _FILES.items():
        path = environ.get(variable, "").strip()
        if not path:
            continue
        if environ.get(name, "").strip():
            raise StartRefused(f"{variable} and {name} are both set: set only one.")
        found[name] = _content(variable, Path(path))
    return found


def _content(variable: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1).decode().strip()
    except OSError as problem:
        raise StartRefused(f"{variable}: {path} cannot be read: {problem.strerror}.") from None
    except ValueError:  # a NUL in the path, or bytes that are not UTF-8
        raise StartRefused(f"{variable}: the file is not UTF-8 text.") from None
    if not text or len(text) > MAX_FILE_BYTES:
        raise StartRefused(f"{variable}: {path} is empty or larger than 64 KiB.")
    return text
