"""Prints one recovery: its state, what to do next, and its jobs."""

from __future__ import annotations

from rich.text import Text

from api.cli.connection.question import AsOf
from api.cli.output.render import short
from api.cli.output.terminal import STYLES, print_facts, print_table, say
from api.cli.output.times import ago, ago_with_seconds, until
from api.cli.recovery.plan_view import (
    SHOWN,
    abort_condition,
    print_hidden_count,
    print_refused,
    rate_text,
)
from api.cli.recovery.text import ASKED, next_command, scope, state
from api.cli.responses import Document

OUTCOMES = {
    "waiting": ("waiting", ""),
    "resumed": ("resumed", STYLES["succeeded"]),
    "refused": ("refused", STYLES["paused"]),
    "left": ("not resumed", STYLES["failed"]),
}
"""The outcome of a job in a recovery."""


def print_recovery(document: Document, as_of: AsOf) -> None:
    """Print all of it; jobs that the plan refused come last."""
    recovery = document["recovery"]
    as_of.print_heading()
    print_facts(_facts(recovery, as_of))
    say()
    rows = [_row(job, as_of, probe=recovery["probe"]) for job in recovery["jobs"][:SHOWN]]
    print_table(
        [">#", "!ID", "NAME", "OUTCOME", "STEP AT", "FIRST FIRE", "FIRST RUN", "NOTE"], rows
    )
    print_hidden_count(len(recovery["jobs"]))
    if recovery["refused"]:
        say()
        print_refused(recovery["refused"])


def _facts(recovery: Document, as_of: AsOf) -> list[tuple[str, str | Text]]:
    planned = f"{ago(recovery['planned_at'], as_of.now)}, by {recovery['planned_by']['id']}"
    re_trips = f"{recovery['re_trip_count']}; aborts {abort_condition(recovery['abort_on'])}"
    return [
        ("Recovery", recovery["id"]),
        ("State", state(recovery)),
        ("Scope", scope(recovery)),
        ("Planned", planned),
        ("Reason", recovery["reason"] or "-"),
        ("Rate", rate_text(recovery["rate_per_minute"])),
        *_probe(recovery),
        ("Jobs", _counts(recovery)),
        ("Re-trips", re_trips),
        *_next(recovery, as_of),
    ]


def _probe(recovery: Document) -> list[tuple[str, str]]:
    if recovery["probe"] is None:
        return []
    probe = recovery["jobs"][0]
    name = f"{probe['name'] or '-'} ({short(probe['job_id'])})"
    return [("Probe", f"{name}: {_probe_outcome(probe)}")]


def _probe_outcome(probe: Document) -> str:
    outcome = probe["first_outcome"]
    if outcome is None:
        return probe["message"] or ("waiting" if probe["step_at"] is None else "no outcome yet")
    error = f": {outcome['error']}" if outcome["error"] else ""
    return f"{_first_run(probe)}{error} (position {outcome['position']})"


def _next(recovery: Document, as_of: AsOf) -> list[tuple[str, str]]:
    if recovery["next_step_at"]:
        return [("Next step", until(recovery["next_step_at"], as_of.now))]
    if not recovery["ended_at"]:
        return []
    is_asked = recovery["cause"] == ASKED
    by = f", by {recovery['ended_by']['id']}" if is_asked else ""
    reason = f", reason: {recovery['end_reason']}" if recovery["end_reason"] else ""
    ended = [("Ended", f"{ago(recovery['ended_at'], as_of.now)}{by}{reason}")]
    if recovery["status"] != "aborted":
        return ended
    condition = "" if is_asked else "once the cause is fixed: "
    return [*ended, ("To continue", f"{condition}{next_command(recovery)}")]


def _counts(recovery: Document) -> str:
    counts = {
        "resumed": recovery["resumed_count"],
        "refused": recovery["refused_count"],
        "not resumed" if recovery["ended_at"] else "waiting": recovery["left_count"],
        "refused by the plan": len(recovery["refused"]),
    }
    some = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{recovery['job_count']}: {', '.join(some)}"


def _row(job: Document, as_of: AsOf, *, probe: str | None) -> tuple[str | Text, ...]:
    word, style = OUTCOMES[job["outcome"]]
    again = job["tripped_again_at"]
    plain = "the probe: runs immediately" if job["job_id"] == probe else ""
    note = f"re-tripped {ago_with_seconds(again, as_of.now)}" if again else plain
    return (
        str(job["place"] + 1),
        short(job["job_id"]),
        job["name"] or "-",
        Text(word, style),
        ago_with_seconds(job["step_at"], as_of.now),
        ago_with_seconds(job["first_fire_at"], as_of.now),
        _first_run(job),
        job["message"] or note,
    )


def _first_run(job: Document) -> str:
    """The outcome of its first run: `succeeded`, `failed, rate_limited`, `not yet`."""
    if job["outcome"] != "resumed":
        return "-"
    outcome = job["first_outcome"]
    if outcome is None:
        return "not yet"
    what = (outcome["outcome"], outcome["failure_class"])
    return ", ".join(dict.fromkeys(word for word in what if word))
