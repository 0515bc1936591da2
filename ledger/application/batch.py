"""Decides a batch of commands one after the other; each sees what those before it decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger.application.commands.command import Command
from ledger.application.unit_of_work import UnitOfWork
from ledger.domain.aggregate import Stream
from ledger.store.records import EventBatch

NOTHING = EventBatch(())


@dataclass(slots=True)
class Decision:
    """The result or error of one command, the batch to append, the streams it changed."""

    command: Command[Any]
    result: Any = None
    error: BaseException | None = None
    batch: EventBatch = NOTHING
    changed: Sequence[Stream] = ()
    is_half_done: bool = False

    @property
    def answer(self) -> Any:
        """The result, or the error instead of it."""
        return self.result if self.error is None else self.error


def decide_all(unit: UnitOfWork, commands: Sequence[Command[Any]]) -> list[Decision]:
    """Decide each command. When one fails after it has recorded something, the others are decided
    again without it: a fault in one command must not affect others.
    """
    set_aside: dict[int, Decision] = {}
    while True:
        decided = _decide_until_half_done(unit, commands, set_aside)
        if len(decided) == len(commands) and not (decided and decided[-1].is_half_done):
            return decided
        unit.roll_back()
        set_aside[len(decided) - 1] = Decision(decided[-1].command, error=decided[-1].error)


def _decide_until_half_done(
    unit: UnitOfWork, commands: Sequence[Command[Any]], set_aside: dict[int, Decision]
) -> list[Decision]:
    decided: list[Decision] = []
    for number, command in enumerate(commands):
        decided.append(set_aside.get(number) or _decide(unit, command))
        if decided[-1].is_half_done:
            break
    return decided


def _decide(unit: UnitOfWork, command: Command[Any]) -> Decision:
    item = Decision(command)
    try:
        item.result = command.execute(unit)
        item.batch, item.changed = unit.collect()
    except Exception as error:  # noqa: BLE001  the error is this command's answer
        item.error = error
        item.is_half_done = unit.has_pending
        if not item.is_half_done:
            unit.discard()
    return item
