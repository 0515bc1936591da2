"""Requests are signed as Standard Webhooks says: its published vector, its own verifier."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from ledger.clock import SystemClock
from ledger.dispatch.executors.signing import Signer
from ledger.errors import StartRefused

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_published_vector_is_signed_as_published() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)

    headers = Signer(SECRET).headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", body='{"test": 2432232314}', now=at
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_offset_does_not_change_the_instant_that_is_signed() -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=9)))

    signer = Signer(SECRET)

    assert signer.headers("m", body="{}", now=at) == signer.headers("m", body="{}", now=elsewhere)


def test_the_library_verifies_what_we_sign_and_nothing_else() -> None:
    body = json.dumps({"task": "héllo"})

    headers = Signer(SECRET).headers("run-1", body=body, now=SystemClock().now())

    assert Webhook(SECRET).verify(body, headers) == {"task": "héllo"}
    for forged in (headers | {"webhook-id": "run-2"}, headers | {"webhook-timestamp": "1"}):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body, forged)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + " ", headers)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_"), SECRET + "!", "whsec_ü"]
    + [SECRET * 5],
)
def test_a_weak_or_garbled_secret_stops_the_start_and_is_not_shown(secret: str) -> None:
    with pytest.raises(StartRefused) as refusal:
        Signer(secret)

    assert not secret or secret not in refusal.value.message.replace("whsec_ followed", "")
