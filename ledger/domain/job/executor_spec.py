"""The executor map of a job, checked key by key when the job is created.

Pure: no name is resolved and no file is read. docs/how-to/http.md and command.md show the shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ledger.domain.job.urls import parse_url
from ledger.errors import InvalidField, UnknownField

ARGUMENTS = 256
ARGUMENT_BYTES = 8 * 1024
ENTRIES = 64
"""The maximum number of headers, and of environment variables."""
NAME_CHARACTERS = 128
"""The maximum length of the name of a header, a variable, a queue or a handler."""
VALUE_BYTES = 4096
PATH_BYTES = 4096

RESERVED_VARIABLE_PREFIX = "JOBLEDGER_"
"""Variables with this prefix identify the run to a command, so a job cannot set them."""

RESERVED_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "idempotency-key",
        "jobledger-run-token",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
"""Headers that sign, frame or route the request, so a job cannot set them."""

_KEYS = {
    "http": ("kind", "url", "headers"),
    "command": ("kind", "argv", "env", "cwd"),
    "python": ("kind", "handler"),
    "worker": ("kind", "queue"),
    "noop": ("kind",),
}
_OPTIONAL = frozenset({"headers", "env", "cwd"})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = re.compile(r"[A-Za-z0-9_.:-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def parse_executor(plain: Mapping[str, object], *, only: str | None = None) -> dict[str, Any]:
    """The executor map of a job, checked; contains exactly the keys that were given. With `only`,
    no other kind is accepted.

    Refuses UnknownField for a key that its kind does not know, InvalidField for anything missing or
    malformed.
    """
    kind = plain.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS or only not in (None, kind):
        raise InvalidField("executor.kind", f"must be {only or 'one of ' + ', '.join(_KEYS)}")
    known = _KEYS[kind]
    for key in plain:
        if key not in known:
            raise UnknownField(f"executor.{_shown(key)}", known)
    for key in known:
        if key not in plain and key not in _OPTIONAL:
            raise InvalidField(f"executor.{key}", f"is missing; kind {kind} requires it")
    return {key: _PARSERS[key](value) for key, value in plain.items()}


def queue_of(executor: Mapping[str, Any] | None) -> str | None:
    """The queue from which workers take a job's runs; None when the dispatcher executes them."""
    is_for_workers = executor is not None and executor["kind"] == "worker"
    return str(executor["queue"]) if executor is not None and is_for_workers else None


def _kind(value: object) -> str:
    return str(value)


def _url(value: object) -> str:
    parse_url(value, field="executor.url")
    return str(value)


def _headers(value: object) -> dict[str, str]:
    headers = _entries(value, "executor.headers")
    if len({name.lower() for name in headers}) < len(headers):
        raise InvalidField("executor.headers", "names a header twice (names ignore case)")
    for name, content in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidField("executor.headers", f"{name!r} is not a valid header name")
        if name.lower() in RESERVED_HEADERS or name.lower().startswith("proxy-"):
            raise InvalidField(
                "executor.headers", f"{name} is set by the ledger and cannot be overridden"
            )
        if not content.isascii() or _CONTROL.search(content) or content != content.strip():
            raise InvalidField(
                f"executor.headers.{name}",
                "must be printable ASCII without leading or trailing blanks",
            )
        require_references(content, f"executor.headers.{name}")
    return headers


def _env(value: object) -> dict[str, str]:
    variables = _entries(value, "executor.env")
    for name in variables:
        if not _VARIABLE_NAME.fullmatch(name):
            raise InvalidField("executor.env", f"{name!r} is not a valid variable name")
        if name.startswith(RESERVED_VARIABLE_PREFIX):
            raise InvalidField(
                "executor.env", f"{name} is reserved for the ledger and cannot be overridden"
            )
        require_references(variables[name], f"executor.env.{name}")
    return variables


def _argv(value: object) -> list[str]:
    if not isinstance(value, list | tuple) or not 0 < len(value) <= ARGUMENTS:
        raise InvalidField(
            "executor.argv", f"must be a list of 1 to {ARGUMENTS} strings (no shell reads it)"
        )
    argv = [
        _text(part, f"executor.argv[{place}]", ARGUMENT_BYTES) for place, part in enumerate(value)
    ]
    if not argv[0] or _CONTROL.search(argv[0]):
        raise InvalidField("executor.argv[0]", "must name a program")
    return argv


def _cwd(value: object) -> str:
    path = _text(value, "executor.cwd", PATH_BYTES)
    if not path.startswith("/") or _CONTROL.search(path):
        raise InvalidField("executor.cwd", "must be an absolute path without control characters")
    return path


def _handler(value: object) -> str:
    return _word(value, "executor.handler")


def _queue(value: object) -> str:
    return _word(value, "executor.queue")


_PARSERS: dict[str, Callable[[object], object]] = {
    "kind": _kind,
    "url": _url,
    "headers": _headers,
    "argv": _argv,
    "env": _env,
    "cwd": _cwd,
    "handler": _handler,
    "queue": _queue,
}


def _entries(value: object, field: str) -> dict[str, str]:
    """A map of at most 64 names to strings."""
    if not isinstance(value, Mapping) or len(value) > ENTRIES:
        raise InvalidField(field, f"must be an object of at most {ENTRIES} entries")
    entries = {}
    for name, content in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS:
            raise InvalidField(
                field, f"has a name that is not a string of 1 to {NAME_CHARACTERS} characters"
            )
        entries[name] = _text(content, f"{field}.{_shown(name)}", VALUE_BYTES)
    return entries


def _shown(key: str) -> str:
    """A key as a message shows it: characters that cannot be printed or stored are escaped."""
    return (key if key.isprintable() else ascii(key))[:NAME_CHARACTERS]


def _word(value: object, field: str) -> str:
    if not isinstance(value, str) or len(value) > NAME_CHARACTERS or not _WORDS.fullmatch(value):
        raise InvalidField(
            field,
            f"must be 1 to {NAME_CHARACTERS} letters, digits, dots, colons, hyphens or underscores",
        )
    return value


def _text(value: object, field: str, limit_bytes: int) -> str:
    """A string within the limit, without NUL, that can be encoded as UTF-8."""
    if not isinstance(value, str):
        raise InvalidField(field, "must be a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidField(field, "contains a lone surrogate, which is not a character") from None
    if size > limit_bytes:
        raise InvalidField(field, f"is longer than {limit_bytes} bytes")
    if "\0" in value:
        raise InvalidField(field, "contains a NUL character")
    return value


SCHEME = "secret://"
REFERENCE = re.compile(rf"{SCHEME}([A-Za-z0-9_-]{{1,64}})")


def require_references(value: str, field: str) -> None:
    """Refuse a text that starts like a reference to a secret and is not a valid one."""
    if value.count(SCHEME) != len(REFERENCE.findall(value)):
        raise InvalidField(
            field, f"{SCHEME} needs a name: up to 64 letters, digits, hyphens, underscores"
        )
