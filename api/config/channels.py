"""Parses the tables [channels], [slack] and [notices] of `jobledger.toml` into one object.

[channels]
ops = "mailto://…"            # any apprise URL; secret://name stands for a secret

[slack]
token = "secret://slack"      # the bot's token
owner = "U0123ABCD"           # the user that `owner` stands for

[notices]
channel = "slack"             # receives notices of tripped breakers
target = "owner"
fallback = "ops"              # receives them when that, or a delivery, fails
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ledger.dispatch.notifications.channels import (
    SLACK,
    SLACK_API,
    ChannelAddress,
    ChannelSettings,
    SlackSettings,
)
from ledger.errors import StartRefused

TABLES = ("channels", "slack", "notices")
KEYS = {
    "slack": ("token", "owner", "api_url"),
    "notices": ("channel", "target", "fallback", "fallback_target"),
}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def read_channels(tables: Mapping[str, object], where: str) -> ChannelSettings:
    """The channels that the file `where` configures. Raises StartRefused in one line that shows no
    value, since a value may be a secret.
    """
    given = {name: _table(tables[name], name, where) for name in TABLES if name in tables}
    urls = given.get("channels", {})
    for name in urls:
        if name == SLACK or not _NAME.fullmatch(name):
            raise StartRefused(f"[channels] in {where}: {name!r} is not a valid channel name.")
    settings = ChannelSettings(
        urls=urls,
        slack=_slack(given["slack"], where) if "slack" in given else None,
        notices=_address(given.get("notices", {}), "channel", "target"),
        fallback=_address(given.get("notices", {}), "fallback", "fallback_target"),
    )
    for address in (settings.notices, settings.fallback):
        _require_known(address, settings, where)
    return settings


def _table(value: object, name: str, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise StartRefused(f"[{name}] in {where} must be a table.")
    for key, text in value.items():
        if name in KEYS and key not in KEYS[name]:
            raise StartRefused(
                f"[{name}] in {where}: unknown key {key!r}; known are {', '.join(KEYS[name])}."
            )
        if not isinstance(text, str) or not text.strip():
            raise StartRefused(f"[{name}] {key} in {where} must be a text that is not empty.")
    return {str(key): str(text).strip() for key, text in value.items()}


def _slack(table: Mapping[str, str], where: str) -> SlackSettings:
    if "token" not in table:
        raise StartRefused(f"[slack] in {where} needs a bot's token (may be secret://name).")
    api_url = table.get("api_url", SLACK_API)
    if urlsplit(api_url).scheme not in ("http", "https"):
        raise StartRefused(f"[slack] api_url in {where} must be an http or https URL.")
    return SlackSettings(table["token"], table.get("owner"), api_url)


def _address(table: Mapping[str, str], channel: str, target: str) -> ChannelAddress | None:
    return ChannelAddress(table[channel], table.get(target)) if channel in table else None


def _require_known(address: ChannelAddress | None, settings: ChannelSettings, where: str) -> None:
    """Refuse a channel that does not exist at the start, not at the first notice."""
    if address is None or address.channel in settings.urls:
        return
    if address.channel != SLACK or settings.slack is None:
        raise StartRefused(f"[notices] in {where}: there is no channel {address.channel!r}.")
