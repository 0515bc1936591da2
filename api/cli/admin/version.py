"""version: which version is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from api.cli.options import AsJson
from api.cli.output.render import write_json
from api.cli.output.terminal import say


def version(as_json: AsJson = False) -> None:
    """Print the version."""
    try:
        number = installed_version("jobledger")
    except PackageNotFoundError:  # run from the source tree, not installed
        number = "0"
    if as_json:
        write_json({"version": number})
    else:
        say(f"jobledger {number}")
