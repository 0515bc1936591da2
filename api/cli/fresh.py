"""Copies for somebody who only reads: the owner's if they suffice, else made anew."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.store.application import Ledger
from projections.copies import COPIES_FILE, Copies


def copies_beside(ledger: Ledger, data: Path, closing: ExitStack) -> Copies:
    """The owner's copies if they have come as far as the book, else fresh ones."""
    file = data / COPIES_FILE
    if file.exists():
        copies = Copies.open(ledger, file, is_read_only=True)
        if copies.position >= ledger.writer.position:
            return copies
        copies.close()
    return fresh_copies(ledger, closing)


def fresh_copies(ledger: Ledger, closing: ExitStack) -> Copies:
    """Copies made now, from the book alone, in a folder that goes when `closing` does."""
    folder = closing.enter_context(TemporaryDirectory(prefix="jobledger-"))
    copies = Copies.open(ledger, Path(folder) / COPIES_FILE)
    closing.callback(copies.close)
    copies.catch_up()
    return copies
