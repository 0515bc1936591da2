"""How a refusal quotes what somebody wrote: readable, and never long."""

from __future__ import annotations

from typing import Final

LONGEST_QUOTE: Final = 64


def quoted(text: str) -> str:
    """`text` in quotes, cut to 64 characters."""
    return repr(text if len(text) <= LONGEST_QUOTE else f"{text[: LONGEST_QUOTE - 3]}...")
