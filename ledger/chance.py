"""The only source of randomness: new ids, salts and secrets. Everything else is given its ids."""

from __future__ import annotations

import secrets
from typing import Protocol
from uuid import UUID, uuid4


class Chance(Protocol):
    """The ledger's source of randomness. Simulations pass a seeded one."""

    def new_id(self) -> UUID:
        """A random id."""

    def random_bytes(self, count: int) -> bytes:
        """So many unpredictable bytes."""


class SystemChance:
    """The machine's source."""

    def new_id(self) -> UUID:
        return uuid4()

    def random_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)


def new_id() -> UUID:
    """A random id, for edges that are given no Chance."""
    return uuid4()


def random_bytes(count: int) -> bytes:
    """So many unpredictable bytes."""
    return secrets.token_bytes(count)
