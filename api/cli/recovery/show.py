"""recovery list, recovery show, recovery abort."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from api.cli.connection.client import given
from api.cli.connection.connect import Intent, connect
from api.cli.connection.question import AsOf, Question, ShortListQuestion, print_page
from api.cli.options import AsJson, DataFolder, Reason, argument, with_flags
from api.cli.output.render import show
from api.cli.output.terminal import say
from api.cli.output.times import ago_short
from api.cli.recovery.detail_view import print_recovery
from api.cli.recovery.text import scope, state
from api.cli.responses import Document
from ledger.plurals import counted

RecoveryWanted = Annotated[
    str, argument("RECOVERY", "Recovery id, such as R-7: see recovery list.")
]


@with_flags
def list_recoveries(question: ShortListQuestion) -> None:
    """List recoveries, newest first."""
    question.ask("/v1/recoveries", _print_recoveries)


@with_flags
def show_recovery(wanted: RecoveryWanted, question: Question) -> None:
    """Show one recovery and its jobs."""
    question.ask(_path(wanted), print_recovery)


def abort_recovery(
    wanted: RecoveryWanted, reason: Reason = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Abort a recovery.

    Jobs that it has not resumed stay failed.
    """
    with connect(Intent.CHANGE, data) as client:
        answer = client.request("POST", f"{_path(wanted)}/abort", body=given(reason=reason))
    show(answer, as_json, _print_aborted)


def _path(wanted: str) -> str:
    return f"/v1/recoveries/{quote(wanted, safe='')}"


def _print_recoveries(document: Document, as_of: AsOf) -> None:
    rows = [
        (
            one["id"],
            state(one),
            ago_short(one["planned_at"], as_of.now),
            one["planned_by"]["id"],
            scope(one),
            str(one["job_count"]),
            str(one["resumed_count"]),
            str(one["left_count"]),
            str(one["re_trip_count"]),
            one["reason"] or "-",
        )
        for one in document["recoveries"]
    ]
    columns = ["!ID", "STATE", "PLANNED", "BY", "SCOPE", ">JOBS", ">RESUMED", ">LEFT", ">RE-TRIPS"]
    print_page(document, as_of, [*columns, "REASON"], rows, empty="No recoveries.")


def _print_aborted(document: Document) -> None:
    recovery = document["recovery"]
    if not document["changed"]:
        say(f"{recovery['id']} has already ended: {recovery['status']}. Nothing was changed.")
        return
    say(f"{recovery['id']}: aborted; {counted(recovery['left_count'], 'job')} not resumed.")
