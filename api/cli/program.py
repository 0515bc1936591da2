"""The program: imports a command when it is typed, and turns every refusal into an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from api.cli.exit_codes import Exit, Problem, Stop, exit_of_error
from api.cli.output.paging import under_way
from api.cli.output.render import write_document
from api.cli.output.terminal import complain
from api.cli.parameters import LightParameters
from api.cli.table import COMMANDS, CommandEntry, Entry, GroupEntry
from ledger.errors import LedgerError

HELP = (
    "An event-sourced job ledger: schedule jobs, see what happened to them, resume them.\n\n"
    "Commands talk to the server at JOBLEDGER_URL, else to the server that owns the data folder, "
    "else they open the folder themselves.\n\n"
    "Exit codes: 0 ok, 1 refused, 2 wrong usage or start refused, 3 not found, 4 not allowed, "
    "5 not available."
)


class CliCommand(LightParameters, TyperCommand):
    """A command. With --json a refusal, too, is the API's document on stdout."""

    def invoke(self, ctx: Any) -> Any:  # the library's own signature
        """Run it."""
        under_way.set(ctx)
        try:
            return super().invoke(ctx)
        except Problem as problem:
            if ctx.params.get("as_json"):
                write_document(problem.document)
            raise


class ListedCommand(TyperCommand):
    """A command as the help lists it: its module is imported only when the command is typed."""

    def __init__(self, entry: CommandEntry) -> None:
        super().__init__(name=entry.name, help=entry.help, rich_help_panel=entry.panel)
        self._entry = entry

    def load(self) -> Any:
        """The command itself, with its flags."""
        module, _, function = self._entry.home.partition(":")
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(self._entry.name, cls=CliCommand)(
            getattr(import_module(f"api.cli.{module}"), function)
        )
        return get_command(app)


class CommandGroup(LightParameters, TyperGroup):
    """A group whose help and completion read the table alone."""

    def __init__(
        self, *, entries: tuple[CommandEntry | GroupEntry, ...], **attributes: Any
    ) -> None:
        super().__init__(**attributes)
        for entry in entries:
            self.add_command(_listed(entry))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # the library's own signature
        """The command that was typed, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, ListedCommand) else command, rest


def _listed(entry: Entry) -> ListedCommand | CommandGroup:
    if isinstance(entry, CommandEntry):
        return ListedCommand(entry)
    return CommandGroup(
        name=entry.name,
        help=entry.help,
        rich_help_panel=entry.panel,
        entries=entry.commands,
        no_args_is_help=True,
    )


class Program(CommandGroup):
    """Ends each command with a documented exit code, and a refusal with one line on stderr."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(entries=COMMANDS, **attributes)

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


def build() -> typer.Typer:
    """The program, with every command."""
    return typer.Typer(
        cls=Program,
        help=HELP,
        no_args_is_help=True,
        callback=lambda: None,  # makes it a group before any command is imported
        pretty_exceptions_enable=False,
    )


def _end_misused(wrong_usage: typer.TyperException) -> int:
    message = wrong_usage.format_message()
    if not message:  # no command was typed, and the help is shown already
        return Exit.USAGE
    return _end(wrong_usage.exit_code, f"{message} (see --help)")


def _end(code: int, message: str) -> int:
    complain(f"jobledger: {message}")
    return code


def _leave_quietly() -> int:
    """End after the reader of a pipe has gone, without a complaint of the interpreter."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.OK
