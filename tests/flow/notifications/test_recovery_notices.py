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
from ledger.domain.recovery.plan import Terms
from ledger.domain.recovery.selection import Selector
from tests.support.builders import HOUR
from tests.support.recovering import World, a_world
from tests.support.slack import Slack, a_slack

LIMITED = Selector(failure_class="rate_limited")
SOON = {"kind": "every", "interval_seconds": 10}


class Told:
    """A simulated fleet with a notifier that starts once its jobs have tripped."""

    def __init__(self, world: World, slack: Slack, **settings: Any) -> None:
        urls = {"ops": slack.json_url, "gone": "json://127.0.0.1:1/"}
        self.settings = ChannelSettings(urls=urls, **{"notices": ChannelAddress("ops"), **settings})
        self.world, self.slack = world, slack
        self.begin()

    def begin(self) -> None:
        """Start a notifier in place of the one before."""
        self.notifier = Notifier(self.world.ledger, Sender(self.settings, Secrets(None, {})))
        self.said()

    def said(self) -> list[str]:
        """The messages about recoveries from here on."""
        before = len(self.slack.said)
        while self.notifier.run_once():
            pass
        bodies = [said["body"] for said in self.slack.said[before:]]
        told = [f"{body['title']}\n{body['message']}" for body in bodies]
        return [text for text in told if text.startswith("Recovery")]

    def notices(self) -> list[dict[str, Any]]:
        found = self.world.events("notice.sent", "notice.failed")
        return [event for event in found if event["data"]["kind"] == "recovery_aborted"]


@pytest.fixture
def slack() -> Iterator[Slack]:
    with a_slack() as slack:
        yield slack


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "data") as world:
        yield world


def test_a_recovery_whose_probe_failed_is_notified_with_the_probes_outcome(
    world: World, slack: Slack
) -> None:
    ids = world.trip(3)
    told = Told(world, slack)
    world.fails = lambda _: True
    world.ledger.start_recovery(LIMITED, Terms(probe=ids[0]), reason="is it back?")
    world.live_until_ended("R-1", HOUR)

    [said] = told.said()

    assert said.startswith("Recovery R-1 aborted: its probe did not succeed\n")
    assert "job 000 failed, rate_limited: 429 Too Many Requests" in said
    assert "1 of 3 jobs were resumed, 2 were not and stay failed." in said
    assert "Planned by library, because: is it back?" in said
    assert "jobledger recovery show R-1" in said


def test_a_recovery_aborted_by_re_trips_is_notified_with_the_names_of_the_jobs(
    world: World, slack: Slack
) -> None:
    world.trip(20, schedule=SOON)
    told = Told(world, slack)
    world.fails = lambda _: True
    world.ledger.start_recovery(LIMITED, Terms(abort_on=1))
    first = world.live_until_ended("R-1", HOUR)["jobs"][0]

    [said] = told.said()

    assert said.startswith("Recovery R-1 aborted: 1 job tripped again\n")
    assert f"Tripped again: {first['name']}" in said


def test_the_notice_of_a_recovery_is_sent_once_and_names_the_events_that_prove_it(
    world: World, slack: Slack
) -> None:
    ids = world.trip(2)
    told = Told(world, slack)
    world.fails = lambda _: True
    for _ in range(2):
        world.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
        world.live(HOUR)

    assert len(told.said()) == 2
    assert told.said() == []
    told.notifier.close()
    told.begin()

    assert told.said() == []
    planned, aborted = world.events("recovery.planned"), world.events("recovery.aborted")
    for notice, first, last in zip(told.notices(), planned, aborted, strict=True):
        data = notice["data"]
        assert (data["first_position"], data["last_position"]) == (
            first["position"], last["position"],
        )  # fmt: skip
        assert (data["job_id"], data["storm_id"], data["outcome"]) == (None, None, "sent")


def test_the_fallback_is_notified_of_a_recovery_when_the_channel_is_down(
    world: World, slack: Slack
) -> None:
    ids = world.trip(2)
    told = Told(world, slack, notices=ChannelAddress("gone"), fallback=ChannelAddress("ops"))
    world.fails = lambda _: True
    world.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    world.live_until_ended("R-1", HOUR)

    assert len(told.said()) == 1
    assert [notice["topic"] for notice in told.notices()] == ["notice.failed", "notice.sent"]


def test_a_recovery_that_an_operator_aborted_is_not_notified(world: World, slack: Slack) -> None:
    world.trip(2)
    told = Told(world, slack)
    world.ledger.start_recovery(LIMITED)
    world.ledger.abort_recovery("R-1")

    assert told.said() == []
    assert told.notices() == []


def test_without_a_notice_channel_no_recovery_is_notified(world: World, slack: Slack) -> None:
    ids = world.trip(2)
    told = Told(world, slack, notices=None)
    world.fails = lambda _: True
    world.ledger.start_recovery(LIMITED, Terms(probe=ids[0]))
    world.live_until_ended("R-1", HOUR)

    assert told.said() == []
    assert told.notices() == []
