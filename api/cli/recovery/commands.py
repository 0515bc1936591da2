"""recovery start, storm resume: resume many tripped jobs by a plan that is shown first."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Annotated, Any
from urllib.parse import quote

from api.cli.connection.client import ApiClient, given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.exit_codes import Misused
from api.cli.options import (
    AsJson,
    DataFolder,
    Reason,
    StormWanted,
    Yes,
    argument,
    flag,
    switch,
    with_flags,
)
from api.cli.output.render import show
from api.cli.output.terminal import is_interactive, require_yes, say
from api.cli.recovery.plan_view import print_plan
from api.cli.responses import ApiResponse, Document
from ledger.plurals import counted

NEVER = "never"

JobsWanted = Annotated[
    list[str] | None, argument("JOB...", "Jobs by id or name, in the order to resume.")
]
Tag = Annotated[str | None, flag("--tag", "TAG", "Only failed jobs with this tag.")]
FailureClass = Annotated[
    str | None, flag("--failure-class", "CLASS", "Only jobs that tripped with it: timeout, …")
]
Probe = Annotated[
    str | None, flag("--probe", "JOB", "Resumed first; the others only if it succeeds.")
]
Rate = Annotated[float | None, flag("--rate", "N", "Jobs to resume per minute.", show_default="10")]
AbortOn = Annotated[
    str | None, flag("--abort-on", "N", "Abort after N re-trips, or never.", show_default="3")
]
DryRun = Annotated[bool, switch("--dry-run", "Show the plan; change nothing.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class HowToStart:
    """The flags of both commands: how the recovery proceeds (the API knows the defaults), and
    whether it is started at once, after a question, or only shown.
    """

    reason: Reason = None
    probe: Probe = None
    rate: Rate = None
    abort_on: AbortOn = None
    dry_run: DryRun = False
    yes: Yes = False
    as_json: AsJson = False
    data: DataFolder = None

    def terms(self, client: ApiClient) -> dict[str, Any]:
        """The terms as the API takes them. Raises Stop."""
        if self.rate is not None and not isfinite(self.rate):  # JSON cannot express it
            raise Misused("--rate takes a number of jobs per minute.")
        probe = find_job_id(client, self.probe) if self.probe is not None else None
        terms = given(reason=self.reason, probe=probe, rate_per_minute=self.rate)
        return terms if self.abort_on is None else terms | {"abort_on": _limit(self.abort_on)}

    def words(self) -> list[str]:
        """The terms as they would be typed again, without the reason."""
        rate = f"{self.rate:g}" if self.rate is not None else None
        return [
            *_flag("--probe", self.probe),
            *_flag("--rate", rate),
            *_flag("--abort-on", self.abort_on),
        ]

    def send(self, client: ApiClient, path: str, body: dict[str, Any], words: list[str]) -> None:
        """Show the plan of a dry run; else start the recovery, after the plan and a question where
        an operator can answer. `words` are what was typed, but for the terms.
        """

        def dry_run() -> ApiResponse:
            return client.request("POST", path, body=body | {"dry_run": True})

        if self.dry_run:
            again = [*words, *self.words()]
            show(dry_run(), self.as_json, partial(_print_dry_run, words=again))
            return
        if not self.yes and not self.as_json and is_interactive():
            plan = dry_run().document["plan"]
            print_plan(plan)
            if plan["jobs"]:
                require_yes(f"Resume {counted(plan['job_count'], 'job')} by this plan?")
        started = client.request("POST", path, body=body)
        show(started, self.as_json, partial(_print_started, is_dispatched=not client.is_alone))


@with_flags
def start(
    *,
    wanted: JobsWanted = None,
    tag: Tag = None,
    failure_class: FailureClass = None,
    how: HowToStart,
) -> None:
    """Resume failed jobs at a limited rate.

    Choose them by name, by tag or by failure class. The plan is shown first.
    """
    if not wanted and tag is None and failure_class is None:
        raise Misused("Select jobs: by name or id, with --tag, or with --failure-class.")
    words = ["recovery", "start", *(wanted or [])]
    words += [*_flag("--tag", tag), *_flag("--failure-class", failure_class)]
    with connect(Intent.CHANGE, how.data) as client:
        ids = [find_job_id(client, one) for one in wanted or []] or None
        selector = given(tag=tag, failure_class=failure_class, job_ids=ids)
        how.send(client, "/v1/recoveries", how.terms(client) | {"selector": selector}, words)


@with_flags
def resume_storm(storm: StormWanted, how: HowToStart) -> None:
    """Resume the jobs that a storm tripped.

    Only those still failed, one after another; the plan is shown first.
    """
    with connect(Intent.CHANGE, how.data) as client:
        path = f"/v1/storms/{quote(storm, safe='')}/resume"
        how.send(client, path, how.terms(client), ["storm", "resume", storm])


def _limit(abort_on: str) -> int | None:
    if abort_on.strip().lower() == NEVER:
        return None
    try:
        return int(abort_on)
    except ValueError:
        raise Misused(f"--abort-on takes a number, or {NEVER}.") from None


def _flag(name: str, value: str | None) -> list[str]:
    return [] if value is None else [name, value]


def _print_dry_run(document: Document, words: list[str]) -> None:
    plan = document["plan"]
    print_plan(plan)
    if plan["jobs"]:
        say()
        say("Nothing was changed. To start the recovery:")
        say(f'  jobledger {shlex.join(words)} --reason "what was fixed"')


def _print_started(document: Document, *, is_dispatched: bool) -> None:
    recovery = document["recovery"]
    refused = f" ({len(recovery['refused'])} refused)" if recovery["refused"] else ""
    say(f"{recovery['id']}: {counted(recovery['job_count'], 'job')} to resume{refused}.")
    if is_dispatched:
        say("The dispatcher carries it out. To watch or abort it:")
    else:
        say("No dispatcher is running: it starts with jobledger serve. To watch or abort it:")
    say(f"  jobledger recovery show {recovery['id']}")
    say(f"  jobledger recovery abort {recovery['id']}")
