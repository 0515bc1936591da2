"""The past of a job in another scheduler, read key by key, and how the job continues here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from ledger.clock import parse_rfc3339
from ledger.domain.job.spec import read_map, read_text
from ledger.domain.schedule.recurrence import require_fires
from ledger.domain.schedule.schedules import At, parse_schedule
from ledger.errors import InvalidField, TooLarge, UnknownField, quoted

STATUSES: Final = ("active", "paused", "failed", "completed")
"""The statuses that a job may have had in the other scheduler."""
FIELDS: Final = (
    "spec",
    "origin_id",
    "status",
    "consecutive_errors",
    "last_error",
    "last_run_at",
    "run_count",
    "imported",
)
LONGEST_ORIGIN_ID: Final = 500
MAX_ERROR_BYTES: Final = 4096
MAX_IMPORTED_BYTES: Final = 64 * 1024
HIGHEST_COUNT: Final = 2**53

_ORIGIN = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Past:
    """A job's record in another scheduler: its origin, its status, and what was not understood."""

    origin: str
    origin_id: str
    status: str = "active"
    consecutive_errors: int = 0
    last_error: str | None = None
    last_run_at: datetime | None = None
    run_count: int = 0
    imported: Mapping[str, Any] = field(default_factory=dict)

    def fields(self, next_run_at: datetime | None) -> dict[str, Any]:
        """The fields of `job.imported`. Only an active job keeps its next run."""
        return {
            "origin": self.origin,
            "origin_id": self.origin_id,
            "status": self.status,
            "consecutive_errors": self.consecutive_errors,
            "last_error": self.last_error,
            "last_run_at": self.last_run_at,
            "run_count": self.run_count,
            "next_run_at": next_run_at if self.status == "active" else None,
            "imported": dict(self.imported),
        }

    def require_fires(self, schedule: Mapping[str, Any], *, now: datetime) -> None:
        """Refuse a schedule that never fires. A one-shot whose instant has passed is refused for an
        active job only: a paused, failed or completed one may be past its instant.
        """
        parsed = parse_schedule(schedule)
        if self.status == "active" or not isinstance(parsed, At):
            require_fires(parsed, now=now)


def parse_origin(given: object) -> str:
    """The name of the scheduler that a job comes from."""
    if not isinstance(given, str) or not _ORIGIN.fullmatch(given):
        raise InvalidField("origin", "must be a short lower-case word such as crontab")
    return given


def parse_past(origin: str, given: object) -> Past:
    """The past of one job as a caller gives it. Refuses by field: UnknownField, InvalidField,
    TooLarge.
    """
    fields = read_map("jobs", given)
    for key in fields:
        if key not in FIELDS:
            raise UnknownField(str(key)[:LONGEST_ORIGIN_ID], FIELDS)
    read_map("spec", fields.get("spec"))
    return Past(
        origin,
        _origin_id(fields.get("origin_id")),
        _status(fields.get("status", "active")),
        _count("consecutive_errors", fields.get("consecutive_errors", 0)),
        _error(fields.get("last_error")),
        _instant(fields.get("last_run_at")),
        _count("run_count", fields.get("run_count", 0)),
        _imported(fields.get("imported", {})),
    )


def _origin_id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ORIGIN_ID:
        raise InvalidField("origin_id", f"must be a string of 1 to {LONGEST_ORIGIN_ID} characters")
    if not value.isprintable():
        raise InvalidField("origin_id", "must be printable")
    return value


def _status(value: object) -> str:
    if not isinstance(value, str) or value not in STATUSES:
        raise InvalidField("status", f"must be one of {', '.join(STATUSES)}")
    return value


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST_COUNT:
        raise InvalidField(name, f"must be a whole number from 0 to {HIGHEST_COUNT}")
    return value


def _error(value: object) -> str | None:
    return None if value is None else read_text("last_error", value, MAX_ERROR_BYTES)


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return parse_rfc3339(value if isinstance(value, str) else "")
    except (ValueError, OverflowError):
        raise InvalidField(
            "last_run_at", f"{quoted(str(value))} is not an RFC 3339 instant with an offset"
        ) from None


def _imported(value: object) -> Mapping[str, Any]:
    """Accepts only what the event store returns exactly as it was given."""
    found = read_map("imported", value)
    try:
        text = orjson.dumps(found)
    except TypeError:  # orjson's own error: not JSON, a number too wide, a lone surrogate
        raise InvalidField(
            "imported", "must be plain JSON with numbers of at most 64 bits"
        ) from None
    if len(text) > MAX_IMPORTED_BYTES:
        raise TooLarge("imported", MAX_IMPORTED_BYTES)
    if orjson.loads(text) != found:
        raise InvalidField("imported", "must be plain JSON, without NaN and infinities")
    return found
