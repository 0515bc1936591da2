"""Words of a question that can only be some: a mistyped one must not look innocent."""

from __future__ import annotations

from collections.abc import Collection

from ledger.errors import InvalidField


def require_choice(name: str, word: str | None, known: Collection[str]) -> None:
    """Refuse InvalidField for a word that is not known; None is none."""
    if word is not None and word not in known:
        raise InvalidField(name, f"must be one of {', '.join(known)}")
