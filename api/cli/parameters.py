"""Converts what was typed for a parameter without pydantic, which typer takes 90 ms to import.

What does not fit is left to typer, whose messages say why. The help names no types of Python.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Any

_WHOLE_NUMBER = re.compile(r"[0-9]{1,18}")


class LightParameters:
    """A mixin for commands and groups of typer, whose parameters are then converted here."""

    def get_params(self, ctx: Any) -> Any:  # the library's own signature
        """The parameters, --help and those of shell completion included."""
        parameters = super().get_params(ctx)  # type: ignore[misc]  # of what it is mixed into
        for parameter in parameters:
            parameter.get_runtime_param = _LightConversion
            if getattr(parameter, "is_flag", True):  # which arguments do not have
                parameter.display_type_rich = _no_type
        return parameters


def _no_type(**_: Any) -> None:
    """The column of types for flags and arguments, where typer has <bool> and <str>."""


class _LightConversion:
    """Stands in for typer's RuntimeParam."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value; typer's BadParameter when it does not fit."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        annotation = param.type_descriptor.annotation
        if not isinstance(value, str) or annotation is str:  # a default, or texts of a list
            return value
        match annotation:
            case type() if issubclass(annotation, Enum) and value in _values(annotation):
                return annotation(value)
            case type() if annotation is Path:
                return Path(value)
            case type() if annotation is int and _is_number_for(param, value):
                return int(value)
        typers_own = type(param).get_runtime_param(param)
        return typers_own.coerce(value, param=param, ctx=ctx)


def _values(choices: type[Enum]) -> list[object]:
    return [choice.value for choice in choices]


def _is_number_for(param: Any, value: str) -> bool:
    given = param.type_descriptor.parameter_info
    low, high = given.min, given.max
    return (
        _WHOLE_NUMBER.fullmatch(value) is not None
        and (low is None or low <= int(value))
        and (high is None or int(value) <= high)
    )
