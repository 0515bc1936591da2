"""Every command as data: its panel in the help, its name, one line of help, and where it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command. `help` is the first line of the docstring of the function at `home`."""

    panel: str
    name: str
    help: str
    home: str
    """module:function below `api.cli`"""


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A noun and its commands."""

    panel: str
    name: str
    help: str
    commands: tuple[CommandEntry, ...]


Entry = CommandEntry | GroupEntry
Row = tuple[str, str, str]
"""Name, help, home."""


def _panel(panel: str, *rows: Row) -> tuple[CommandEntry, ...]:
    return tuple(CommandEntry(panel, *row) for row in rows)


def _group(panel: str, name: str, help_: str, *rows: Row) -> GroupEntry:
    return GroupEntry(panel, name, help_, _panel("Commands", *rows))


COMMANDS: tuple[Entry, ...] = (
    *_panel(
        "Processes",
        ("serve", "Run the HTTP API, the status page and the dispatcher.", "server.serve:serve"),
        ("dispatch", "Run the dispatcher without the HTTP API.", "server.serve:dispatch"),
        ("worker", "Execute a program for each run of a queue.", "server.worker:worker"),
    ),
    *_panel(
        "Jobs",
        ("schedule", "Create a job.", "jobs.schedule:schedule"),
        ("amend", "Change a job; its id, history and status stay.", "jobs.schedule:amend"),
        ("preview", "Show when a schedule would fire; create nothing.", "jobs.schedule:preview"),
        ("pause", "Stop a job from firing until it is resumed.", "jobs.lifecycle:pause"),
        ("resume", "Resume a paused job, or a failed one by force.", "jobs.lifecycle:resume"),
        ("run", "Request one run now.", "jobs.lifecycle:run"),
        ("delete", "Delete a job and free its name; its history stays.", "jobs.lifecycle:delete"),
        ("list", "List jobs with their status, next and last run.", "jobs.show:list_jobs"),
        ("show", "Show everything about one job.", "jobs.show:show_job"),
        ("runs", "List the runs of one job, newest first.", "jobs.show:runs"),
        ("history", "Show the events of one job as a timeline.", "inspect.history:history"),
        ("why", "Explain why a job is running, or is not.", "inspect.why:why"),
        ("blame", "Show which event set each field of a job.", "inspect.blame:blame"),
    ),
    _group(
        "Storms and recoveries",
        "storm",
        "List storms, show one, or resume the jobs of one.",
        ("list", "List storms, newest first.", "inspect.storms:list_storms"),
        ("show", "Show one storm and its jobs.", "inspect.storms:show_storm"),
        ("resume", "Resume the jobs that a storm tripped.", "recovery.commands:resume_storm"),
    ),
    _group(
        "Storms and recoveries",
        "recovery",
        "Resume many failed jobs at a limited rate.",
        ("start", "Resume failed jobs at a limited rate.", "recovery.commands:start"),
        ("list", "List recoveries, newest first.", "recovery.show:list_recoveries"),
        ("show", "Show one recovery and its jobs.", "recovery.show:show_recovery"),
        ("abort", "Abort a recovery.", "recovery.show:abort_recovery"),
    ),
    *_panel(
        "Questions",
        ("summary", "Show job counts, the next run, recent failures.", "inspect.summary:summary"),
        ("audit", "Search events: who did what, when and why.", "inspect.audit:audit"),
        ("gaps", "List spans of missed runs with their cause.", "inspect.gaps:list_gaps"),
        ("resumes", "List forced resumes and how many held.", "inspect.resumes:list_resumes"),
        ("what-if", "Estimate the effect of another breaker policy.", "inspect.what_if:what_if"),
        ("diff", "Show what changed between two points in time.", "inspect.diff:diff"),
        ("replay", "Play back a period of history.", "replay.command:replay"),
        ("export", "Write events, or jobs as a crontab.", "inspect.export:export"),
    ),
    *_panel(
        "Administration",
        ("verify", "Verify the hash chain of the event store.", "admin.maintenance:verify"),
        ("rebuild", "Rebuild the read models from the events.", "admin.maintenance:rebuild"),
        ("doctor", "Check jobs, job cache and read models.", "admin.maintenance:doctor"),
        ("migrate", "Migrate the PostgreSQL schema to this version.", "admin.migrate:migrate"),
        ("backup", "Back up the event store, or check a backup.", "admin.backup:backup"),
        ("move", "Copy a ledger between SQLite and PostgreSQL.", "admin.move:move_ledger"),
        ("fork", "Copy a ledger up to a point in time.", "admin.fork:fork_ledger"),
        ("version", "Print the version.", "admin.version:version"),
    ),
    _group(
        "Administration",
        "token",
        "Create, list and revoke tokens (admins).",
        ("create", "Create a token and print its secret.", "admin.tokens:create"),
        ("list", "List tokens, also revoked ones.", "admin.tokens:list_tokens"),
        ("revoke", "Revoke a token.", "admin.tokens:revoke"),
    ),
    _group(
        "Administration",
        "import",
        "Import jobs from another scheduler (admins).",
        ("crontab", "Create jobs from a crontab.", "crontab.import_jobs:import_crontab"),
    ),
)
