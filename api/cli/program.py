"""The program: its commands in one table, and the one place where a "no" becomes an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import orjson
import typer
from typer.core import TyperCommand, TyperGroup

from api.cli.admin import (
    backup as backups,
)
from api.cli.admin import (
    fork as forking,
)
from api.cli.admin import (
    maintenance as keeping,
)
from api.cli.admin import (
    migrate as migrating,
)
from api.cli.admin import (
    move as moving,
)
from api.cli.admin import (
    tokens,
)
from api.cli.crontab import import_jobs as crontab_import
from api.cli.exit_codes import Exit, Problem, Stop, exit_of_error
from api.cli.inspect import (
    audit,
    blame,
    diff,
    gaps,
    history,
    resumes,
    storms,
    summary,
    what_if,
    why,
)
from api.cli.inspect import (
    export as exporting,
)
from api.cli.jobs import lifecycle as changes
from api.cli.jobs import schedule as scheduling
from api.cli.jobs import show as jobs
from api.cli.options import AsJson
from api.cli.output.paging import under_way
from api.cli.output.render import write_document
from api.cli.output.terminal import complain, say
from api.cli.recovery import commands as recovering
from api.cli.recovery import show as recoveries
from api.cli.replay.command import replay
from api.cli.server import serve as serving
from api.cli.server import worker as working
from ledger.errors import LedgerError

HELP = (
    "An event-sourced job ledger: schedule jobs, see what happened, bring them back.\n\n"
    "Commands talk to JOBLEDGER_URL if that is set, else to the server that owns the data folder; "
    "without one they open the folder themselves.\n\n"
    "Exit codes: 0 ok, 1 refused, 2 wrong usage or start refused, 3 not found, 4 not allowed, "
    "5 not available."
)


class Program(TyperGroup):
    """Ends every command with a documented exit code and, when it is a no, one line on stderr."""

    def main(self, *args: Any, **extra: Any) -> Any:  # the library's own signature
        """Parse, run, exit."""
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
            sys.stdout.flush()
        except BrokenPipeError:
            code = _leave_quietly()
        except typer.TyperException as wrong_usage:
            code = _end_misused(wrong_usage)
        except typer.Abort:
            code = _end(Exit.REFUSED, "Nothing was changed.")
        except Stop as stop:
            code = _end(stop.code, stop.message)
        except LedgerError as error:
            code = _end(exit_of_error(error), f"{error.code}: {error.message}")
        sys.exit(int(code or Exit.OK))


class CliCommand(TyperCommand):
    """With --json, a refusal too is the API's document on stdout. Remembers what was typed."""

    def invoke(self, ctx: Any) -> Any:  # the library's own signature
        under_way.set(ctx)
        try:
            return super().invoke(ctx)
        except Problem as problem:
            if ctx.params.get("as_json"):
                write_document(problem.document)
            raise


def version(as_json: AsJson = False) -> None:
    """Print the version."""
    try:
        number = installed_version("jobledger")
    except PackageNotFoundError:  # run from the source tree, not installed
        number = "0"
    if as_json:
        write_document(orjson.dumps({"version": number}).decode())
    else:
        say(f"jobledger {number}")


COMMANDS: tuple[tuple[str, str, Callable[..., None]], ...] = (
    ("Processes", "serve", serving.serve),
    ("Processes", "dispatch", serving.dispatch),
    ("Processes", "worker", working.worker),
    ("Jobs", "schedule", scheduling.schedule),
    ("Jobs", "amend", scheduling.amend),
    ("Jobs", "preview", scheduling.preview),
    ("Jobs", "pause", changes.pause),
    ("Jobs", "resume", changes.resume),
    ("Jobs", "run", changes.run),
    ("Jobs", "delete", changes.delete),
    ("Jobs", "list", jobs.list_jobs),
    ("Jobs", "show", jobs.show_job),
    ("Jobs", "runs", jobs.runs),
    ("Jobs", "history", history.history),
    ("Jobs", "why", why.why),
    ("Jobs", "blame", blame.blame),
    ("Questions", "summary", summary.summary),
    ("Questions", "audit", audit.audit),
    ("Questions", "gaps", gaps.list_gaps),
    ("Questions", "resumes", resumes.list_resumes),
    ("Questions", "what-if", what_if.what_if),
    ("Questions", "diff", diff.diff),
    ("Questions", "replay", replay),
    ("Questions", "export", exporting.export),
    ("Administration", "verify", keeping.verify),
    ("Administration", "rebuild", keeping.rebuild),
    ("Administration", "doctor", keeping.doctor),
    ("Administration", "migrate", migrating.migrate),
    ("Administration", "backup", backups.backup),
    ("Administration", "move", moving.move_ledger),
    ("Administration", "fork", forking.fork_ledger),
    ("Administration", "version", version),
)
"""Panel of the help, name, function."""

GROUPS: tuple[tuple[str, str, str, tuple[tuple[str, Callable[..., None]], ...]], ...] = (
    (
        "Storms and recoveries",
        "storm",
        "List storms, show one, resume the jobs it tripped.",
        (
            ("list", storms.list_storms),
            ("show", storms.show_storm),
            ("resume", recovering.resume_storm),
        ),
    ),
    (
        "Storms and recoveries",
        "recovery",
        "Start, list, show and abort recoveries.",
        (
            ("start", recovering.start_recovery),
            ("list", recoveries.list_recoveries),
            ("show", recoveries.show_recovery),
            ("abort", recoveries.abort_recovery),
        ),
    ),
    (
        "Administration",
        "token",
        "Create, list and revoke tokens (admins).",
        (
            ("create", tokens.create),
            ("list", tokens.list_tokens),
            ("revoke", tokens.revoke),
        ),
    ),
    (
        "Administration",
        "import",
        "Import jobs of other schedulers (admins).",
        (("crontab", crontab_import.import_crontab),),
    ),
)
"""Panel of the help, name, purpose, commands."""


def build() -> typer.Typer:
    """The program, with every command."""
    program = typer.Typer(
        cls=Program,
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    for panel, name, function in COMMANDS:
        program.command(name, cls=CliCommand, rich_help_panel=panel)(function)
    for panel, name, purpose, commands in GROUPS:
        program.add_typer(
            _group(purpose, commands), name=name, cls=TyperGroup, rich_help_panel=panel
        )
    return program


def _group(purpose: str, commands: Iterable[tuple[str, Callable[..., None]]]) -> typer.Typer:
    group = typer.Typer(help=purpose, no_args_is_help=True)
    for name, function in commands:
        group.command(name, cls=CliCommand)(function)
    return group


def _end_misused(wrong_usage: typer.TyperException) -> int:
    message = wrong_usage.format_message()
    if not message:  # no command at all was typed, and the help is shown already
        return Exit.USAGE
    return _end(wrong_usage.exit_code, f"{message} (see --help)")


def _end(code: int, message: str) -> int:
    complain(f"jobledger: {message}")
    return code


def _leave_quietly() -> int:
    """Whoever read the output has gone: nothing more can be said, not even by the interpreter."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.OK
