"""Signs requests, as in Standard Webhooks, so that a target can verify the sender, and the tokens
with which workers and targets report on their runs.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer
from standardwebhooks import Webhook

from ledger.domain.event_context import Actor
from ledger.errors import StartRefused

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix, not a secret
SECRET_BYTES = range(24, 65)
"""The length of a key in Standard Webhooks."""


RUN_TOKEN_PREFIX = "jlr_"  # noqa: S105 - the prefix, not a secret
RUN_TOKEN_SALT = "jobledger run token"  # noqa: S105 - what the signature is for


@dataclass(frozen=True, slots=True)
class RunToken:
    """Who may report on which run."""

    run_id: str
    job_id: UUID
    actor: Actor


class Signer:
    """Signs with one Standard Webhooks secret. Refuses StartRefused for anything but
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
        self._run_tokens = URLSafeSerializer(
            key, salt=RUN_TOKEN_SALT, signer_kwargs={"digest_method": sha256}
        )

    def headers(self, message_id: str, *, body: str, now: datetime) -> dict[str, str]:
        """The three headers that sign `body` at `now` (whole seconds)."""
        at = now.astimezone(UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhook.sign(msg_id=message_id, timestamp=at, data=body),
        }

    def run_token(self, token: RunToken) -> str:
        """The token as text. It needs no expiry: an ended run accepts no report."""
        plain = [token.run_id, str(token.job_id), token.actor.id, token.actor.kind]
        return RUN_TOKEN_PREFIX + str(self._run_tokens.dumps(plain))

    def read_run_token(self, text: str) -> RunToken | None:
        """Its owner, or None for anything that was not signed here."""
        if not text.startswith(RUN_TOKEN_PREFIX):
            return None
        try:
            plain = self._run_tokens.loads(text.removeprefix(RUN_TOKEN_PREFIX))
        except BadSignature:
            return None
        run_id, job_id, actor_id, kind = plain
        return RunToken(run_id, UUID(job_id), Actor(actor_id, kind))
