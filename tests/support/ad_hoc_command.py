"""A command made of any function, for tests that need the writer to execute their own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ledger.application.commands.command import Command
from ledger.application.unit_of_work import UnitOfWork

T = TypeVar("T")


@dataclass(frozen=True)
class AdHoc(Command[T]):
    """Executes `decide` in the writer's thread."""

    decide: Callable[[UnitOfWork], T]

    def execute(self, unit: UnitOfWork) -> T:
        return self.decide(unit)
