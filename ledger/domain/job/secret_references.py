"""References to secrets: what a job says instead of a value that must not be stored."""

from __future__ import annotations

import re

from ledger.errors import InvalidField

SCHEME = "secret://"
REFERENCE = re.compile(rf"{SCHEME}([A-Za-z0-9_-]{{1,64}})")


def require_references(value: str, field: str) -> None:
    """Refuse a text that begins to name a secret and names none."""
    if value.count(SCHEME) != len(REFERENCE.findall(value)):
        raise InvalidField(
            field, f"{SCHEME} needs a name: up to 64 letters, digits, hyphens, underscores"
        )
