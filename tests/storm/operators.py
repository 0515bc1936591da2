"""What operators and agents do: when, to which jobs, and why. What they did is recorded with its
position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from ledger import Ledger
from ledger.application.commands.command import CommandResult
from ledger.application.ledger import CommandContext
from ledger.clock import rfc3339
from ledger.domain.event_context import Actor
from tests.storm.fleet import TEAMS, Member
from tests.storm.outages import Outage, Outages

PEOPLE = tuple(Actor(name, "user") for name in ("olga", "priya", "tom", "chen", "amara"))
BOT = Actor("triage-bot", "agent")
OF_TEAM = dict(zip(TEAMS, PEOPLE, strict=True))
SURFACES = ("http", "ui", "cli")
EARLY = timedelta(minutes=10)
"""How long after an outage began an operator resumes jobs too early."""
EASED = timedelta(minutes=15)
"""How long after its end jobs are resumed."""
MAX_EARLY = 4
WHY_PAUSED = ("maintenance of the target", "too noisy tonight", "waits for the new contract")

Action = Callable[[Ledger], None]


@dataclass(slots=True)
class Actions:
    """What was really done, for checks of answers."""

    pauses: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    resumes: list[dict[str, Any]] = field(default_factory=list)


class Operators:
    """An agenda in order of time. `act` does what is due."""

    def __init__(
        self, chance: Random, outages: Outages, members: dict[UUID, Member], days: float
    ) -> None:
        self.actions = Actions()
        self._chance = chance
        self._members = members
        agenda = [*self._resumes(outages), *self._daily(outages, days)]
        self._agenda = deque(sorted(agenda, key=lambda item: item[0]))

    def next_at(self) -> datetime | None:
        """When the next action is due."""
        return self._agenda[0][0] if self._agenda else None

    def act(self, ledger: Ledger) -> None:
        """Do all that is due."""
        while self._agenda and self._agenda[0][0] <= ledger.clock.now():
            self._agenda.popleft()[1](ledger)

    # -- the agenda -----------------------------------------------------------------------------

    def _resumes(self, outages: Outages) -> list[tuple[datetime, Action]]:
        north, south = outages.storms
        plan = ((north, PEOPLE[0]), (south, BOT), (outages.credential, PEOPLE[1]))
        return [
            action
            for outage, actor in plan
            for action in (
                (
                    outage.interval.begins_at + EARLY,
                    partial(self._resume_failed, outage, actor, False),
                ),
                (
                    outage.interval.ends_at + EASED,
                    partial(self._resume_failed, outage, actor, True),
                ),
            )
        ]

    def _daily(self, outages: Outages, days: float) -> list[tuple[datetime, Action]]:
        """Some pauses and edits of plain jobs."""
        start = outages.flapping.interval.begins_at
        span = outages.flapping.interval.ends_at - start
        plain = [job_id for job_id, member in self._members.items() if member.is_plain]
        recurring = [one for one in plain if self._members[one].spec["schedule"]["kind"] != "at"]
        count = max(2, min(len(recurring), round(days)))
        actions: list[tuple[datetime, Action]] = []
        for index, job_id in enumerate(self._chance.sample(recurring, count)):
            at = start + span * self._chance.uniform(0, 0.8)
            length = timedelta(hours=self._chance.randrange(1, 8))
            until = at + length if index % 2 else None
            actions.append((at, partial(self._pause, job_id, until)))
            if until is None:
                actions.append((at + length, partial(self._unpause, job_id)))
        for job_id in self._chance.sample(recurring, count):
            at = start + span * self._chance.random()
            actions.append((at, partial(self._edit, job_id)))
        return [(_outside(at, outages), action) for at, action in actions]

    # -- the actions ----------------------------------------------------------------------------

    def _resume_failed(self, outage: Outage, actor: Actor, is_over: bool, ledger: Ledger) -> None:
        failed = self._failed(ledger, outage.target)
        reason = f"{outage.target} works again" if is_over else "it was probably only a blip"
        for job_id in failed if is_over else failed[:MAX_EARLY]:
            context = self._call(ledger, actor, reason)
            answer = ledger.resume(job_id, force=True, run_now=True, context=context)
            self.actions.resumes.append({**_done(answer, context), "holds": is_over})

    def _failed(self, ledger: Ledger, target: str) -> Sequence[UUID]:
        return [
            job_id
            for job_id, member in self._members.items()
            if member.target == target and ledger.job_cache.jobs[job_id].status == "failed"
        ]

    def _pause(self, job_id: UUID, until: datetime | None, ledger: Ledger) -> None:
        context = self._call(ledger, self._owner(job_id), self._chance.choice(WHY_PAUSED))
        until = max(until, context.now + timedelta(minutes=1)) if until else None
        answer = ledger.pause(job_id, until=until, context=context)
        shown = rfc3339(until) if until else None
        self.actions.pauses.append({**_done(answer, context), "until": shown})

    def _unpause(self, job_id: UUID, ledger: Ledger) -> None:
        context = self._call(ledger, self._owner(job_id), "done")
        ledger.resume(job_id, context=context)

    def _edit(self, job_id: UUID, ledger: Ledger) -> None:
        patches: tuple[dict[str, Any], ...] = (
            {"description": f"see ticket {self._chance.randrange(1000, 9999)}"},
            {"policy": {"trip_after": self._chance.randrange(4, 9)}},
            {"schedule": {"kind": "every", "interval_seconds": self._chance.choice((2400, 4800))}},
        )
        context = self._call(ledger, self._owner(job_id), "as agreed")
        answer = ledger.amend(job_id, self._chance.choice(patches), context=context)
        self.actions.edits.append(_done(answer, context))

    def _owner(self, job_id: UUID) -> Actor:
        return OF_TEAM[self._members[job_id].team]

    def _call(self, ledger: Ledger, actor: Actor, reason: str) -> CommandContext:
        surface = "http" if actor is BOT else self._chance.choice(SURFACES)
        return ledger.context(reason, actor=actor, source=surface)


def _outside(at: datetime, outages: Outages) -> datetime:
    """Actions during the downtime are postponed to an hour after it."""
    return outages.downtime.ends_at + timedelta(hours=1) if outages.downtime.contains(at) else at


def _done(answer: CommandResult, context: CommandContext) -> dict[str, Any]:
    return {
        "job_id": str(answer.job_id),
        "position": answer.position,
        "at": rfc3339(context.now),
        "by": context.actor.id,
        "source": context.source,
        "reason": context.reason,
    }
