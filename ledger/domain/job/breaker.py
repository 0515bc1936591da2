"""The per-job policy: when to stop retrying a job, when to try again.

The defaults are Phantom's (ghostwright/phantom#128): 10 consecutive errors, 3 for a one-shot;
backoff of 30 s, 1, 5, 15, 60 min.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from ledger.domain.job.failures import FAILURE_CLASSES
from ledger.errors import InvalidField, UnknownField

NEVER_COUNTED = ("lost", "blocked")
COUNTABLE = tuple(name for name in FAILURE_CLASSES if name not in NEVER_COUNTED)
CATCH_UP = ("one", "none")
MAX_BACKOFF_STEPS = 50
MAX_SECONDS = 366 * 86_400
MAX_PROBE_WAIT = timedelta(hours=24)
MIN_BACKOFF_SECONDS = 0.1
TRIP_AFTER = 10
TRIP_AFTER_ONE_SHOT = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """How one job handles failures. Recorded in full in `job.scheduled`, so that a new default
    changes no existing job.

    `backoff_seconds`: the waits after the first, second … failure; the last repeats. `counts`: the
    failure classes that add to the streak. `probe_after_seconds`: half-open the breaker
    automatically after so long; None leaves it to an operator. `jitter_seconds`: delays the claim
    by a share that is stable for the job; `scheduled_for` is not shifted.
    """

    trip_after: int = TRIP_AFTER
    backoff_seconds: tuple[float, ...] = (30, 60, 300, 900, 3600)
    counts: tuple[str, ...] = COUNTABLE
    max_losses: int = 3
    probe_after_seconds: float | None = None
    catch_up: str = "one"
    timeout_seconds: float = 300
    lease_seconds: float = 60
    jitter_seconds: float = 0

    def plain(self) -> dict[str, Any]:
        """As JSON-plain values, every field written out."""
        lists = {"backoff_seconds": list(self.backoff_seconds), "counts": list(self.counts)}
        return {name: getattr(self, name) for name in KNOWN} | lists

    def backoff(self, attempts: int) -> timedelta:
        """The wait after `attempts` unsuccessful runs in a row (at least 1)."""
        step = min(max(attempts, 1), len(self.backoff_seconds)) - 1
        return timedelta(seconds=self.backoff_seconds[step])

    def counts_toward_streak(self, failure_class: str) -> bool:
        return failure_class in self.counts

    def jitter(self, job_id: UUID) -> timedelta:
        """This job's share of the jitter: the same at every fire."""
        return timedelta(seconds=self.jitter_seconds * (job_id.int % 1000) / 1000)


KNOWN = tuple(item.name for item in fields(Policy))


def parse_policy(
    plain: Mapping[str, object], *, is_one_shot: bool, before: Policy | None = None
) -> Policy:
    """The policy that `plain` asks for; what it leaves out stays as in `before`, or takes the
    default.

    Refuses unknown keys (UnknownField) and values out of range (InvalidField), each by name.
    """
    for key in plain:
        if key not in KNOWN:
            raise UnknownField(f"policy.{key}", KNOWN)
    start = before or Policy(trip_after=TRIP_AFTER_ONE_SHOT if is_one_shot else TRIP_AFTER)
    read = {key: _CHECKS[key].read(f"policy.{key}", value) for key, value in plain.items()}
    return replace(start, **read) if read else start  # type: ignore[arg-type]  # by name, as checked


def policy_of(plain: Mapping[str, Any]) -> Policy:
    """The policy as an event stores it (trusted: it was checked when it was decided)."""
    tuples = {name: tuple(plain[name]) for name in ("backoff_seconds", "counts")}
    return Policy(**{**plain, **tuples})


# -- checks of single fields --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Whole:
    least: int
    most: int

    def read(self, name: str, value: object) -> int:
        if type(value) is not int or not self.least <= value <= self.most:
            raise InvalidField(name, f"must be a whole number from {self.least} to {self.most}")
        return value


@dataclass(frozen=True, slots=True)
class _Seconds:
    least: float
    is_optional: bool = False

    def read(self, name: str, value: object) -> float | None:
        if value is None and self.is_optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidField(name, "must be a number of seconds")
        if not self.least <= value <= MAX_SECONDS:
            raise InvalidField(name, f"must be from {self.least} to {MAX_SECONDS} seconds")
        return value


@dataclass(frozen=True, slots=True)
class _Steps:
    each: _Seconds = field(default_factory=lambda: _Seconds(MIN_BACKOFF_SECONDS))

    def read(self, name: str, value: object) -> tuple[float | None, ...]:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_BACKOFF_STEPS:
            raise InvalidField(
                name, f"must be a list of 1 to {MAX_BACKOFF_STEPS} numbers of seconds"
            )
        return tuple(self.each.read(name, step) for step in value)


@dataclass(frozen=True, slots=True)
class _Words:
    allowed: tuple[str, ...]

    def read(self, name: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or any(word not in self.allowed for word in value):
            raise InvalidField(name, f"must be a list of values out of {', '.join(self.allowed)}")
        return tuple(word for word in self.allowed if word in value)


@dataclass(frozen=True, slots=True)
class _Word:
    allowed: tuple[str, ...]

    def read(self, name: str, value: object) -> str:
        if not isinstance(value, str) or value not in self.allowed:
            raise InvalidField(name, f"must be one of {', '.join(self.allowed)}")
        return value


_CHECKS: dict[str, _Whole | _Seconds | _Steps | _Words | _Word] = {
    "trip_after": _Whole(1, 1_000_000),
    "backoff_seconds": _Steps(),
    "counts": _Words(COUNTABLE),
    "max_losses": _Whole(1, 1_000_000),
    "probe_after_seconds": _Seconds(1, is_optional=True),
    "catch_up": _Word(CATCH_UP),
    "timeout_seconds": _Seconds(MIN_BACKOFF_SECONDS),
    "lease_seconds": _Seconds(1),
    "jitter_seconds": _Seconds(0),
}
