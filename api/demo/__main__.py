"""Tells the story; ends with 0 only if all of it really happened."""

from __future__ import annotations

import sys

from api.cli.exit_codes import Stop
from api.cli.output.terminal import complain
from api.cli.text import escape_unencodable
from api.demo.story import tell
from api.demo.waiting import Broken


def main() -> int:
    """Tell the story; 1 and the reason when a step did not happen."""
    escape_unencodable()
    try:
        tell()
    except (Broken, Stop) as broken:
        complain(f"The demonstration broke off: {broken}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
