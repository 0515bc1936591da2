"""Removes people's words from events: free text is blanked, counts, order and causes stay."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ledger.chance import random_bytes
from ledger.domain.events import Event, Imported
from ledger.domain.job.urls import parse_url
from ledger.store.codec import blank_texts, shape_of

LETTERS = str.maketrans("0123456789abcdef", "ghijklmnopqrstuv")
"""A signature's digest in letters: digits would be replaced when a signature is computed from
it.
"""
DIGITS = 8
QUOTED_FIELDS = {
    "job.run_blocked": "cause",
    "job.delivery_failed": "outcome",
    "notice.failed": "outcome",
}
"""By topic, the field that quotes a program or a channel."""
HASHES = ("output_sha256", "fingerprint")
"""A hash of a short text can be reversed by guessing."""
REDACTED = "redacted"


class Redaction:
    """One redaction: equal signatures stay equal within it, and are unrelated to those of
    another.
    """

    def __init__(self) -> None:
        self._salt = random_bytes(16)

    def blank(self, event_class: type[Event], state: dict[str, Any]) -> None:
        """Blank every free text in a stored state, and what may have been derived from one."""
        blank_texts(shape_of(event_class).texts, state)
        if state.get("signature"):
            state["signature"] = self.signature(state["failure_class"], state["signature"])
        if event_class is Imported:
            state |= {"imported": {}, "origin_id": REDACTED}
        quoting = QUOTED_FIELDS.get(event_class.TOPIC)
        if quoting is not None:
            state[quoting] = REDACTED
        for name in HASHES:
            if name in state:
                state[name] = self._digest(state[name])
        _blank_executor(state)
        _blank_executor(state.get("changes") or {})

    def signature(self, failure_class: str | None, signature: str) -> str:
        """The replacement of a signature: one that a failure with that message has (see
        `ledger.domain.job.failures.signature`).
        """
        digest = self._digest(signature)[:DIGITS]
        return f"{failure_class} - {REDACTED} {digest.translate(LETTERS)}"

    def _digest(self, of: str) -> str:
        return sha256(self._salt + of.encode()).hexdigest()


def _blank_executor(fields: dict[str, Any]) -> None:
    """Keep the kind and the target of an executor; the rest may be secret, in arguments, variables
    and headers as well as in the path of a URL.
    """
    executor = fields.get("executor")
    if executor is None:
        return
    remaining = {name: executor[name] for name in ("kind", "handler", "queue") if name in executor}
    if "url" in executor:
        url = parse_url(executor["url"], field="executor.url")
        remaining["url"] = f"{url.scheme}://{url.authority}/"
    if "argv" in executor:
        remaining["argv"] = executor["argv"][:1]
    fields["executor"] = remaining
