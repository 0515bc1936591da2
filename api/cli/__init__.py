"""The command line: `jobledger`."""

from __future__ import annotations

from api.cli.program import build
from api.cli.screen import never_choke


def main() -> None:
    """The entry point of the `jobledger` command."""
    never_choke()
    build()()
