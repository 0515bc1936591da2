"""The output of a run, in bounded memory: the first 4 KiB are stored, the rest is counted and
hashed only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ledger.dispatch.executors.secrets import MARGIN
from ledger.domain.job.outcomes import Success

HEAD_BYTES = 4 * 1024
"""How much of an output is stored and shown."""

ERROR_BYTES = 2 * 1024
"""How much of a target's answer goes into the text of an error."""


Redact = Callable[[str], str]
"""Removes secrets from a text."""


class Output:
    """Takes chunks in order. With `limit_bytes`, what lies beyond is neither counted nor hashed,
    and `is_full`. With `redact`, secrets are removed from the head, also those that its end cuts.
    """

    def __init__(
        self,
        *,
        limit_bytes: int | None = None,
        head_bytes: int = HEAD_BYTES,
        redact: Redact | None = None,
    ) -> None:
        self.count_bytes = 0
        self._limit_bytes = limit_bytes
        self._head_bytes = head_bytes
        self._redact = redact
        self._kept_bytes = head_bytes + (MARGIN if redact else 0)
        self._head = bytearray()
        self._digest = hashlib.sha256()

    @property
    def is_full(self) -> bool:
        return self._limit_bytes is not None and self.count_bytes >= self._limit_bytes

    def take(self, chunk: bytes) -> None:
        """Add the next bytes, or as many of them as fit."""
        if self._limit_bytes is not None:
            chunk = chunk[: self._limit_bytes - self.count_bytes]
        self.count_bytes += len(chunk)
        self._digest.update(chunk)
        self._head += chunk[: self._kept_bytes - len(self._head)]

    def success(self, duration_ms: int) -> Success:
        """A run that succeeded with this output."""
        return Success(self.text, self.count_bytes, self.sha256, duration_ms)

    @property
    def sha256(self) -> str:
        """The hash of the bytes that were counted, in hex. If the head contained a secret it is the
        hash of what is shown: the secret could be guessed from the other one.
        """
        if self._redact is not None:
            text = decoded(bytes(self._head))
            if self._redact(text) != text:
                return hashlib.sha256(self.text.encode()).hexdigest()
        return self._digest.hexdigest()

    @property
    def text(self) -> str:
        """The head as text, at most `head_bytes` (4 KiB by default) of UTF-8."""
        if self._redact is None:
            return storable(bytes(self._head), self._head_bytes)
        text = self._redact(decoded(bytes(self._head)))
        is_cut = self.is_full or self.count_bytes > self._kept_bytes
        raw = text.encode()
        whole = raw[:-MARGIN] if is_cut else raw
        return whole[: self._head_bytes].decode(errors="ignore")


class OutputTail:
    """The last bytes of a stream, for the text of an error. With `redact`, secrets are removed,
    also those that its beginning cuts.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        self._last = b""
        self._is_cut = False
        self._redact = redact
        self._kept_bytes = ERROR_BYTES + (MARGIN if redact else 0)

    def take(self, chunk: bytes) -> None:
        """Add the next bytes; what is older than the last 2 KiB is dropped."""
        whole = self._last + chunk[-self._kept_bytes :]
        self._is_cut = self._is_cut or len(self._last) + len(chunk) > self._kept_bytes
        self._last = whole[-self._kept_bytes :]

    @property
    def text(self) -> str:
        """The tail as text, without blanks at its ends."""
        if self._redact is None:
            return storable(self._last, ERROR_BYTES).strip()
        text = self._redact(decoded(self._last))
        raw = text.encode()
        whole = raw[MARGIN:] if self._is_cut else raw
        return whole[-ERROR_BYTES:].decode(errors="ignore").strip()


def storable(raw: bytes, limit_bytes: int) -> str:
    """`raw` as text that any JSON store accepts: invalid UTF-8 replaced, NULs removed, at most
    `limit_bytes` of UTF-8.
    """
    return cut(decoded(raw), limit_bytes)


def decoded(raw: bytes) -> str:
    """`raw` as text that any JSON store accepts."""
    return raw.decode("utf-8", errors="replace").replace("\0", "")


def cut(text: str, limit_bytes: int) -> str:
    """At most `limit_bytes` of UTF-8 of a text."""
    return text.encode(errors="replace")[:limit_bytes].decode("utf-8", errors="ignore")
