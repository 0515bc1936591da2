"""The only source of chance: new ids, salts and secrets. Everything else is given its ids."""

from __future__ import annotations

import secrets
from typing import Protocol
from uuid import UUID, uuid4


class Chance(Protocol):
    """What the ledger asks of chance. Simulations pass a seeded one."""

    def new_id(self) -> UUID:
        """A random id."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """So many bytes that nobody can guess."""
        ...


class SystemChance:
    """The machine's."""

    def new_id(self) -> UUID:
        return uuid4()

    def random_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)


def new_id() -> UUID:
    """A random id, for edges that are given no Chance."""
    return uuid4()


def random_bytes(count: int) -> bytes:
    """So many bytes that nobody can guess."""
    return secrets.token_bytes(count)
