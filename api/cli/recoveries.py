"""recoveries, recovery show, recovery abort: how bringing back many jobs goes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from api.cli.answers import Document, short, show
from api.cli.lookup import names_of
from api.cli.moments import told, told_briefly, told_due
from api.cli.next_page import say_more
from api.cli.options import AsJson, AsOf, Cursor, DataFolder, Limit, Reason
from api.cli.recovery_plans import SHOWN, jobs, more_than_shown, pace
from api.cli.schedule_input import given
from api.cli.screen import STYLES, print_facts, print_table, say
from api.cli.then import Then, read_then
from api.cli.ways import Intent, open_door

STATES = {
    "probing": ("waits for the probe", STYLES["running"]),
    "dripping": ("under way", STYLES["running"]),
    "settling": ("all had their turn", STYLES["running"]),
    "completed": ("completed", STYLES["succeeded"]),
    "aborted": ("aborted", STYLES["failed"]),
}
CAUSES = {
    "probe_failed": "the probe did not succeed",
    "re_trips": "too many tripped again",
    "asked": "an operator stopped it",
}
OUTCOMES = {
    "waiting": ("waits", ""),
    "resumed": ("resumed", STYLES["succeeded"]),
    "refused": ("refused", STYLES["paused"]),
    "left": ("stays failed", STYLES["failed"]),
}

RecoveryWanted = Annotated[
    str, typer.Argument(metavar="RECOVERY", help="A recovery's id, R- and a number.")
]


def list_recoveries(
    as_of: AsOf = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """List the recoveries, the newest first: whom they brought back, and how they stand."""
    query = {"limit": limit, "cursor": cursor}
    with open_door(Intent.READ, data) as door:
        then = read_then(door, as_of)
        answer = door.ask("GET", "/v1/recoveries", query=query | {"as_of": then.as_of})
    show(answer, as_json, partial(_print_recoveries, then=then))


def show_recovery(
    wanted: RecoveryWanted, as_of: AsOf = None, as_json: AsJson = False, data: DataFolder = None
) -> None:
    """Show one recovery: what is left, and what became of each job."""
    with open_door(Intent.READ, data) as door:
        then = read_then(door, as_of)
        answer = door.ask("GET", _path(wanted), query={"as_of": then.as_of})
        ids = [job["job_id"] for job in answer.document["recovery"]["jobs"][:SHOWN]]
        names = {} if as_json else names_of(door, ids, as_of=then.as_of)
    show(answer, as_json, partial(_print_recovery, then=then, names=names))


def abort_recovery(
    wanted: RecoveryWanted,
    reason: Reason = None,
    as_json: AsJson = False,
    data: DataFolder = None,
) -> None:
    """Stop a recovery: who is left stays failed."""
    with open_door(Intent.CHANGE, data) as door:
        answer = door.ask("POST", f"{_path(wanted)}/abort", body=given(reason=reason))
    show(answer, as_json, _print_aborted)


def _path(wanted: str) -> str:
    return f"/v1/recoveries/{quote(wanted, safe='')}"


def _print_recoveries(document: Document, then: Then) -> None:
    then.say()
    if not document["recoveries"]:
        say("No recoveries.", style="dim")
        return
    rows = [
        (
            one["id"],
            _state(one),
            told_briefly(one["planned_at"], then.now),
            one["planned_by"]["id"],
            _whom(one),
            str(one["job_count"]),
            str(one["resumed_count"]),
            str(one["left_count"]),
            str(one["re_trip_count"]),
            one["reason"] or "-",
        )
        for one in document["recoveries"]
    ]
    heads = ["ID", "STATE", "PLANNED", "BY", "WHOM", ">JOBS", ">RESUMED", ">LEFT", ">AGAIN", "WHY"]
    print_table(heads, rows)
    say_more(document, **then.pinned(document["position"]))


def _print_recovery(document: Document, then: Then, names: Mapping[str, str]) -> None:
    recovery, now = document["recovery"], then.now
    then.say()
    probe = recovery["probe"]
    limit = recovery["abort_on"]
    again = f"{recovery['re_trip_count']}, gives up at {limit or 'no number'}"
    print_facts(
        [
            ("Recovery", recovery["id"]),
            ("State", _state(recovery)),
            ("Whom", _whom(recovery)),
            ("Planned", f"{told(recovery['planned_at'], now)}, by {recovery['planned_by']['id']}"),
            ("Why", recovery["reason"] or "-"),
            ("Pace", pace(recovery["rate_per_minute"])),
            *([("Probe", f"{names.get(probe, '-')} ({short(probe)})")] if probe else []),
            ("Jobs", _counts(recovery)),
            ("Tripped again", again),
            *_next(recovery, then),
        ]
    )
    say()
    rows = [_row(job, names, then, probe=probe) for job in recovery["jobs"][:SHOWN]]
    print_table([">#", "ID", "NAME", "OUTCOME", "TURN", "FIRST FIRE", "NOTE"], rows)
    more_than_shown(len(recovery["jobs"]))


def _next(recovery: Document, then: Then) -> list[tuple[str, str]]:
    if recovery["next_step_at"]:
        return [("Next turn", told_due(recovery["next_step_at"], then.now))]
    return [("Ended", told(recovery["ended_at"], then.now))] if recovery["ended_at"] else []


def _counts(recovery: Document) -> str:
    counts = {
        "resumed": recovery["resumed_count"],
        "refused at their turn": recovery["refused_count"],
        "left": recovery["left_count"],
        "refused by the plan": len(recovery["refused"]),
    }
    some = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{recovery['job_count']}: {', '.join(some)}"


def _row(
    job: Document, names: Mapping[str, str], then: Then, *, probe: str | None
) -> tuple[str | Text, ...]:
    word, style = OUTCOMES[job["outcome"]]
    again = job["tripped_again_at"]
    plain = "the probe: a run at once" if job["job_id"] == probe else ""
    note = f"tripped again {told_briefly(again, then.now)}" if again else job["message"] or plain
    return (
        str(job["place"] + 1),
        short(job["job_id"]),
        names.get(job["job_id"], "-"),
        Text(word, style),
        told_briefly(job["stepped_at"], then.now),
        told_briefly(job["next_run_at"], then.now),
        note,
    )


def _state(recovery: Document) -> Text:
    word, style = STATES[recovery["status"]]
    why = CAUSES.get(recovery["cause"] or "")
    return Text(word, style).append(f": {why}" if why else "", "")


def _whom(recovery: Document) -> str:
    if recovery["storm_id"]:
        return f"storm {recovery['storm_id']}"
    selector = recovery["selector"]
    ids = selector["job_ids"]
    parts = [
        f"tag {selector['tag']}" if selector["tag"] else "",
        selector["failure_class"] or "",
        f"{len(ids)} named" if ids else "",
    ]
    return ", ".join(part for part in parts if part)


def _print_aborted(document: Document) -> None:
    recovery = document["recovery"]
    if not document["changed"]:
        say(f"{recovery['id']} had ended before: {recovery['status']}. Nothing was changed.")
        return
    say(f"{recovery['id']}: stopped; {jobs(recovery['left_count'])} left as they are.")
