"""Prints the plan of a recovery: jobs, refused jobs with the reason, and the load it causes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.text import Text

from api.cli.output.render import short
from api.cli.output.sparkline import curve
from api.cli.output.terminal import print_facts, print_lines, print_table, say
from api.cli.output.times import ago, ago_short, distance, span, to_the_second
from api.cli.responses import Document
from ledger.clock import parse_rfc3339
from ledger.plurals import counted

SHOWN = 50
"""Jobs that are printed; --json has all."""
MINUTE = timedelta(minutes=1)


def print_plan(plan: Document) -> None:
    """Print all of it; refused jobs come last."""
    now = parse_rfc3339(plan["planned_at"])
    if not plan["jobs"]:
        why = "every selected job is refused" if plan["refused"] else "no failed job matches"
        say(f"Nothing to resume: {why}.", style="bold")
    else:
        _print_facts(plan, now)
        say()
        _print_jobs(plan, now)
    if plan["refused"]:
        say()
        print_refused(plan["refused"])


def rate_text(rate_per_minute: float) -> str:
    """The rate: `one every 6 s (10/min)`."""
    seconds = 60 / rate_per_minute
    every = f"{seconds:g} s" if seconds < 120 else span(seconds)
    return f"one every {every} ({rate_per_minute:g}/min)"


def abort_condition(limit: int | None) -> str:
    """When a recovery aborts by itself: `after 3 re-trips`."""
    return "never" if limit is None else f"after {counted(limit, 're-trip')}"


def print_hidden_count(count: int) -> None:
    """Print how many jobs are not shown."""
    if count > SHOWN:
        say(f"… and {count - SHOWN} more; --json has all.", style="dim")


def _print_facts(plan: Document, now: datetime) -> None:
    last, condition = ago(plan["last_step_at"], now), abort_condition(plan["abort_on"])
    probe = next((job for job in plan["jobs"] if job["job_id"] == plan["probe"]), None)
    print_facts(
        [
            (
                "Resumes",
                f"{counted(plan['job_count'], 'job')}, {rate_text(plan['rate_per_minute'])}",
            ),
            ("Last step", last),
            *([("Probe", f"{probe['name']}: the others follow if it succeeds")] if probe else []),
            ("Aborts", "\n".join(filter(None, (condition, plan["stop_text"])))),
            ("Refused", str(plan["refused_count"])),
            ("All at once", _load_curve(plan["fires"], "at_once")),
            ("This plan", _load_curve(plan["fires"], "staggered")),
            ("", _axis(plan["fires"])),
            ("First fires", _first_fires(plan["fires"])),
        ]
    )


def _load_curve(fires: Document, which: str) -> Text:
    """Fires per minute as a curve; both plans on one scale."""
    counts = _by_minute(fires, which)
    peak = max(fires["at_once_peak"], fires["staggered_peak"], 1)
    high = fires[f"{which}_peak"]
    style = "red" if high == peak and fires["at_once_peak"] != fires["staggered_peak"] else ""
    text = Text("│").append(curve(counts, peak=peak), style).append("│")
    at = max(fires["per_minute"], key=lambda one: one[which], default=None)
    when = f" at {parse_rfc3339(at['minute']):%H:%M}Z" if at and high else ""
    return text.append(f" peak {high}/min{when}")


def _first_fires(fires: Document) -> str:
    """The peak of first fires, which the stagger lowers; later fires follow the schedules."""
    before, after = fires["first_at_once_peak"], fires["first_staggered_peak"]
    return f"peak {after}/min by this plan, {before}/min all at once"


def _axis(fires: Document) -> str:
    begins, ends = parse_rfc3339(fires["begins_at"]), parse_rfc3339(fires["ends_at"])
    long = span((ends - begins).total_seconds())
    return f"{to_the_second(fires['begins_at'])} to {to_the_second(fires['ends_at'])}, {long}"


def _by_minute(fires: Document, which: str) -> Sequence[int]:
    begins, ends = parse_rfc3339(fires["begins_at"]), parse_rfc3339(fires["ends_at"])
    at = {parse_rfc3339(one["minute"]): int(one[which]) for one in fires["per_minute"]}
    return [at.get(begins + step * MINUTE, 0) for step in range((ends - begins) // MINUTE)]


def _print_jobs(plan: Document, now: datetime) -> None:
    rows = [
        (
            str(job["place"] + 1),
            short(job["job_id"]),
            job["name"],
            _tripped(job, now),
            "now" if job["step_at"] == plan["planned_at"] else _clock(job["step_at"], now),
            ago_short(job["first_fire_at"], now),
        )
        for job in plan["jobs"][:SHOWN]
    ]
    print_table([">#", "!ID", "NAME", "TRIPPED", "STEP AT", "FIRST FIRE"], rows)
    print_hidden_count(len(plan["jobs"]))


def _tripped(job: Document, now: datetime) -> str:
    ago = distance(parse_rfc3339(job["tripped_at"]), now) if job["tripped_at"] else "-"
    return f"{job['failure_class'] or 'cause unknown'}, {ago}"


def _clock(text: str, now: datetime) -> str:
    at = parse_rfc3339(text)
    return f"{at:%H:%M:%S}Z" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}Z"


def print_refused(refused: Sequence[Document]) -> None:
    """Print the jobs that a plan refuses, each with the reason."""
    say(f"Refused ({len(refused)}):", style="bold")
    rows = [(short(one["job_id"]), one["name"] or "-", one["message"]) for one in refused[:SHOWN]]
    print_lines(["ID", "NAME", "REASON"], rows)
    print_hidden_count(len(refused))
