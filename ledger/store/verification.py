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
    texts = {
        text_id: sha256(salt + body).hexdigest() for text_id, salt, body in book.salted_texts()
    }
    last: list[Row] = []
    position = 0
    try:
        for result in verify(
            _watched(book.rows(), texts, last), start=genesis(book.ledger_id), decode=orjson.loads
        ):
            if isinstance(result, Finding):
                return Verdict(
                    position, last[-1].chain if position else genesis(book.ledger_id), result
                )
            position = result
            if progress is not None and position % EVERY == 0:
                progress(position, total)
    except _BadText as bad:
        return Verdict(
            position, genesis(book.ledger_id), Finding(bad.position, "one of its texts was changed")
        )
    except (LedgerError, sqlite3.DatabaseError, ValueError) as error:
        return Verdict(
            position, genesis(book.ledger_id), Finding(position + 1, f"it cannot be read ({error})")
        )
    if position != total:
        return Verdict(position, last[-1].chain, Finding(position + 1, "it is missing"))
    return Verdict(position, last[-1].chain if last else genesis(book.ledger_id), None)


class _BadText(Exception):
    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def _watched(rows: Iterator[Row], texts: dict[str, str], last: list[Row]) -> Iterator[Row]:
    """The rows, while their texts are looked at and the latest row is remembered."""
    for row in rows:
        if not _texts_fit(row, texts):
            raise _BadText(row.position)
        last[:] = [row]
        yield row


def _texts_fit(row: Row, texts: dict[str, str]) -> bool:
    event_class = TOPICS.get(row.topic)
    if event_class is None:
        return True
    try:
        state: dict[str, Any] = orjson.loads(row.state)
        references = text_references(shape_of(event_class).texts, state)
    except (ValueError, AttributeError):
        return True
    return all(texts.get(text_id, digest) == digest for text_id, digest in references)
