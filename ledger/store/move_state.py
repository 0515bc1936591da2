"""Whether a move into a ledger's location is complete: an incomplete one must not be used."""

from __future__ import annotations

from ledger.errors import StartRefused

MOVE = "move"
"""The key in `meta` for the state of a move into this location."""
UNDER_WAY = "under way"
DONE = "done"


def require_complete_move(state: str | None, location: str) -> None:
    """Raise StartRefused while a move into this ledger is incomplete: events appended now would be
    missing in its source.
    """
    if state == UNDER_WAY:
        raise StartRefused(
            f"{location} contains an incomplete move of a ledger: run the same "
            "jobledger move again to finish it, or move into an empty location."
        )
