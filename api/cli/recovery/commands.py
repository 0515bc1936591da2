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
from api.cli.options import AsJson, DataFolder, Reason, StormWanted, Yes, argument, flag, switch
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


def start(
    wanted: JobsWanted = None,
    tag: Tag = None,
    failure_class: FailureClass = None,
    reason: Reason = None,
    probe: Probe = None,
    rate: Rate = None,
    abort_on: AbortOn = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Resume failed jobs at a limited rate.

    Choose them by name, by tag or by failure class. The plan is shown first.
    """
    if not wanted and tag is None and failure_class is None:
        raise Misused("Select jobs: by name or id, with --tag, or with --failure-class.")
    terms = _Terms(reason, probe, rate, abort_on)
    words = ["recovery", "start", *(wanted or []), *_flag("--tag", tag)]
    words += [*_flag("--failure-class", failure_class), *terms.words()]
    with connect(Intent.CHANGE, data) as client:
        ids = [find_job_id(client, one) for one in wanted or []] or None
        selector = given(tag=tag, failure_class=failure_class, job_ids=ids)
        body = terms.body(client) | {"selector": selector}
        request = _Request(client, "/v1/recoveries", body, words)
        request.send(is_dry_run=dry_run, may_ask=not yes, as_json=as_json)


def resume_storm(
    storm: StormWanted,
    reason: Reason = None,
    probe: Probe = None,
    rate: Rate = None,
    abort_on: AbortOn = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Resume the jobs that a storm tripped.

    Only those still failed, one after another; the plan is shown first.
    """
    terms = _Terms(reason, probe, rate, abort_on)
    words = ["storm", "resume", storm, *terms.words()]
    with connect(Intent.CHANGE, data) as client:
        path = f"/v1/storms/{quote(storm, safe='')}/resume"
        request = _Request(client, path, terms.body(client), words)
        request.send(is_dry_run=dry_run, may_ask=not yes, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Terms:
    """How a recovery proceeds, as it was typed; the API knows the defaults."""

    reason: str | None
    probe: str | None
    rate: float | None
    abort_on: str | None

    def body(self, client: ApiClient) -> dict[str, Any]:
        """As the API takes it."""
        if self.rate is not None and not isfinite(self.rate):  # JSON cannot express it
            raise Misused("--rate takes a number of jobs per minute.")
        probe = find_job_id(client, self.probe) if self.probe is not None else None
        terms = given(reason=self.reason, probe=probe, rate_per_minute=self.rate)
        return terms if self.abort_on is None else terms | {"abort_on": _limit(self.abort_on)}

    def words(self) -> list[str]:
        """As it would be typed again, without the reason."""
        rate = f"{self.rate:g}" if self.rate is not None else None
        return [
            *_flag("--probe", self.probe),
            *_flag("--rate", rate),
            *_flag("--abort-on", self.abort_on),
        ]


def _limit(abort_on: str) -> int | None:
    if abort_on.strip().lower() == NEVER:
        return None
    try:
        return int(abort_on)
    except ValueError:
        raise Misused(f"--abort-on takes a number, or {NEVER}.") from None


def _flag(name: str, value: str | None) -> list[str]:
    return [] if value is None else [name, value]


@dataclass(frozen=True, slots=True)
class _Request:
    """The request that starts a recovery, and the words that were typed for it."""

    client: ApiClient
    path: str
    body: dict[str, Any]
    words: list[str]

    def send(self, *, is_dry_run: bool, may_ask: bool, as_json: bool) -> None:
        """Show the plan of a dry run; else start the recovery, after the plan and a question where
        an operator can answer.
        """
        if is_dry_run:
            show(self._dry_run(), as_json, partial(_print_dry_run, words=self.words))
            return
        if may_ask and not as_json and is_interactive():
            plan = self._dry_run().document["plan"]
            print_plan(plan)
            if plan["jobs"]:
                require_yes(f"Resume {counted(plan['job_count'], 'job')} by this plan?")
        started = self.client.request("POST", self.path, body=self.body)
        show(started, as_json, partial(_print_started, is_dispatched=not self.client.is_alone))

    def _dry_run(self) -> ApiResponse:
        return self.client.request("POST", self.path, body=self.body | {"dry_run": True})


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
