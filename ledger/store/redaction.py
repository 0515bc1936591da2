"""Taking people's words out of events: free text goes, counts, order and causes stay."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ledger.chance import random_bytes
from ledger.domain.events import Event
from ledger.store.codec import blank_texts, shape_of

LETTERS = str.maketrans("0123456789abcdef", "ghijklmnopqrstuv")
"""A signature's digest in letters: digits would be taken out of it when it is computed anew."""
DIGITS = 8


class Redaction:
    """One redaction: equal signatures stay equal within it, and mean nothing outside of it."""

    def __init__(self) -> None:
        self._salt = random_bytes(16)

    def blank(self, event_class: type[Event], state: dict[str, Any]) -> None:
        """Take every free text out of a stored state, and what may have been taken from one."""
        blank_texts(shape_of(event_class).texts, state)
        if state.get("signature"):
            state["signature"] = self.signature(state["failure_class"], state["signature"])
        if "imported" in state:
            state["imported"] = {}

    def signature(self, failure_class: str | None, signature: str) -> str:
        """What stands for a signature: one that a failure with that message has (see
        `ledger.domain.failures.signature`).
        """
        digest = sha256(self._salt + signature.encode()).hexdigest()[:DIGITS]
        return f"{failure_class} - redacted {digest.translate(LETTERS)}"
