"""The bytes of a crontab as numbered lines, each with the reason if it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE_BYTES = 64 * 1024
"""Far more than the 1,000 characters of old crons; a job may have fewer."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line without leading blanks."""

    number: int
    text: str
    problem: str | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it is blank or a comment, whatever bytes it contains."""
        return not self.text.strip() or self.text.startswith("#")


def lines_of(content: bytes) -> Iterator[Line]:
    """Every line. Only a line feed ends one; a carriage return before it is dropped."""
    rows = content.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    for number, row in enumerate(rows, start=1):
        yield _line(number, row.removesuffix(b"\r").lstrip(b" \t"))


def _line(number: int, row: bytes) -> Line:
    text = row[:LONGEST_LINE_BYTES].decode(errors="backslashreplace")
    if len(row) > LONGEST_LINE_BYTES:
        return Line(number, text, f"it is longer than {LONGEST_LINE_BYTES} bytes")
    if b"\0" in row:
        return Line(number, text, "it contains a NUL character")
    try:
        row.decode()
    except UnicodeDecodeError:
        return Line(number, text, "it is not UTF-8 text")
    return Line(number, text)
