"""Runs the demonstration; exits with 0 only if every step happened."""

from __future__ import annotations

import sys

from api.cli.exit_codes import Stop
from api.cli.output.terminal import complain
from api.cli.text import escape_unencodable
from api.demo.story import run_demo
from api.demo.waiting import Broken


def main() -> int:
    """Run the demonstration; 1 and the reason when a step did not happen."""
    escape_unencodable()
    try:
        run_demo()
    except (Broken, Stop) as broken:
        complain(f"The demonstration failed: {broken}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
