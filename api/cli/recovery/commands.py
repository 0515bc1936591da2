"""recover, storm resume: bring back many tripped jobs by a plan that is shown before."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Annotated, Any
from urllib.parse import quote

import typer

from api.cli.connection.client import ApiClient, given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.job_lookup import find_job_id
from api.cli.exit_codes import Misused
from api.cli.options import AsJson, DataFolder, Reason, StormWanted, Yes
from api.cli.output.prompts import is_typed, require_yes
from api.cli.output.render import show
from api.cli.output.terminal import say
from api.cli.recovery.plan_view import print_plan
from api.cli.responses import ApiResponse, Document
from api.cli.text import jobs

NEVER = "never"

JobsWanted = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help="Jobs by id or name, in the order to come back."),
]
Tag = Annotated[str | None, typer.Option("--tag", metavar="WORD", help="Failed jobs with it.")]
FailureClass = Annotated[
    str | None, typer.Option("--failure-class", help="Failed jobs that tripped of it: timeout, …")
]
Probe = Annotated[
    str | None,
    typer.Option("--probe", metavar="JOB", help="Goes first; the others follow if it succeeds."),
]
Rate = Annotated[
    float | None, typer.Option("--rate", metavar="N", help="Jobs to resume per minute [10].")
]
AbortOn = Annotated[
    str | None,
    typer.Option("--abort-on", metavar="N", help="Abort after N re-trips, or never [3]."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")]


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

    Those named, with a tag, or of a failure class; the plan is shown first.
    """
    if not wanted and tag is None and failure_class is None:
        raise Misused("Say whom: jobs by name or id, --tag, or --failure-class.")
    terms = _Terms(reason, probe, rate, abort_on)
    words = ["recovery", "start", *(wanted or []), *_flag("--tag", tag)]
    words += [*_flag("--failure-class", failure_class), *terms.words()]
    with connect(Intent.CHANGE, data) as client:
        ids = [find_job_id(client, one) for one in wanted or []] or None
        selector = given(tag=tag, failure_class=failure_class, job_ids=ids)
        body = terms.body(client) | {"selector": selector}
        begin = _Begin(client, "/v1/recoveries", body, words)
        begin.go(is_dry=dry_run, is_asked=not yes, as_json=as_json)


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
        begin = _Begin(client, path, terms.body(client), words)
        begin.go(is_dry=dry_run, is_asked=not yes, as_json=as_json)


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
class _Begin:
    """One recovery that is about to begin: where it is asked for, and with which words."""

    client: ApiClient
    path: str
    body: dict[str, Any]
    words: list[str]

    def go(self, *, is_dry: bool, is_asked: bool, as_json: bool) -> None:
        """The plan if it is only to be shown; else, for a person, the plan and a question first."""
        if is_dry:
            show(self._rehearsed(), as_json, partial(_print_rehearsal, words=self.words))
            return
        if is_asked and not as_json and is_typed():
            plan = self._rehearsed().document["plan"]
            print_plan(plan)
            if plan["jobs"]:
                require_yes(f"Bring back {jobs(plan['job_count'])} like this?")
        begun = self.client.request("POST", self.path, body=self.body)
        show(begun, as_json, partial(_print_begun, is_served=not self.client.is_alone))

    def _rehearsed(self) -> ApiResponse:
        return self.client.request("POST", self.path, body=self.body | {"dry_run": True})


def _print_rehearsal(document: Document, words: list[str]) -> None:
    plan = document["plan"]
    print_plan(plan)
    if plan["jobs"]:
        say()
        say("Nothing was changed. To do it, type:")
        say(f'  jobledger {shlex.join(words)} --reason "why it is over"')


def _print_begun(document: Document, *, is_served: bool) -> None:
    recovery = document["recovery"]
    refused = f" ({len(recovery['refused'])} refused)" if recovery["refused"] else ""
    say(f"{recovery['id']}: {jobs(recovery['job_count'])} to come back{refused}.")
    if is_served:
        say("It goes on by itself, wherever runs are dispatched. To watch it, and to stop it:")
    else:
        say("Nobody dispatches this folder now: it begins once a server does (jobledger serve).")
        say("To watch it, and to stop it:")
    say(f"  jobledger recovery show {recovery['id']}")
    say(f"  jobledger recovery abort {recovery['id']}")
