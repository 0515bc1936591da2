"""What a ledger's place says of a move into it: one that is not finished must not be used."""

from __future__ import annotations

from ledger.errors import StartRefused

MOVE = "move"
"""The key in `meta` that says how a move into this place stands."""
UNDER_WAY = "under way"
DONE = "done"


def require_settled(state: str | None, place: str) -> None:
    """StartRefused while a ledger is only half moved in: whoever appended to it would write a
    history that its source does not have.
    """
    if state == UNDER_WAY:
        raise StartRefused(
            f"{place} holds a ledger that is only half moved in: give the same jobledger move "
            "again to finish it, or move into an empty place."
        )
