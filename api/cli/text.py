"""Text for people, with control characters written out so that no terminal obeys them."""

from __future__ import annotations

import sys
from io import TextIOWrapper

JOINER = "\u200d"
"""Not printable by itself, and harmless: it joins emoji."""


def escape_unencodable() -> None:
    """Write characters that the terminal's encoding lacks as escapes, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def harmless(text: str) -> str:
    """`text` on one line, with every character that a terminal obeys written out (`\\x1b`)."""
    return "".join(
        character if _is_harmless(character) else _plain(character) for character in text
    )


def shortened(text: str, longest: int) -> str:
    """`text`, cut to so many characters with an ellipsis."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def harmless_lines(text: str) -> str:
    """As `harmless`, but line by line."""
    return "\n".join(harmless(line) for line in text.split("\n"))


def escaped_json(document: str) -> str:
    """A JSON document that means the same and contains no character that a terminal obeys."""
    return "".join(c if c == "\n" or _is_harmless(c) else _unicode_escape(c) for c in document)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character == JOINER


def _plain(character: str) -> str:
    if character.isspace() and character not in "\x0b\x0c\x1c\x1d\x1e\x1f\x85":
        return " "
    return _unicode_escape(character) if ord(character) > 0xFF else f"\\x{ord(character):02x}"


def _unicode_escape(character: str) -> str:
    """As JSON writes it."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
