"""Logs on stderr: one line per entry, `name=value`, control characters escaped."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from api.cli.text import escaped_json
from ledger.clock import rfc3339

QUIET = ("httpx", "httpcore", "asyncio", "uvicorn.access")
"""Only warnings of these loggers."""
QUIETER = ("opentelemetry",)
"""Only errors: a collector that is down would be logged at every retry, not once a batch."""

SILENT = ("apprise",)
"""Nothing: a failed notification has its event, and their lines contain addresses."""


class LineFormatter(logging.Formatter):
    """`at=… level=info logger=… message="…"`, and `error="…"` with a traceback; no secrets."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        at = rfc3339(datetime.fromtimestamp(record.created, UTC))
        fields = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": quoted(self._redact(record.getMessage())),
        }
        if record.exc_info:
            fields["error"] = quoted(self._redact(self.formatException(record.exc_info)))
        return " ".join(f"{name}={value}" for name, value in fields.items())


def quoted(text: str) -> str:
    """A text as a JSON string on one line, control characters escaped."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return escaped_json(orjson.dumps(whole).decode())


def log_to_stderr(redact: Callable[[str], str]) -> None:
    """Log to stderr, one line per entry; `redact` removes secrets."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(redact))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in QUIETER:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in SILENT:
        logging.getLogger(name).propagate = False
