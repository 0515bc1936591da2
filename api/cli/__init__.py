"""The command line: `jobledger`."""

from __future__ import annotations

from api.cli.output.terminal import never_choke
from api.cli.program import build


def main() -> None:
    """The entry point of the `jobledger` command."""
    never_choke()
    build()()
