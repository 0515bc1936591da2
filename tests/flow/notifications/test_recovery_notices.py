"""A recovery that aborts by itself is notified once; one that an operator aborted is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.dispatch.executors.secrets import Secrets
from ledger.dispatch.notifications.channels import ChannelAddress, ChannelSettings
from ledger.dispatch.notifications.notifier import Notifier
from ledger.dispatch.notifications.sender import Sender
from tests.support.builders import HOUR
from tests.support.recovery_fleet import RecoveryFleet, a_recovery_fleet
from tests.support.servers.slack import Slack, a_slack


class NotifiedFleet:
    """A simulated fleet whose jobs have tripped, with a notifier since then."""

    def __init__(
        self, fleet: RecoveryFleet, slack: Slack, *, count: int = 3, **settings: Any
    ) -> None:
        schedule = {"kind": "every", "interval_seconds": 10}
        self.ids = fleet.trip(count, schedule=schedule)
        urls = {"ops": slack.json_url, "gone": "json://127.0.0.1:1/"}
        self.settings = ChannelSettings(urls=urls, **{"notices": ChannelAddress("ops"), **settings})
        self.fleet, self.slack = fleet, slack
        self.begin()

    def begin(self) -> None:
        """Start a notifier in place of the one before."""
        self.notifier = Notifier(self.fleet.ledger, Sender(self.settings, Secrets(None, {})))
        self.said()

    def fail(self, **terms: Any) -> dict[str, Any]:
        """Start a recovery while every run fails; how it ended."""
        self.fleet.fails = lambda _: True
        started = self.fleet.start(reason="is it back?", **terms)
        return self.fleet.live_until_ended(started["id"], HOUR)

    def said(self) -> list[str]:
        """The messages about recoveries from here on."""
        before = len(self.slack.said)
        while self.notifier.run_once():
            pass
        bodies = [said["body"] for said in self.slack.said[before:]]
        notified = [f"{body['title']}\n{body['message']}" for body in bodies]
        return [text for text in notified if text.startswith("Recovery")]

    def notices(self) -> list[dict[str, Any]]:
        found = self.fleet.events("notice.sent", "notice.failed")
        return [event for event in found if event["data"]["kind"] == "recovery_aborted"]


@pytest.fixture
def slack() -> Iterator[Slack]:
    with a_slack() as slack:
        yield slack


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[RecoveryFleet]:
    with a_recovery_fleet(tmp_path / "data") as fleet:
        yield fleet


def test_a_recovery_whose_probe_failed_is_notified_with_the_probes_outcome(
    fleet: RecoveryFleet, slack: Slack
) -> None:
    notified = NotifiedFleet(fleet, slack)
    notified.fail(probe=notified.ids[0])

    [said] = notified.said()

    assert said.startswith("Recovery R-1 aborted: its probe did not succeed\n")
    assert "job 000 failed, rate_limited: 429 Too Many Requests" in said
    assert "1 of 3 jobs were resumed, 2 were not and stay failed." in said
    assert "Planned by library, because: is it back?" in said
    assert "jobledger recovery show R-1" in said


def test_a_recovery_aborted_by_re_trips_is_notified_with_the_names_of_the_jobs(
    fleet: RecoveryFleet, slack: Slack
) -> None:
    notified = NotifiedFleet(fleet, slack, count=20)
    first = notified.fail(abort_on=1)["jobs"][0]

    [said] = notified.said()

    assert said.startswith("Recovery R-1 aborted: 1 job tripped again\n")
    assert f"Tripped again: {first['name']}" in said


def test_the_notice_of_a_recovery_is_sent_once_and_names_the_events_that_prove_it(
    fleet: RecoveryFleet, slack: Slack
) -> None:
    notified = NotifiedFleet(fleet, slack)
    for _ in range(2):
        notified.fail(probe=notified.ids[0])

    assert len(notified.said()) == 2
    assert notified.said() == []
    notified.notifier.close()
    notified.begin()

    assert notified.said() == []
    planned, aborted = fleet.events("recovery.planned"), fleet.events("recovery.aborted")
    for notice, first, last in zip(notified.notices(), planned, aborted, strict=True):
        data = notice["data"]
        assert (data["first_position"], data["last_position"]) == (
            first["position"], last["position"],
        )  # fmt: skip
        assert (data["job_id"], data["storm_id"], data["outcome"]) == (None, None, "sent")


def test_the_fallback_is_notified_of_a_recovery_when_the_channel_is_down(
    fleet: RecoveryFleet, slack: Slack
) -> None:
    gone, ops = ChannelAddress("gone"), ChannelAddress("ops")
    notified = NotifiedFleet(fleet, slack, notices=gone, fallback=ops)
    notified.fail(probe=notified.ids[0])

    assert len(notified.said()) == 1
    assert [notice["topic"] for notice in notified.notices()] == ["notice.failed", "notice.sent"]


@pytest.mark.parametrize("is_asked", [True, False], ids=["aborted by an operator", "no channel"])
def test_no_notice_is_sent_of_what_an_operator_aborted_or_without_a_channel(
    fleet: RecoveryFleet, slack: Slack, is_asked: bool
) -> None:
    notified = NotifiedFleet(fleet, slack, notices=ChannelAddress("ops") if is_asked else None)
    if is_asked:
        fleet.start()
        fleet.ledger.abort_recovery("R-1")
    else:
        notified.fail(probe=notified.ids[0])

    assert notified.said() == []
    assert notified.notices() == []
