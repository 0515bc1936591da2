"""The only source of chance: new ids, salts and secrets. Everything else is given its ids."""

from __future__ import annotations

import secrets
from uuid import UUID, uuid4


def new_id() -> UUID:
    """A random id."""
    return uuid4()


def random_bytes(count: int) -> bytes:
    """So many bytes that nobody can guess."""
    return secrets.token_bytes(count)
