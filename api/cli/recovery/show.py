"""recoveries, recovery show, recovery abort: how bringing back many jobs goes."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import quote

import typer

from api.cli.connection.as_of import AsOf, read_as_of
from api.cli.connection.client import given
from api.cli.connection.connect import Intent, connect
from api.cli.options import AsJson, AsOfOption, Cursor, DataFolder, Limit, Reason
from api.cli.output.paging import say_more
from api.cli.output.render import show
from api.cli.output.terminal import print_table, say
from api.cli.output.times import ago_short
from api.cli.recovery.detail_view import print_recovery
from api.cli.recovery.text import state, whom
from api.cli.responses import Document
from api.cli.text import jobs

RecoveryWanted = Annotated[
    str, typer.Argument(metavar="RECOVERY", help="A recovery's id, R- and a number.")
]


def list_recoveries(
    as_of: AsOfOption = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """List recoveries, newest first."""
    query = {"limit": limit, "cursor": cursor}
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        answer = client.request("GET", "/v1/recoveries", query=query | {"as_of": then.as_of})
    show(answer, as_json, partial(_print_recoveries, then=then))


def show_recovery(
    wanted: RecoveryWanted,
    as_of: AsOfOption = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Show one recovery and its jobs."""
    with connect(Intent.READ, data) as client:
        then = read_as_of(client, as_of)
        answer = client.request("GET", _path(wanted), query={"as_of": then.as_of})
    show(answer, as_json, partial(print_recovery, then=then))


def abort_recovery(
    wanted: RecoveryWanted,
    reason: Reason = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Abort a recovery.

    Jobs that it has not resumed stay failed.
    """
    with connect(Intent.CHANGE, data) as client:
        answer = client.request("POST", f"{_path(wanted)}/abort", body=given(reason=reason))
    show(answer, as_json, _print_aborted)


def _path(wanted: str) -> str:
    return f"/v1/recoveries/{quote(wanted, safe='')}"


def _print_recoveries(document: Document, then: AsOf) -> None:
    then.say()
    if not document["recoveries"]:
        say("No recoveries.", style="dim")
        return
    rows = [
        (
            one["id"],
            state(one),
            ago_short(one["planned_at"], then.now),
            one["planned_by"]["id"],
            whom(one),
            str(one["job_count"]),
            str(one["resumed_count"]),
            str(one["left_count"]),
            str(one["re_trip_count"]),
            one["reason"] or "-",
        )
        for one in document["recoveries"]
    ]
    job_cache = [
        "ID",
        "STATE",
        "PLANNED",
        "BY",
        "WHOM",
        ">JOBS",
        ">RESUMED",
        ">LEFT",
        ">AGAIN",
        "WHY",
    ]
    print_table(job_cache, rows)
    say_more(document, **then.pinned(document["position"]))


def _print_aborted(document: Document) -> None:
    recovery = document["recovery"]
    if not document["changed"]:
        say(f"{recovery['id']} had ended before: {recovery['status']}. Nothing was changed.")
        return
    say(f"{recovery['id']}: stopped; {jobs(recovery['left_count'])} left as they are.")
