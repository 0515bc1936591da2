"""Delivery: results and notices are sent for committed events, and their outcomes are recorded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from ledger import Ledger
from ledger.application.commands import runs as run_commands
from ledger.dispatch.executors.secrets import Secrets
from ledger.dispatch.notifications.channels import ChannelAddress, ChannelSettings, SlackSettings
from ledger.dispatch.notifications.notifier import READER, Notifier
from ledger.dispatch.notifications.sender import Sender
from ledger.domain.job import outcomes
from ledger.errors import StorageFull
from ledger.store.audit_query import AuditQuery
from tests.simulation import invariants as laws
from tests.support.builders import MINUTE, ManualClock, a_spec, open_ledger
from tests.support.runs import run_when_due
from tests.support.servers.slack import Slack, a_slack

TOKEN = "-".join(("xoxb", "1234567890", "1234567890", "abcDEFghiJKLmnoPQRstuVWX"))
NOWHERE = "http://127.0.0.1:9/api"
SEEDS = itertools.count(1)
TO_OWNER = {"channel": "slack", "target": "owner"}
OWNER = ChannelAddress("slack", "owner")
DONE = outcomes.Success("all is well", 11, "0" * 64, 5)
FAILURE = outcomes.Failure("Error: 429 quota", "rate_limited", None, None, 5)


class NotifiedLedger:
    """A ledger, its notifier, and the Slack it sends to."""

    def __init__(self, folder: Path, slack: Slack) -> None:
        self.slack = slack
        self.clock = ManualClock()
        self.folder = folder
        self.settings = ChannelSettings(
            urls={"ops": slack.json_url},
            slack=SlackSettings("secret://slack", "U0OWNER", slack.api_url),
            notices=OWNER,
            fallback=ChannelAddress("ops"),
        )
        self.open()

    def open(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)
        self.ledger: Ledger = open_ledger(self.folder, self.clock, seed=next(SEEDS))
        sender = Sender(self.settings, Secrets(None, {"SLACK": TOKEN}))
        self.notifier = Notifier(self.ledger, sender)
        self.notifier.run_once()

    def reopen(self, **changes: Any) -> None:
        self.ledger.close()
        self.open(**changes)

    def schedule(self, name: str = "digest", **fields: Any) -> UUID:
        return self.ledger.schedule(a_spec(name=name, **fields)).job_id

    def run(self, job_id: UUID, outcome: run_commands.Outcome = DONE) -> None:
        run_when_due(self.ledger, job_id, outcome)

    def deliver_result(self, delivery: dict[str, Any] | None = None) -> UUID:
        """A job has run, and its result is delivered, by default to the owner."""
        job_id = self.schedule(delivery=delivery or TO_OWNER)
        self.run(job_id)
        self.deliver()
        return job_id

    def deliver(self) -> None:
        while self.notifier.run_once():
            pass

    def events(self, *topics: str) -> list[dict[str, Any]]:
        return list(self.ledger.queries.export(AuditQuery(topics=topics)))


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[NotifiedLedger]:
    with a_slack() as slack:
        notified = NotifiedLedger(tmp_path, slack)
        yield notified
        laws.check_event_store(notified.ledger)
        for history in laws.histories(notified.ledger).values():
            laws.check_history(history)
        notified.ledger.close()


# -- results ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "id_of_slack"),
    [("owner", "U0OWNER"), (None, "U0OWNER"), ("C012ABC", "C012ABC"), ("U9XYZ", "U9XYZ")],
)
def test_a_result_goes_to_the_target_of_the_job(
    notified: NotifiedLedger, target: str | None, id_of_slack: str
) -> None:
    job_id = notified.deliver_result({"channel": "slack", "target": target})

    [said] = notified.slack.said
    assert said["path"] == "/api/chat.postMessage"
    assert said["authorization"] == f"Bearer {TOKEN}"
    assert said["body"]["channel"] == id_of_slack
    assert "all is well" in str(said["body"])
    delivery = notified.ledger.job(job_id)["last_delivery"]
    assert (delivery["status"], delivery["outcome"]) == ("delivered", "sent")
    assert delivery["run_id"] == notified.ledger.job(job_id)["last_run"]["run_id"]


def test_a_result_goes_to_a_named_channel_of_apprise(notified: NotifiedLedger) -> None:
    notified.deliver_result({"channel": "ops"})

    [said] = notified.slack.said
    assert (said["body"]["title"], said["body"]["message"]) == ("digest", "all is well")


def test_nothing_is_sent_for_jobs_without_delivery_nor_for_empty_results(
    notified: NotifiedLedger,
) -> None:
    notified.run(notified.schedule("quiet"))
    notified.run(notified.schedule("empty", delivery=TO_OWNER), replace(DONE, output=""))

    notified.deliver()

    assert notified.slack.said == []
    assert notified.events("job.delivered", "job.delivery_failed") == []


def test_the_result_of_a_deleted_one_shot_is_delivered_too(notified: NotifiedLedger) -> None:
    at = (notified.clock.now() + MINUTE).isoformat()
    job_id = notified.schedule(
        schedule={"kind": "at", "at": at}, delete_after_run=True, delivery=TO_OWNER
    )
    notified.run(job_id)

    notified.deliver()

    assert len(notified.slack.said) == 1
    assert notified.ledger.history(job_id)[-1]["topic"] == "job.delivered"


def test_a_later_edit_does_not_redirect_an_earlier_result(notified: NotifiedLedger) -> None:
    job_id = notified.schedule(delivery={"channel": "slack", "target": "C0FIRST"})
    notified.run(job_id)
    notified.ledger.amend(job_id, {"delivery": {"channel": "slack", "target": "C0SECOND"}})

    notified.deliver()

    assert notified.slack.said[0]["body"]["channel"] == "C0FIRST"


def test_of_a_long_result_the_beginning_is_sent(notified: NotifiedLedger) -> None:
    notified.run(notified.schedule(delivery=TO_OWNER), replace(DONE, output="x" * 4096))

    notified.deliver()

    assert 3000 < len(str(notified.slack.said[0]["body"])) < 4000


# -- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delivery", "words"),
    [
        ({"channel": "pager"}, "There is no channel pager: jobledger.toml has ops, slack."),
        ({"channel": "slack", "target": "general"}, "'general' is not a valid Slack target"),
        ({"channel": "slack", "target": "#general"}, "not a valid Slack target"),
    ],
)
def test_an_unknown_channel_is_a_failed_delivery_with_an_explanation(
    notified: NotifiedLedger, delivery: dict[str, str], words: str
) -> None:
    job_id = notified.deliver_result(delivery)

    shown = notified.ledger.job(job_id)
    assert shown["last_delivery"]["status"] == "failed"
    assert words in shown["last_delivery"]["outcome"]
    assert shown["last_run"]["status"] == "succeeded"


def test_a_refusal_of_slack_is_visible_on_the_job_and_the_fallback_is_notified(
    notified: NotifiedLedger,
) -> None:
    notified.slack.answer = 200, {"ok": False, "error": "channel_not_found"}

    job_id = notified.deliver_result({"channel": "slack", "target": "C0GONE"})

    last = notified.ledger.job(job_id)["last_delivery"]
    assert (last["status"], last["target"]) == ("failed", "C0GONE")
    assert "channel_not_found" in last["outcome"]
    assert notified.slack.said[-1]["path"] == "/hook"
    assert notified.slack.said[-1]["body"]["title"] == "digest: not delivered to slack C0GONE"
    [notice] = notified.events("notice.sent")
    assert notice["data"]["kind"] == "delivery_failed"
    assert (notice["job_id"], notice["data"]["channel"]) == (str(job_id), "ops")


@pytest.mark.parametrize("answer", [(500, {}), (429, {}), (200, {}), (404, {"ok": True})])
def test_any_unexpected_answer_of_slack_is_an_outcome(
    notified: NotifiedLedger, answer: Any
) -> None:
    notified.slack.answer = answer

    job_id = notified.deliver_result()

    assert notified.ledger.job(job_id)["last_delivery"]["status"] == "failed"


@pytest.mark.parametrize(
    ("slack", "words"),
    [
        (SlackSettings("secret://slack", "U0OWNER", NOWHERE), "Connection error"),
        (SlackSettings("secret://nowhere", "U0OWNER", NOWHERE), "secrets/nowhere"),
    ],
    ids=["an unreachable channel", "a missing token"],
)
def test_what_cannot_be_sent_is_an_outcome_that_names_a_missing_secret(
    notified: NotifiedLedger, slack: SlackSettings, words: str
) -> None:
    notified.reopen(slack=slack)

    delivery = notified.ledger.job(notified.deliver_result())["last_delivery"]

    assert delivery["status"] == "failed"
    assert words in delivery["outcome"]


def test_no_outcome_contains_the_token(notified: NotifiedLedger) -> None:
    notified.slack.answer = 200, {"ok": False, "error": f"bad token {TOKEN}"}

    notified.deliver_result()

    assert TOKEN not in str(notified.events())


# -- trips --------------------------------------------------------------------------------------


def fail_three_times(notified: NotifiedLedger, job_id: UUID) -> UUID:
    for _ in range(3):
        notified.run(job_id, FAILURE)
    return job_id


def tripped(notified: NotifiedLedger, **policy: Any) -> UUID:
    return fail_three_times(notified, notified.schedule(policy={"trip_after": 3, **policy}))


def test_the_owner_is_notified_of_a_trip_once_with_its_events_as_proof(
    notified: NotifiedLedger,
) -> None:
    job_id = tripped(notified)

    notified.deliver()
    notified.deliver()

    [said] = notified.slack.said
    text = str(said["body"])
    assert said["body"]["channel"] == "U0OWNER"
    assert "digest failed: 3 errors in a row (rate_limited)" in text
    assert "Error: 429 quota" in text
    first, trip = notified.events("job.run_failed")[0], notified.events("job.circuit_tripped")[0]
    assert f"events {first['position']} to {trip['position']}" in text
    [notice] = notified.events("notice.sent")
    assert notice["data"]["kind"] == "trip"
    assert notice["data"]["job_id"] == str(job_id)
    assert notice["data"]["first_position"] == first["position"]
    assert notice["data"]["last_position"] == trip["position"]


def test_the_trip_of_a_one_shot_is_notified_too(notified: NotifiedLedger) -> None:
    at = (notified.clock.now() + MINUTE).isoformat()
    fail_three_times(notified, notified.schedule(schedule={"kind": "at", "at": at}))

    notified.deliver()

    assert "3 errors in a row" in str(notified.slack.said[0]["body"])


def test_a_failed_probe_is_not_notified_again(notified: NotifiedLedger) -> None:
    job_id = tripped(notified, probe_after_seconds=60)
    notified.run(job_id, FAILURE)

    notified.deliver()

    assert len(notified.events("job.circuit_tripped")) == 2
    assert len(notified.slack.said) == 1


def test_the_next_trip_after_a_resume_is_notified_again(notified: NotifiedLedger) -> None:
    job_id = tripped(notified)
    notified.ledger.resume(job_id, force=True, reason="again")
    fail_three_times(notified, job_id)

    notified.deliver()

    assert len(notified.slack.said) == 2


def test_an_owner_that_is_unset_falls_back_and_both_are_recorded(notified: NotifiedLedger) -> None:
    notified.reopen(slack=SlackSettings("secret://slack", None, notified.slack.api_url))
    tripped(notified)

    notified.deliver()

    [failed], [sent] = notified.events("notice.failed"), notified.events("notice.sent")
    assert "No owner is configured" in failed["data"]["outcome"]
    assert sent["data"]["channel"] == "ops"
    assert "digest failed" in notified.slack.said[0]["body"]["title"]


def test_without_a_channel_for_notices_nothing_is_sent_or_recorded(
    notified: NotifiedLedger,
) -> None:
    notified.reopen(notices=None)
    tripped(notified)

    notified.deliver()

    assert notified.slack.said == []
    assert notified.events("notice.sent", "notice.failed") == []


# -- once ---------------------------------------------------------------------------------------


def test_restarts_neither_repeat_nor_lose_a_notification(notified: NotifiedLedger) -> None:
    job_id = notified.schedule(delivery=TO_OWNER)
    for number in range(30):
        notified.run(job_id, replace(DONE, output=f"result {number}"))
        if number % 7 == 0:
            notified.deliver()
        if number % 5 == 0:
            notified.reopen()
    notified.deliver()

    texts = [str(said["body"]) for said in notified.slack.said]
    assert all(f"result {number}" in texts[number] for number in range(30))
    assert len(texts) == len(notified.events("job.delivered")) == 30


def test_a_message_sent_while_recording_fails_is_recorded_later_and_sent_once(
    notified: NotifiedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = notified.schedule(delivery=TO_OWNER)
    notified.run(job_id)
    with monkeypatch.context() as disk:
        disk.setattr(notified.ledger.event_store, "append", full)
        for _ in range(3):
            with pytest.raises(StorageFull):
                notified.notifier.run_once()

    notified.deliver()

    assert len(notified.slack.said) == 1
    assert len(notified.events("job.delivered")) == 1


def full(*_: object, **__: object) -> None:
    raise StorageFull


def test_a_first_notifier_ignores_earlier_events(notified: NotifiedLedger, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    with open_ledger(folder, notified.clock) as ledger:
        job_id = ledger.schedule(a_spec(delivery=TO_OWNER)).job_id
        run_when_due(ledger, job_id, DONE)
        notifier = Notifier(ledger, Sender(notified.settings, Secrets(None, {"SLACK": TOKEN})))

        assert notifier.run_once() == 0
        assert ledger.event_store.checkpoint(READER) == ledger.writer.position


def test_the_thread_notifies_of_events_committed_while_it_runs(notified: NotifiedLedger) -> None:
    notified.notifier.start()
    job_id = notified.schedule(delivery=TO_OWNER)
    notified.run(job_id)
    notified.clock.advance(timedelta(hours=1))
    has_grown = Event()
    notified.ledger.writer.listeners.append(lambda _: has_grown.set())

    while notified.ledger.job(job_id)["last_delivery"] is None:
        has_grown.wait(1)
        has_grown.clear()
    notified.notifier.close()

    assert notified.ledger.job(job_id)["last_delivery"]["status"] == "delivered"
    assert notified.ledger.event_store.checkpoint(READER) is not None
