"""What a run said, in bounded memory: the first 4 KiB are kept, the rest is counted and hashed
only.
"""

from __future__ import annotations

import hashlib

HEAD_BYTES = 4 * 1024
"""How much of an output is kept and shown."""

ERROR_BYTES = 2 * 1024
"""How much of what a target said goes into the text of an error."""


class Output:
    """Takes chunks in order. With `limit_bytes`, what lies beyond is neither counted nor hashed,
    and `is_full`.
    """

    def __init__(self, *, limit_bytes: int | None = None) -> None:
        self.count_bytes = 0
        self._limit_bytes = limit_bytes
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
        self._head += chunk[: HEAD_BYTES - len(self._head)]

    @property
    def sha256(self) -> str:
        """The hash of the bytes that were counted, in hex."""
        return self._digest.hexdigest()

    @property
    def text(self) -> str:
        """The head as text, at most 4 KiB of UTF-8."""
        return storable(bytes(self._head), HEAD_BYTES)


class Tail:
    """The last bytes of a stream, for the text of an error."""

    def __init__(self) -> None:
        self._last = b""

    def take(self, chunk: bytes) -> None:
        """Add the next bytes; what is older than the last 2 KiB is dropped."""
        self._last = (self._last + chunk[-ERROR_BYTES:])[-ERROR_BYTES:]

    @property
    def text(self) -> str:
        """The tail as text, without blanks at its ends."""
        return storable(self._last, ERROR_BYTES).strip()


def storable(raw: bytes, limit_bytes: int) -> str:
    """`raw` as text that any JSON store takes: invalid UTF-8 replaced, NULs gone, at most
    `limit_bytes` of UTF-8.
    """
    text = raw.decode("utf-8", errors="replace").replace("\0", "")
    return text.encode()[:limit_bytes].decode("utf-8", errors="ignore")
