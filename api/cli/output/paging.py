"""Prints the command that shows the next page: as it was typed, with the new cursor."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from enum import Enum
from typing import Any

from typer.core import TyperArgument

from api.cli.output.terminal import say

PROGRAM = "jobledger"
TYPED = "COMMANDLINE"

under_way: ContextVar[Any] = ContextVar("under_way")
"""The context of the command that runs."""


def say_more(document: Mapping[str, Any], **pinned: object) -> None:
    """Print the command for the next page if there is one. `pinned` are parameters that must keep
    their value meanwhile, such as the position that `--as-of 2h` meant.
    """
    if document["next"] is not None:
        given = {"cursor": document["next"]} | pinned
        say(f"Next page: {shlex.join(_typed_again(given))}", style="dim")


def _typed_again(given: Mapping[str, object]) -> Iterator[str]:
    """The words of the command, with the given values for some parameters."""
    context = under_way.get()
    yield from (PROGRAM, *_names(context))
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        typed = context.params[name] if source is not None and source.name == TYPED else None
        yield from _words(parameter, given.get(name, typed))


def _names(context: Any) -> list[str]:
    """The names of the groups below the program, and the command's own."""
    parent = context.parent
    return [] if parent is None else [*_names(parent), context.info_name or ""]


def _words(parameter: Any, value: object) -> Iterator[str]:
    """A parameter as it is typed; nothing when it has no value."""
    if value is None or value is False:
        return
    flag = () if isinstance(parameter, TyperArgument) else (max(parameter.opts, key=len),)
    if value is True:
        yield from flag
        return
    for one in value if isinstance(value, list | tuple) else (value,):
        yield from (*flag, str(one.value if isinstance(one, Enum) else one))
