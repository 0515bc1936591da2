"""Readers of setting values: one raw value, text or TOML's, to its type.

Each raises a ValueError that says what would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit


def _optional(reader: Callable[[object], object]) -> Callable[[object], object]:
    return lambda raw: None if raw == "" else reader(raw)


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
        raise ValueError("a token is printable ASCII without spaces (what was given is not shown).")
    return raw.strip()


SQLITE = "sqlite:///"
_DSN = re.compile(rf"{SQLITE}(?!:memory:)\S.*|postgres(ql)?://\S*")


@_optional
def dsn(raw: object) -> str:
    text = raw.strip() if isinstance(raw, str) else ""
    if not text.isprintable() or not _DSN.fullmatch(text):
        raise ValueError("neither sqlite:///FILE nor postgresql://… (what was given is not shown).")
    return text


def host(raw: object) -> str:
    text = line(raw).lower()
    if not _is_host(text):
        raise ValueError(f"{_shown(raw)} is not an address or a host name (the port is apart).")
    return text


# 127.1 and 0x7f.1 look like names and are addresses in disguise.
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
    except ValueError:  # a port or an address that is none
        is_reachable = False
    if not is_reachable or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError("not http://HOST[:PORT][/PATH] or https://…, without a password.")
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
