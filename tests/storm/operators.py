"""What people and agents do with the fleet: when, to which jobs, and why. What was done is noted,
with its position in the book.
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
from ledger.domain.metadata import Actor
from tests.storm.fleet import TEAMS, Member
from tests.storm.weather import Trouble, Weather

PEOPLE = tuple(Actor(name, "user") for name in ("olga", "priya", "tom", "chen", "amara"))
BOT = Actor("triage-bot", "agent")
OF_TEAM = dict(zip(TEAMS, PEOPLE, strict=True))
SURFACES = ("http", "ui", "cli")
EARLY = timedelta(minutes=10)
"""How long after a trouble began somebody loses patience."""
EASED = timedelta(minutes=15)
"""How long after its end jobs are brought back."""
MOST_EARLY = 4
WHY_PAUSED = ("maintenance of the target", "too noisy tonight", "waits for the new contract")

Deed = Callable[[Ledger], None]


@dataclass(slots=True)
class Noted:
    """What was really done, for whoever checks answers later."""

    pauses: list[dict[str, Any]] = field(default_factory=list)
    edits: list[dict[str, Any]] = field(default_factory=list)
    resumes: list[dict[str, Any]] = field(default_factory=list)


class Operators:
    """An agenda in the order of time. `act` does what has come up."""

    def __init__(
        self, chance: Random, weather: Weather, members: dict[UUID, Member], days: float
    ) -> None:
        self.noted = Noted()
        self._chance = chance
        self._members = members
        agenda = [*self._rescues(weather), *self._daily(weather, days)]
        self._agenda = deque(sorted(agenda, key=lambda item: item[0]))

    def next_at(self) -> datetime | None:
        """When there is something to do."""
        return self._agenda[0][0] if self._agenda else None

    def act(self, ledger: Ledger) -> None:
        """Do all that has come up."""
        while self._agenda and self._agenda[0][0] <= ledger.clock.now():
            self._agenda.popleft()[1](ledger)

    # -- the agenda -----------------------------------------------------------------------------

    def _rescues(self, weather: Weather) -> list[tuple[datetime, Deed]]:
        north, south = weather.storms
        plan = ((north, PEOPLE[0]), (south, BOT), (weather.credential, PEOPLE[1]))
        return [
            deed
            for trouble, actor in plan
            for deed in (
                (trouble.when.begins_at + EARLY, partial(self._revive, trouble, actor, False)),
                (trouble.when.ends_at + EASED, partial(self._revive, trouble, actor, True)),
            )
        ]

    def _daily(self, weather: Weather, days: float) -> list[tuple[datetime, Deed]]:
        """A pause and an edit now and then, of jobs that nothing is planted for."""
        start = weather.flapping.when.begins_at
        span = weather.flapping.when.ends_at - start
        plain = [job_id for job_id, member in self._members.items() if member.is_plain]
        recurring = [one for one in plain if self._members[one].spec["schedule"]["kind"] != "at"]
        count = max(2, min(len(recurring), round(days)))
        deeds: list[tuple[datetime, Deed]] = []
        for place, job_id in enumerate(self._chance.sample(recurring, count)):
            at = start + span * self._chance.uniform(0, 0.8)
            length = timedelta(hours=self._chance.randrange(1, 8))
            until = at + length if place % 2 else None
            deeds.append((at, partial(self._pause, job_id, until)))
            if until is None:
                deeds.append((at + length, partial(self._unpause, job_id)))
        for job_id in self._chance.sample(recurring, count):
            at = start + span * self._chance.random()
            deeds.append((at, partial(self._edit, job_id)))
        return [(_outside(at, weather), deed) for at, deed in deeds]

    # -- the deeds ------------------------------------------------------------------------------

    def _revive(self, trouble: Trouble, actor: Actor, has_eased: bool, ledger: Ledger) -> None:
        failed = self._failed(ledger, trouble.target)
        reason = f"{trouble.target} is well again" if has_eased else "surely that was only a blip"
        for job_id in failed if has_eased else failed[:MOST_EARLY]:
            call = self._call(ledger, actor, reason)
            answer = ledger.resume(job_id, force=True, run_now=True, context=call)
            self.noted.resumes.append({**_done(answer, call), "holds": has_eased})

    def _failed(self, ledger: Ledger, target: str) -> Sequence[UUID]:
        return [
            job_id
            for job_id, member in self._members.items()
            if member.target == target and ledger.job_cache.jobs[job_id].status == "failed"
        ]

    def _pause(self, job_id: UUID, until: datetime | None, ledger: Ledger) -> None:
        call = self._call(ledger, self._owner(job_id), self._chance.choice(WHY_PAUSED))
        until = max(until, call.now + timedelta(minutes=1)) if until else None
        answer = ledger.pause(job_id, until=until, context=call)
        told = rfc3339(until) if until else None
        self.noted.pauses.append({**_done(answer, call), "until": told})

    def _unpause(self, job_id: UUID, ledger: Ledger) -> None:
        call = self._call(ledger, self._owner(job_id), "done")
        ledger.resume(job_id, context=call)

    def _edit(self, job_id: UUID, ledger: Ledger) -> None:
        patches: tuple[dict[str, Any], ...] = (
            {"description": f"see ticket {self._chance.randrange(1000, 9999)}"},
            {"policy": {"trip_after": self._chance.randrange(4, 9)}},
            {"schedule": {"kind": "every", "interval_seconds": self._chance.choice((2400, 4800))}},
        )
        call = self._call(ledger, self._owner(job_id), "as agreed")
        answer = ledger.amend(job_id, self._chance.choice(patches), context=call)
        self.noted.edits.append(_done(answer, call))

    def _owner(self, job_id: UUID) -> Actor:
        return OF_TEAM[self._members[job_id].team]

    def _call(self, ledger: Ledger, actor: Actor, reason: str) -> CommandContext:
        door = "http" if actor is BOT else self._chance.choice(SURFACES)
        return ledger.context(reason, actor=actor, source=door)


def _outside(at: datetime, weather: Weather) -> datetime:
    """Nobody does anything while the node is silent: it is done an hour after it."""
    return weather.silence.ends_at + timedelta(hours=1) if weather.silence.holds(at) else at


def _done(answer: CommandResult, call: CommandContext) -> dict[str, Any]:
    return {
        "job_id": str(answer.job_id),
        "position": answer.position,
        "at": rfc3339(call.now),
        "by": call.metadata.actor.id,
        "source": call.metadata.source,
        "reason": call.metadata.reason,
    }
