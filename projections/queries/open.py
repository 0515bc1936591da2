"""The copies that a ledger's questions are answered from, wherever they lie."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.application.ledger import Ledger
from ledger.store.postgres.dsn import Address
from projections.read_models import COPIES_FILE, Copies


def copies_of(ledger: Ledger, closing: ExitStack) -> Copies:
    """The copies of a ledger, whole and followed until `closing` closes them."""
    place = ledger.place
    if isinstance(place, Path) and ledger.is_read_only:
        return copies_beside(ledger, place, closing)
    if isinstance(place, Address):
        copies = Copies.open_shared(ledger, place)
    else:
        copies = Copies.open(ledger, place / COPIES_FILE)
    closing.callback(copies.close)
    copies.catch_up()
    copies.start()
    return copies


def copies_beside(ledger: Ledger, data: Path, closing: ExitStack) -> Copies:
    """For somebody who only reads: the owner's copies if they have come as far as the book, else
    fresh ones.
    """
    file = data / COPIES_FILE
    if file.exists():
        copies = Copies.open(ledger, file, is_read_only=True)
        if copies.position >= ledger.writer.position:
            closing.callback(copies.close)
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
