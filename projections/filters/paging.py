"""Pages, cursors and checks of values that all queries share."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from ledger.clock import from_microseconds, microseconds, rfc3339
from ledger.errors import InvalidField
from projections.stores.rows import Row, RowReader

MAX_PAGE = 1000
DEFAULT_PAGE = 50
RECENT = 10
"""How many of the newest failures a summary shows."""
BEYOND_EVERY_CURSOR = 2**62
_PARAMETER = re.compile(r":(\w+)")

D = TypeVar("D")


def read_page(
    reader: RowReader, sql: str, values: Mapping[str, Any], *, limit: int, cursor: str
) -> tuple[Sequence[Row], str | None]:
    """Up to `limit` rows of a statement that ends in `LIMIT :limit`, and the cursor of the next
    page: what the last row has in the column `cursor`.
    """
    size = max(1, min(limit, MAX_PAGE))
    rows = reader.rows(sql, {**values, "limit": size + 1})
    return rows[:size], str(rows[size - 1][cursor]) if len(rows) > size else None


def conditions(terms: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The condition that each term holds, and the values: of every term the one of its parameter.
    Terms whose value is None are left out.
    """
    given = {term: value for term, value in terms.items() if value is not None}
    values = {_PARAMETER.findall(term)[0]: value for term, value in given.items()}
    return " AND ".join(given) or "1 = 1", values


def read_cursor(cursor: str) -> int:
    """The number a cursor of this ledger stands for. Raises InvalidField for any other text."""
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidField("cursor", "is not one that this ledger gave out")
    return int(cursor)


def cursor_or(cursor: str | None, default: D) -> int | D:
    """The number a cursor stands for, or the default without one. Raises InvalidField."""
    return default if cursor is None else read_cursor(cursor)


def require_choice(name: str, value: str | None, choices: Collection[str]) -> None:
    """Raise InvalidField for a value that is none of the choices, so that a typing error does not
    look like an empty answer.
    """
    if value is not None and value not in choices:
        raise InvalidField(name, f"must be one of {', '.join(choices)}")


def require_time_range(since: datetime | None, until: datetime | None) -> None:
    """Raise InvalidField for instants without an offset, or in the wrong order."""
    for name, at in (("since", since), ("until", until)):
        if at is not None:
            require_offset(at, name)
    if since is not None and until is not None and until < since:
        raise InvalidField("until", "is before since")


def require_offset(at: datetime, name: str) -> None:
    """Raise InvalidField for an instant without an offset."""
    if at.tzinfo is None:
        raise InvalidField(name, "must be an instant with an offset: 2026-01-31T09:00:00Z")


def optional_microseconds(at: datetime | None) -> int | None:
    """An instant as columns have it."""
    return None if at is None else microseconds(at)


def instant_text(at: int) -> str:
    """An instant of a column, in µs since the epoch, as RFC 3339."""
    return rfc3339(from_microseconds(at))


def optional_instant_text(at: int | None) -> str | None:
    return None if at is None else instant_text(at)
