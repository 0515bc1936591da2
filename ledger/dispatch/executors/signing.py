"""Signs what the ledger sends, as in Standard Webhooks, so that a target knows who asks."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from standardwebhooks import Webhook

from ledger.errors import StartRefused

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix, not a secret
SECRET_BYTES = range(24, 65)
"""What Standard Webhooks asks of a key."""


class Signer:
    """Signs requests with one Standard Webhooks secret. Refuses StartRefused for anything but
    `whsec_` + base64.
    """

    def __init__(self, secret: str) -> None:
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
            raise StartRefused(
                "The signing secret must be whsec_ followed by 24 to 64 bytes in base64."
            )
        self._webhook = Webhook(key)

    def headers(self, message_id: str, *, body: str, now: datetime) -> dict[str, str]:
        """The three headers that sign `body` at `now` (whole seconds)."""
        at = now.astimezone(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhook.sign(msg_id=message_id, timestamp=at, data=body),
        }
