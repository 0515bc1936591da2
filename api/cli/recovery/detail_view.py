"""One recovery as a tired person reads it: how it stands, what to do next, and its jobs."""

from __future__ import annotations

from rich.text import Text

from api.cli.connection.as_of import AsOf
from api.cli.output.render import short
from api.cli.output.terminal import STYLES, print_facts, print_table, say
from api.cli.output.times import ago, told_to_the_second, until
from api.cli.recovery.plan_view import SHOWN, gives_up, more_than_shown, pace, print_refused
from api.cli.recovery.text import ASKED, state, way_on, whom
from api.cli.responses import Document

OUTCOMES = {
    "waiting": ("waits", ""),
    "resumed": ("resumed", STYLES["succeeded"]),
    "refused": ("refused", STYLES["paused"]),
    "left": ("stays failed", STYLES["failed"]),
}
"""What became of a job at its turn."""


def print_recovery(document: Document, then: AsOf) -> None:
    """All of it; whom the plan refused stands last: that is left to do by hand."""
    recovery = document["recovery"]
    then.say()
    print_facts(_facts(recovery, then))
    say()
    rows = [_row(job, then, probe=recovery["probe"]) for job in recovery["jobs"][:SHOWN]]
    print_table([">#", "ID", "NAME", "OUTCOME", "TURN", "FIRST FIRE", "FIRST RUN", "NOTE"], rows)
    more_than_shown(len(recovery["jobs"]))
    if recovery["refused"]:
        say()
        print_refused(recovery["refused"])


def _facts(recovery: Document, then: AsOf) -> list[tuple[str, str | Text]]:
    planned = f"{ago(recovery['planned_at'], then.now)}, by {recovery['planned_by']['id']}"
    again = f"{recovery['re_trip_count']}; gives up {gives_up(recovery['abort_on'])}"
    return [
        ("Recovery", recovery["id"]),
        ("State", state(recovery)),
        ("Whom", whom(recovery)),
        ("Planned", planned),
        ("Why", recovery["reason"] or "-"),
        ("Pace", pace(recovery["rate_per_minute"])),
        *_probe(recovery),
        ("Jobs", _counts(recovery)),
        ("Tripped again", again),
        *_next(recovery, then),
    ]


def _probe(recovery: Document) -> list[tuple[str, str]]:
    if recovery["probe"] is None:
        return []
    probe = recovery["jobs"][0]
    name = f"{probe['name'] or '-'} ({short(probe['job_id'])})"
    return [("Probe", f"{name}: {_how_it_went(probe)}")]


def _how_it_went(probe: Document) -> str:
    outcome = probe["first_outcome"]
    if outcome is None:
        return probe["message"] or ("waits" if probe["step_at"] is None else "no outcome yet")
    error = f": {outcome['error']}" if outcome["error"] else ""
    return f"{_first_run(probe)}{error} (position {outcome['position']})"


def _next(recovery: Document, then: AsOf) -> list[tuple[str, str]]:
    if recovery["next_step_at"]:
        return [("Next turn", until(recovery["next_step_at"], then.now))]
    if not recovery["ended_at"]:
        return []
    is_asked = recovery["cause"] == ASKED
    by = f", by {recovery['ended_by']['id']}" if is_asked else ""
    why = f", because: {recovery['end_reason']}" if recovery["end_reason"] else ""
    ended = [("Ended", f"{ago(recovery['ended_at'], then.now)}{by}{why}")]
    if recovery["status"] != "aborted":
        return ended
    once = "" if is_asked else "once the cause is gone: "
    return [*ended, ("To go on", f"{once}{way_on(recovery)}")]


def _counts(recovery: Document) -> str:
    counts = {
        "resumed": recovery["resumed_count"],
        "refused at their turn": recovery["refused_count"],
        "left": recovery["left_count"],
        "refused by the plan": len(recovery["refused"]),
    }
    some = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{recovery['job_count']}: {', '.join(some)}"


def _row(job: Document, then: AsOf, *, probe: str | None) -> tuple[str | Text, ...]:
    word, style = OUTCOMES[job["outcome"]]
    again = job["tripped_again_at"]
    plain = "the probe: a run at once" if job["job_id"] == probe else ""
    note = f"tripped again {told_to_the_second(again, then.now)}" if again else plain
    return (
        str(job["place"] + 1),
        short(job["job_id"]),
        job["name"] or "-",
        Text(word, style),
        told_to_the_second(job["step_at"], then.now),
        told_to_the_second(job["first_fire_at"], then.now),
        _first_run(job),
        job["message"] or note,
    )


def _first_run(job: Document) -> str:
    """What came first of it: `succeeded`, `failed, rate_limited`, `not yet`."""
    if job["outcome"] != "resumed":
        return "-"
    outcome = job["first_outcome"]
    if outcome is None:
        return "not yet"
    what = (outcome["outcome"], outcome["failure_class"])
    return ", ".join(dict.fromkeys(word for word in what if word))
