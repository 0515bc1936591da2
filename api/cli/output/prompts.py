"""Questions to a person, before what should not happen by mistake."""

from __future__ import annotations

import sys

from api.cli.exit_codes import Exit, Stop
from api.cli.output.terminal import complain


def require_yes(question: str) -> None:
    """Stop unless a person says yes. What is asked goes to stderr, so that stdout stays clean."""
    complain(f"{question} [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop(Exit.REFUSED, "Nothing was changed.")


def is_typed() -> bool:
    """Whether a person sits at the other end."""
    return sys.stdin.isatty()
