"""Which token a command sends, and to which server."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from api.cli.exit_codes import Exit, Stop
from api.settings import Settings

ADMIN_FILE = "admin.token"


def stored_token(settings: Settings) -> str | None:
    """The admin's token in the data folder, if this user may read it."""
    try:
        return (settings.data / ADMIN_FILE).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeError):
        return None


def token_for(settings: Settings, url: str) -> str:
    """JOBLEDGER_TOKEN, else, for a server on this machine, the data folder's own.

    The admin's token never leaves the machine because JOBLEDGER_URL was set. Raises Stop.
    """
    token = settings.token or (stored_token(settings) if _is_this_machine(url) else None)
    if token is None:
        raise Stop(
            Exit.FORBIDDEN,
            f"No token for {url}: set JOBLEDGER_TOKEN, or ask an admin for one (jobledger token "
            "create).",
        )
    return token


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
