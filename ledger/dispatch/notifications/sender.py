"""Sends messages through apprise, and returns a one-line outcome for each."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apprise import Apprise, AppriseAsset, NotifyFormat
from apprise.logger import LogCapture
from apprise.plugins.slack import NotifySlack

from ledger.dispatch.executors.secrets import MissingSecret, Secrets
from ledger.dispatch.notifications.channels import (
    SLACK,
    ChannelAddress,
    ChannelSettings,
    NoSuchChannel,
)
from ledger.domain.streams.notices import NoticeOutcome

slack_plugin: Any = NotifySlack
log_capture: Any = LogCapture
"""apprise has no types for these two."""

ASSET = AppriseAsset(
    app_id="jobledger", app_desc="jobledger", app_url="", async_mode=False, image_url_mask=""
)
"""The sender in messages; no image is fetched from anywhere."""
PLAIN: dict[str, Any] = {"include_image": False, "include_footer": False, "asset": ASSET}

LONGEST_OUTCOME = 300
"""Characters of an outcome."""
LONGEST_BODY = 3_500
"""Characters of a message; Slack splits at 4,000."""
SENT = "sent"
LOG_LINE = "%(levelname)s %(message)s"
LOG_START = re.compile(r"^(?=(?:TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL) )", re.MULTILINE)
EXPLANATORY = ("WARNING ", "ERROR ", "CRITICAL ", "DEBUG Response Details")
"""What in apprise's log explains why a message was not accepted."""


@dataclass(frozen=True, slots=True)
class Message:
    """The content of a message."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Whether a message was accepted, and the channel's answer in one line."""

    is_sent: bool
    outcome: str


class Sender:
    """Sends one message at a time; from any thread."""

    def __init__(self, settings: ChannelSettings, secrets: Secrets) -> None:
        self.settings = settings
        self._secrets = secrets
        self._one_at_a_time = threading.Lock()

    def send(self, address: ChannelAddress, message: Message) -> Receipt:
        """Send, and wait for the answer: a few seconds at most, as apprise limits it."""
        try:
            channel = self._channel(address)
        except (NoSuchChannel, MissingSecret) as problem:
            return Receipt(False, str(problem)[:LONGEST_OUTCOME])
        with self._one_at_a_time, log_capture(level=logging.DEBUG, fmt=LOG_LINE) as log_text:
            is_sent = _notify(channel, message)
            logged = log_text.getvalue()
        return Receipt(is_sent, SENT if is_sent else self._explained(logged))

    def notify(self, message: Message) -> Iterator[tuple[ChannelAddress, Receipt]]:
        """Notify the configured notice channel, and the fallback where that fails; nothing is sent
        where neither is configured.
        """
        address, fallback = self.settings.notices, self.settings.fallback
        if address is None:
            return
        receipt = self.send(address, message)
        yield address, receipt
        if not receipt.is_sent and fallback is not None and fallback != address:
            yield fallback, self.send(fallback, message)

    def _channel(self, address: ChannelAddress) -> Any:  # apprise has no types here
        if address.channel == SLACK:
            return self._slack(address.target)
        channel = Apprise(asset=ASSET)
        if not channel.add(self._secrets.fill(self.settings.url(address.channel))):
            raise NoSuchChannel(
                f"The address of channel {address.channel} is not a valid apprise URL."
            )
        return channel

    def _slack(self, target: str | None) -> Any:
        wanted = self.settings.slack_target(target)
        slack = self.settings.slack
        if slack is None:
            raise NoSuchChannel("Slack is not configured.")
        try:
            token = self._secrets.fill(slack.token)
            plugin = slack_plugin(access_token=token, targets=[f"+{wanted}"], **PLAIN)
        except TypeError:
            raise NoSuchChannel("The token of [slack] is not a valid Slack bot token.") from None
        plugin.api_url = f"{slack.api_url.rstrip('/')}/{{}}"
        return plugin

    def _explained(self, logged: str) -> str:
        """apprise's complaint, and the channel's answer."""
        lines = LOG_START.split(logged)
        telling = (line for line in lines if line.startswith(EXPLANATORY))
        explained = " ".join(" ".join(line.split()[1:]) for line in telling)
        return self._secrets.redact(explained or "the channel did not accept it")[:LONGEST_OUTCOME]


def notice_of(kind: str, address: ChannelAddress, receipt: Receipt, **about: Any) -> NoticeOutcome:
    """What is recorded of a notice that was sent to an address; `about` has the job or storm, and
    the positions of the first and the last event (see `NoticeOutcome`).
    """
    return NoticeOutcome(
        kind=kind,
        channel=address.channel,
        target=address.target,
        is_sent=receipt.is_sent,
        outcome=receipt.outcome,
        **about,
    )


def _notify(channel: Any, message: Message) -> bool:
    """Whether the channel accepted it. A plugin of apprise that raises has not."""
    body = message.body[:LONGEST_BODY]
    try:
        return bool(channel.notify(title=message.title, body=body, body_format=NotifyFormat.TEXT))
    except Exception as error:  # noqa: BLE001  apprise has a hundred plugins of many authors
        logging.getLogger("apprise").warning("%s: %s", type(error).__name__, error)
        return False
