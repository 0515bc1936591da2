"""How to see the next page: the command as it was typed, from where the page ended."""

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
"""The context of the command that was typed."""


def say_more(document: Mapping[str, Any], **pinned: object) -> None:
    """That a page is not the last one, and what to type for the next. `pinned` are parameters of
    the command that must not move meanwhile: `as_of` of a page that was asked for as of 2h ago.
    """
    if document["next"] is not None:
        given = {"cursor": document["next"]} | pinned
        say(f"There is more: {shlex.join(_again(given))}", style="dim")


def _again(given: Mapping[str, object]) -> Iterator[str]:
    """The words of the command under way, with other values for some parameters."""
    context = under_way.get()
    yield from (PROGRAM, *_names(context))
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        typed = context.params[name] if source is not None and source.name == TYPED else None
        yield from _words(parameter, given.get(name, typed))


def _names(context: Any) -> list[str]:
    """The command's own name, after those of its groups but for the program's."""
    parent = context.parent
    return [] if parent is None else [*_names(parent), context.info_name or ""]


def _words(parameter: Any, value: object) -> Iterator[str]:
    """A parameter as it would be typed; nothing for none."""
    if value is None or value is False:
        return
    flag = () if isinstance(parameter, TyperArgument) else (max(parameter.opts, key=len),)
    if value is True:
        yield from flag
        return
    for one in value if isinstance(value, list | tuple) else (value,):
        yield from (*flag, str(one.value if isinstance(one, Enum) else one))
