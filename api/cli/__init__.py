"""The command line `jobledger`: one client of the HTTP API."""

from __future__ import annotations


def main() -> None:
    """The entry point of the `jobledger` command."""
    # Not at the top: the modules of commands import this package and need no program.
    from api.cli.program import build
    from api.cli.text import escape_unencodable

    escape_unencodable()
    build()()
