"""Proof that nobody edited the book: every hash, every column and every kept text is recomputed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from ledger.errors import LedgerError
from ledger.store.book import Book
from ledger.store.codec import shape_of, text_references
from ledger.store.evidence import Finding, Row, genesis, verify
from ledger.store.mapper import TOPICS

EVERY = 1000
"""Progress is told after so many events."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found: how many events fit, the chain value there, and the first that
    does not, if any.
    """

    verified: int
    chain: bytes
    finding: Finding | None

    @property
    def is_sound(self) -> bool:
        return self.finding is None


def verify_book(book: Book, progress: Progress | None = None) -> Verdict:
    """Walk the whole book in order and stop at the first event that is not what was appended.

    Texts that were forgotten are missing and prove nothing; a text that is there must have the hash
    its event names.
    """
    total = book.tail_position()
    start = chain = genesis(book.ledger_id)
    position = 0
    last: list[Row] = []
    try:
        texts = {text_id: _digest(salt, body) for text_id, salt, body in book.salted_texts()}
        for result in verify(_remembered(book.rows(), last), start=start, decode=orjson.loads):
            if isinstance(result, Finding):
                return Verdict(position, chain, result)
            if not _texts_fit(last[-1], texts):
                return Verdict(position, chain, Finding(result, "one of its texts was changed"))
            position, chain = result, last[-1].chain
            if progress is not None and position % EVERY == 0:
                progress(position, total)
    except (LedgerError, sqlite3.DatabaseError, ValueError) as error:
        return Verdict(position, chain, Finding(position + 1, f"it cannot be read ({error})"))
    if position != total:
        return Verdict(position, chain, Finding(position + 1, "it is missing"))
    return Verdict(position, chain, None)


def _remembered(rows: Iterator[Row], last: list[Row]) -> Iterator[Row]:
    for row in rows:
        last[:] = [row]
        yield row


def _texts_fit(row: Row, texts: dict[str, str]) -> bool:
    """Whether every text of a verified row that is still kept has the hash the row names."""
    event_class = TOPICS.get(row.topic)
    if event_class is None:
        return True
    state: dict[str, Any] = orjson.loads(row.state)
    references = text_references(shape_of(event_class).texts, state)
    return all(texts.get(text_id, digest) == digest for text_id, digest in references)


def _digest(salt: object, body: object) -> str:
    """SHA-256 of a kept text; of what is no bytes any more, nothing that an event could name."""
    if not isinstance(salt, bytes) or not isinstance(body, bytes):
        return "not bytes"
    return sha256(salt + body).hexdigest()
