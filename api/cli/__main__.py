"""`python -m api.cli` is the `jobledger` command, for where it is not installed."""

from __future__ import annotations

from api.cli import main

main()
