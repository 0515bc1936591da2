"""The two secrets in the data folder: the first admin token and the webhook key."""

from __future__ import annotations

import os
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

from ledger.application.tokens import new_secret
from ledger.chance import new_id, random_bytes
from ledger.dispatch.executors.signing import SECRET_PREFIX
from ledger.errors import StartRefused
from ledger.store.sqlite.folder import PRIVATE, Folder

ADMIN_FILE = "admin.token"
WEBHOOK_FILE = "webhook.secret"
WEBHOOK_BYTES = 32


def admin_secret(folder: Folder, chosen: str | None) -> str:
    """The secret of the admin token at the first start: chosen by the operator, left by an
    interrupted first start, or new. It is in `admin.token` before the ledger knows it.
    """
    file = folder.path / ADMIN_FILE
    secret = chosen or _read(folder, file) or new_secret()
    _write(file, secret)
    return secret


def webhook_secret(folder: Folder) -> str:
    """The key that signs the ledger's HTTP requests (Standard Webhooks); made if missing."""
    file = folder.path / WEBHOOK_FILE
    found = _read(folder, file)
    if found is None:
        made = SECRET_PREFIX + b64encode(random_bytes(WEBHOOK_BYTES)).decode()
        _write(file, made, may_replace=False)
        found = _read(folder, file)
    return found or ""


def _read(folder: Folder, file: Path) -> str | None:
    folder.require_private(file)
    try:
        return file.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise StartRefused(f"{file} cannot be read: {error}.") from None


def _write(file: Path, secret: str, *, may_replace: bool = True) -> None:
    """Write the file atomically, never readable by others. With `may_replace` false, the first of
    several nodes wins.
    """
    draft = file.with_name(f"{file.name}.{new_id().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w") as out:
            out.write(f"{secret}\n")
            out.flush()
            os.fsync(out.fileno())
        if may_replace:
            draft.replace(file)
        else:
            with suppress(FileExistsError):
                file.hardlink_to(draft)
            draft.unlink()
    except OSError as error:
        raise StartRefused(f"{file} cannot be written: {error.strerror}.") from None
