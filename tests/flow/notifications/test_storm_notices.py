"""Storms are notified once when they open and once when they are over, not once per job."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.demo.waiting import wait_for
from ledger.application.commands import runs as run_commands
from ledger.dispatch.executors.secrets import Secrets
from ledger.dispatch.notifications.channels import ChannelAddress, ChannelSettings
from ledger.dispatch.notifications.notifier import Notifier
from ledger.dispatch.notifications.sender import Sender
from ledger.dispatch.notifications.storm_source import NoStormSource, StormNotice, StormSource
from ledger.domain.job import outcomes
from ledger.domain.recovery.selection import StormMembers
from ledger.errors import Behind
from ledger.store.audit_query import AuditQuery
from projections.queries.storm_notifications import RECENT, StormNotifications
from projections.read_models import ReadModels
from tests.support.builders import DAY, HOUR, ManualClock, a_spec, open_ledger
from tests.support.runs import run_when_due
from tests.support.servers.slack import Slack, a_slack

QUOTA = outcomes.Failure("Error: 429 quota", "rate_limited", "api.example.com", None, 5)
SEEDS = itertools.count(1)


class Watched:
    """A ledger with its read models, and a notifier that queries storms."""

    def __init__(self, folder: Path, slack: Slack) -> None:
        self.folder, self.slack = folder, slack
        self.settings = ChannelSettings(
            urls={"ops": slack.json_url, "gone": "json://127.0.0.1:1/"},
            notices=ChannelAddress("ops"),
        )
        self.clock = ManualClock()
        self.open()

    def open(self) -> None:
        self.ledger = open_ledger(self.folder, self.clock, seed=next(SEEDS))
        self.read_models = ReadModels.open(self.ledger, self.folder / "projections.db")
        self.read_models.wait_seconds = 0.0
        self.notify_from(StormNotifications(self.read_models))
        self.look()

    def notify_from(self, storms: StormSource) -> None:
        """Replace the notifier by one that learns of storms from that source."""
        sender = Sender(self.settings, Secrets(None, {}))
        self.notifier = Notifier(self.ledger, sender, storms)

    def close(self) -> None:
        self.notifier.close()
        self.read_models.close()
        self.ledger.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def schedule(self, name: str, **policy: Any) -> UUID:
        return self.ledger.schedule(a_spec(name=name, policy=policy)).job_id

    def run(self, job_id: UUID, outcome: run_commands.Outcome = QUOTA) -> None:
        run_when_due(self.ledger, job_id, outcome)

    def look(self, after: timedelta = timedelta(seconds=6)) -> list[str]:
        """The messages once the read models have caught up and so much time has passed."""
        before = len(self.slack.said)
        self.clock.advance(after)
        self.read_models.catch_up()
        while self.notifier.run_once():
            pass
        return [str(said["body"]["title"]) for said in self.slack.said[before:]]

    def notices(self) -> list[dict[str, Any]]:
        query = AuditQuery(topics=("notice.sent", "notice.failed"), limit=1000)
        return self.ledger.queries.audit(query).events


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with a_slack() as slack:
        watched = Watched(tmp_path / "data", slack)
        yield watched
        watched.close()


def a_storm(watched: Watched, count: int = 4, **policy: Any) -> list[UUID]:
    ids = [watched.schedule(f"job {number}", **policy) for number in range(count)]
    for job_id in ids:
        watched.run(job_id)
    return ids


def test_a_storm_is_notified_once_when_it_opens_and_once_when_it_is_over(watched: Watched) -> None:
    a_storm(watched)

    [opening] = watched.look()
    assert "4 jobs fail of one cause (rate_limited)" in opening
    assert watched.look() == []
    assert watched.look(HOUR) == []
    [ending] = watched.look(HOUR)
    assert "is over: 0 of 4 jobs are still failed because of it" in ending
    assert watched.look(DAY) == []

    [opened, over] = watched.notices()
    assert [opened["data"]["kind"], over["data"]["kind"]] == ["storm_opened", "storm_over"]
    assert opened["data"]["storm_id"] == over["data"]["storm_id"]
    assert opened["data"]["job_id"] is None
    assert opened["data"]["storm_id"] == f"S-{opened['data']['first_position']}"


def test_trips_in_a_storm_are_notified_with_it_and_not_one_by_one(watched: Watched) -> None:
    ids = a_storm(watched, 5, trip_after=2)
    watched.look()
    for job_id in ids:
        watched.run(job_id)

    assert watched.look() == []
    [ending] = watched.look(timedelta(minutes=11))
    assert "is over: 5 of 5 jobs are still failed because of it" in ending


def test_a_trip_outside_of_any_storm_is_notified_by_itself(watched: Watched) -> None:
    lonely = watched.schedule("lonely", trip_after=1)
    watched.run(lonely)

    assert watched.look() == ["lonely failed: 1 error in a row (rate_limited)"]


def test_a_storm_that_may_reopen_is_not_reported_as_over(watched: Watched) -> None:
    a_storm(watched, trip_after=1)
    assert len(watched.look()) == 1
    assert watched.look(timedelta(minutes=8)) == []
    [ending] = watched.look(timedelta(minutes=3))
    assert "is over: 4 of 4 jobs are still failed because of it" in ending


def body_of_the_end(watched: Watched) -> str:
    assert "is over" in watched.slack.said[-1]["body"]["title"]
    return str(watched.slack.said[-1]["body"]["message"])


def test_the_end_counts_the_jobs_failed_because_of_the_storm_and_no_others(
    watched: Watched,
) -> None:
    back, *_ = a_storm(watched, trip_after=1)
    other = watched.schedule("other", trip_after=2)
    watched.run(other)
    watched.look()
    watched.run(other, outcomes.Failure("401", "unauthorized", "crm.example", None, 7))
    watched.ledger.resume(back, force=True, run_now=True)
    watched.run(back, outcomes.Failure("401", "unauthorized", "crm.example", None, 7))

    messages = watched.look(timedelta(minutes=11))

    assert "is over: 3 of 5 jobs are still failed because of it" in messages[-1]
    assert "Resume them one after the other" in body_of_the_end(watched)
    members = StormNotifications(watched.read_models).members("S-10")
    plan = watched.ledger.preview_recovery(members)
    assert plan["job_count"] == 3


def test_the_end_names_no_command_that_would_resume_nothing(watched: Watched) -> None:
    ids = a_storm(watched, trip_after=1)
    watched.look()
    for job_id in ids:
        watched.ledger.amend(job_id, {"enabled": False})

    [ending] = watched.look(timedelta(minutes=11))

    assert "4 of 4 jobs are still failed because of it" in ending
    assert "would resume none of them now (job_disabled)" in body_of_the_end(watched)
    assert "storm resume" not in body_of_the_end(watched)


def test_the_end_names_how_many_jobs_would_be_resumed(watched: Watched) -> None:
    [first, *_] = a_storm(watched, trip_after=1)
    watched.look()
    watched.ledger.amend(first, {"enabled": False})

    watched.look(timedelta(minutes=11))

    assert "Resume 3 one after the other" in body_of_the_end(watched)


def test_an_end_that_the_read_models_cannot_describe_yet_is_notified_later(
    watched: Watched,
) -> None:
    class Hesitant(StormNotifications):
        has_members = False

        def members(self, storm_id: str) -> StormMembers:
            if not self.has_members:
                raise Behind(wanted=2, reached=1)
            return super().members(storm_id)

    news = Hesitant(watched.read_models)
    watched.notifier.close()
    watched.notify_from(news)
    a_storm(watched, trip_after=1)
    watched.look()

    assert watched.look(timedelta(minutes=11)) == []
    news.has_members = True

    assert len(watched.look()) == 1


def test_a_restart_does_not_repeat_storm_notices(watched: Watched) -> None:
    a_storm(watched)
    watched.look()

    watched.reopen()

    assert watched.look() == []
    assert len(watched.look(2 * HOUR)) == 1
    watched.reopen()
    assert watched.look(2 * HOUR) == []


def test_a_storm_that_passed_while_the_notifier_was_down_is_notified_by_its_end_only(
    watched: Watched,
) -> None:
    a_storm(watched)

    messages = watched.look(3 * HOUR)

    assert len(messages) == 1
    assert "is over" in messages[0]


def test_a_storm_that_is_long_over_is_not_notified(watched: Watched) -> None:
    a_storm(watched)

    assert watched.look(RECENT + DAY) == []


def test_a_first_notifier_ignores_older_storms(tmp_path: Path) -> None:
    with a_slack() as slack:
        watched = Watched.__new__(Watched)
        watched.folder, watched.clock, watched.slack = tmp_path / "data", ManualClock(), slack
        watched.settings = ChannelSettings({"ops": slack.json_url}, notices=ChannelAddress("ops"))
        with open_ledger(watched.folder, watched.clock) as watched.ledger:
            a_storm(watched)
        watched.open()

        assert watched.look(2 * HOUR) == []
        watched.close()


def test_the_fallback_is_notified_of_a_storm_when_the_channel_is_down(watched: Watched) -> None:
    gone, ops = ChannelAddress("gone"), ChannelAddress("ops")
    watched.settings = replace(watched.settings, notices=gone, fallback=ops)
    watched.reopen()
    a_storm(watched)

    assert len(watched.look()) == 1
    outcomes_of = [(event["topic"], event["data"]["channel"]) for event in watched.notices()]
    assert outcomes_of == [("notice.failed", "gone"), ("notice.sent", "ops")]


def test_a_trip_is_notified_though_the_read_models_do_not_follow(watched: Watched) -> None:
    ids = a_storm(watched, trip_after=2)
    watched.look()
    watched.read_models.close()
    for job_id in ids:
        watched.run(job_id)

    while watched.notifier.run_once():
        pass

    watched.read_models = ReadModels.open(watched.ledger, watched.folder / "projections.db")
    assert len(watched.notices()) == 5


def test_a_storm_is_notified_though_the_jobs_read_model_has_stopped(watched: Watched) -> None:
    runner = watched.read_models._runner
    assert runner is not None
    place = next(place for place in runner.running if place.model.NAME == "jobs")
    place.broken_at, place.problem = watched.ledger.writer.position + 1, "a mistake"

    ids = a_storm(watched)

    [opening] = watched.look()
    assert "4 jobs fail of one cause" in opening
    assert str(ids[0]) in watched.slack.said[-1]["body"]["message"]


def test_a_failure_in_storm_notices_does_not_stop_other_notices(watched: Watched) -> None:
    class Mistaken(NoStormSource):
        def recent(self, *, after: int, now: datetime) -> Sequence[StormNotice]:
            raise ZeroDivisionError(f"{after} {now}")

    watched.notifier.close()
    watched.notify_from(Mistaken())
    watched.notifier.start()

    watched.run(watched.schedule("lonely", trip_after=1))
    wait_for("a notice", lambda: len(watched.slack.said) == 1, seconds=20)
    watched.run(watched.schedule("another", trip_after=1))

    wait_for("another notice", lambda: len(watched.slack.said) == 2, seconds=20)
