"""Reports of workers with secrets, at odd times, or slow to redact."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.dispatch.executors.secrets import Secrets
from tests.api.commands.test_runs import SECOND, Post
from tests.api.harness import serving

KEY = "sk-live-4711-abcdef"


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    with serving(tmp_path) as api:
        api.parts = api.app.state.parts = replace(api.parts, secrets=Secrets(None, {"KEY": KEY}))
        yield Post(api)


@pytest.mark.parametrize(("what", "field"), [("succeed", "output"), ("fail", "error")])
@pytest.mark.parametrize("hidden", [KEY, f"{'x' * 4090}{KEY}"])
def test_a_secret_in_a_report_is_not_stored(post: Post, what: str, field: str, hidden: str) -> None:
    job_id = post.due()

    answer = post.say(post.claim(), what, {field: hidden})

    assert answer.status_code == 200, answer.text
    kept = post.api.ledger.history(job_id)[-1]["data"][field]
    assert KEY[:8] not in kept
    assert KEY not in answer.text


@pytest.mark.parametrize(
    ("what", "body"), [("succeed", {}), ("fail", {"error": "x", "retry_after_seconds": 5})]
)
def test_a_run_that_ends_before_it_started_has_no_duration(
    post: Post, what: str, body: object
) -> None:
    job_id = post.due()
    claimed = post.claim()
    post.api.clock.advance(-30 * SECOND)

    answer = post.say(claimed, what, body)

    assert answer.status_code == 200, answer.text
    assert post.api.ledger.history(job_id)[-1]["data"]["duration_ms"] == 0


def test_redaction_does_not_block_the_server(post: Post) -> None:
    post.due()
    sought_in: list[threading.Thread] = []

    class Watched(Secrets):
        def redact(self, text: str) -> str:
            sought_in.append(threading.current_thread())
            return super().redact(text)

    post.api.app.state.parts = replace(post.api.parts, secrets=Watched(None, {"KEY": KEY}))

    post.say(post.claim(), "succeed", {"output": KEY})

    assert sought_in
    assert threading.main_thread() not in sought_in
