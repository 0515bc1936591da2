"""The jobs: of every kind, in several time zones, of several owners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from ledger.clock import rfc3339
from tests.storm.outages import CRM, FEEDS, NORTH, SOUTH

STORM_SHARE, CREDENTIAL_SHARE = 0.1, 0.03
FLAPPING_JOBS = 2
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney")
TEAMS = ("billing", "research", "support", "platform", "sales")
CHORES = ("digest", "sync", "report", "cleanup", "crawl", "reminder", "export", "backup")
SEVERAL_AN_HOUR = ("*/10 * * * *", "*/15 * * * *", "7,22,37,52 * * * *")
RARER = ("5 * * * *", "*/30 8-18 * * 1-5", "30 2 * * *", "0 9 * * 1-5", "20,50 * * * *")


@dataclass(frozen=True, slots=True)
class Member:
    """A job to schedule: its spec, its target, and whether no outage is planted for it."""

    number: int
    spec: dict[str, Any]
    team: str
    target: str
    is_plain: bool


def fleet(chance: Random, size: int, start: datetime, days: float) -> list[Member]:
    """`size` jobs: a tenth on each of two providers, some that share one credential, two on a
    flapping target, and plain ones.
    """
    targets = [
        *[NORTH] * max(4, round(size * STORM_SHARE)),
        *[SOUTH] * max(4, round(size * STORM_SHARE)),
        *[CRM] * max(3, round(size * CREDENTIAL_SHARE)),
        *[FEEDS] * FLAPPING_JOBS,
    ]
    plain = [f"service-{number}.example" for number in range(size - len(targets))]
    span = timedelta(days=days)
    return [
        _member(chance, number, target, _schedule(chance, target not in plain, start, span))
        for number, target in enumerate([*targets, *plain])
    ]


def _member(chance: Random, number: int, target: str, schedule: dict[str, Any]) -> Member:
    team, chore = chance.choice(TEAMS), chance.choice(CHORES)
    is_plain = target.startswith("service-")
    spec = {
        "name": f"{team} {chore} {number:03}",
        "schedule": schedule,
        "task": f"{chore} for {team}",
        "executor": {"kind": "http", "url": f"https://{target}/{chore}"},
        "tags": [f"team:{team}", f"target:{'own' if is_plain else target.split('.')[-2]}"],
        "policy": _policy(number, target),
    }
    return Member(number, spec, team, target, is_plain)


def _policy(number: int, target: str) -> dict[str, Any]:
    """Every second job of a provider, and all with the credential, trip soon."""
    trips_soon = target == CRM or (target in (NORTH, SOUTH) and number % 2 == 0)
    soon = {"trip_after": 3, "backoff_seconds": [30, 60, 300]}
    return {**(soon if trips_soon else {}), "catch_up": "none" if number % 5 == 4 else "one"}


def _schedule(
    chance: Random, is_frequent: bool, start: datetime, span: timedelta
) -> dict[str, Any]:
    dice = chance.random()
    if dice < 0.5:
        expr = chance.choice(SEVERAL_AN_HOUR if is_frequent or dice < 0.07 else RARER)
        return {"kind": "cron", "expr": expr, "tz": chance.choice(ZONES)}
    seconds = chance.choice((600, 900) if is_frequent else (1200, 1800, 3600))
    if dice < 0.75:
        return {"kind": "every", "interval_seconds": seconds, "anchor": "grid"}
    if dice < 0.93 or is_frequent:
        return {"kind": "every", "interval_seconds": seconds, "anchor": "end"}
    at = start + span * chance.uniform(0.05, 0.95)
    return {"kind": "at", "at": rfc3339(at.replace(microsecond=0))}
