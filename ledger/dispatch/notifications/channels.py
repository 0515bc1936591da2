"""Where results and notices are sent: named channels, as an operator configured them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

SLACK = "slack"
"""The channel whose targets are `owner`, a channel's id (C…) or a user's (U…), as in Phantom."""
OWNER = "owner"
SLACK_API = "https://slack.com/api"
SLACK_TARGET = re.compile(r"[CGDUW][A-Z0-9]{2,20}")
"""Ids as Slack writes them; a name can be reassigned, an id cannot."""


class NoSuchChannel(Exception):
    """A message cannot be sent there; the text says what to change."""


@dataclass(frozen=True, slots=True)
class ChannelAddress:
    """A channel, and the target in it."""

    channel: str
    target: str | None = None

    def __str__(self) -> str:
        return f"{self.channel} {self.target}" if self.target else self.channel


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """A Slack bot: its token (may be a secret:// reference), the target that `owner` means, and the
    address of its API.
    """

    token: str = field(repr=False)
    owner: str | None = None
    api_url: str = SLACK_API


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """The channels of an installation.

    `urls` are apprise addresses by name; they may name secrets. `notices` is where notices are
    sent, `fallback` where, when a delivery fails.
    """

    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    slack: SlackSettings | None = None
    notices: ChannelAddress | None = None
    fallback: ChannelAddress | None = None

    def slack_target(self, target: str | None) -> str:
        """The id that a target of `slack` means. Raises NoSuchChannel."""
        if self.slack is None:
            raise NoSuchChannel("Slack is not configured: add [slack] to jobledger.toml.")
        wanted = self.slack.owner if target in (None, OWNER) else target
        if wanted is None:
            raise NoSuchChannel(
                "No owner is configured: set owner under [slack] in jobledger.toml."
            )
        if not SLACK_TARGET.fullmatch(wanted):
            raise NoSuchChannel(f"{wanted!r} is not a valid Slack target: use owner, C… or U….")
        return wanted

    def url(self, name: str) -> str:
        """The apprise address of a channel. Raises NoSuchChannel."""
        if name not in self.urls:
            known = ", ".join(sorted([*self.urls, *([SLACK] if self.slack else [])])) or "none"
            raise NoSuchChannel(f"There is no channel {name}: jobledger.toml has {known}.")
        return self.urls[name]
