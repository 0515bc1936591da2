"""Logs on stderr: one line an entry, `name=value` throughout, nothing that a terminal obeys."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from api.cli.text import escaped_json
from ledger.clock import rfc3339

QUIET = ("httpx", "httpcore", "asyncio", "uvicorn.access")
"""Loggers that tell more than anybody asks for; of these only warnings are shown."""
QUIETER = ("opentelemetry",)
"""Of these only errors: a collector that is down is told of once a batch, not once a try."""

SILENT = ("apprise",)
"""Of these nothing: a message that failed is told by its event, and their lines name addresses."""


class Lines(logging.Formatter):
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
    """A text in JSON's quotes, on one line, its control characters escaped."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return escaped_json(orjson.dumps(whole).decode())


def log_to_stderr(redact: Callable[[str], str]) -> None:
    """Send what this process logs to stderr, as Lines; `redact` takes secrets out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(redact))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in QUIETER:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in SILENT:
        logging.getLogger(name).propagate = False
