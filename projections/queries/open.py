"""The copies that a ledger's questions are answered from, wherever they lie."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.application.ledger import Ledger
from ledger.store.postgres.dsn import PostgresDsn
from projections.read_models import READ_MODELS_FILE, ReadModels


def read_models_of(ledger: Ledger, closing: ExitStack) -> ReadModels:
    """The copies of a ledger, whole and followed until `closing` closes them."""
    place = ledger.place
    if isinstance(place, Path) and ledger.is_read_only:
        return read_models_beside(ledger, place, closing)
    if isinstance(place, PostgresDsn):
        read_models = ReadModels.open_shared(ledger, place)
    else:
        read_models = ReadModels.open(ledger, place / READ_MODELS_FILE)
    closing.callback(read_models.close)
    read_models.catch_up()
    read_models.start()
    return read_models


def read_models_beside(ledger: Ledger, data: Path, closing: ExitStack) -> ReadModels:
    """For somebody who only reads: the owner's copies if they have come as far as the book, else
    fresh ones.
    """
    file = data / READ_MODELS_FILE
    if file.exists():
        read_models = ReadModels.open(ledger, file, is_read_only=True)
        if read_models.position >= ledger.writer.position:
            closing.callback(read_models.close)
            return read_models
        read_models.close()
    return fresh_read_models(ledger, closing)


def fresh_read_models(ledger: Ledger, closing: ExitStack) -> ReadModels:
    """Copies made now, from the book alone, in a folder that goes when `closing` does."""
    folder = closing.enter_context(TemporaryDirectory(prefix="jobledger-"))
    read_models = ReadModels.open(ledger, Path(folder) / READ_MODELS_FILE)
    closing.callback(read_models.close)
    read_models.catch_up()
    return read_models
