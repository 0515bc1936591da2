"""The fields of a new job, or of a change: every field checked by name, defaults written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ledger.domain.job.breaker import parse_policy, policy_of
from ledger.domain.job.executor_spec import parse_executor
from ledger.domain.schedule.schedules import At, Every, Schedule, parse_schedule, plain
from ledger.errors import InvalidField, TooLarge, UnknownField

MAX_NAME = 200
MAX_DESCRIPTION_BYTES = 4096
MAX_TASK_BYTES = 32 * 1024
MAX_TAGS = 32
MAX_TAG = 64
MAX_TARGET = 200
FIELDS = (
    "name",
    "description",
    "schedule",
    "task",
    "executor",
    "delivery",
    "policy",
    "tags",
    "enabled",
    "delete_after_run",
)


def parse_spec(
    given: Mapping[str, Any], *, planner: Mapping[str, str], anchor_at: str
) -> dict[str, Any]:
    """The fields of `job.scheduled` (but next_run_at) for a caller's request.

    `name` and `schedule` are required; everything else has a default. A grid without an anchor
    starts at `anchor_at` (RFC 3339). Refuses by field: UnknownField, InvalidField, ScheduleInvalid,
    TooLarge.
    """
    _require_known(given)
    for needed in ("name", "schedule"):
        if needed not in given:
            raise InvalidField(needed, "is required")
    schedule = read_schedule(given["schedule"], anchor_at)
    policy = parse_policy(
        read_map("policy", given.get("policy") or {}), is_one_shot=isinstance(schedule, At)
    )
    return {
        "name": read_name(given["name"]),
        "description": read_description(given.get("description")),
        "schedule": plain(schedule),
        "task": read_task(given.get("task", "")),
        "executor": read_executor(given.get("executor")),
        "delivery": read_delivery(given.get("delivery")),
        "policy": policy.plain(),
        "tags": read_tags(given.get("tags", [])),
        "enabled": read_flag("enabled", given.get("enabled", True)),
        "delete_after_run": read_flag("delete_after_run", given.get("delete_after_run", False)),
        "planner": dict(planner),
    }


def parse_patch(
    patch: Mapping[str, Any], current: Mapping[str, Any], *, anchor_at: str
) -> dict[str, Any]:
    """The new values that an RFC 7396 merge patch asks for. `current` has the job's present FIELDS.

    A patch that names the `kind` of a schedule or executor replaces it whole.
    """
    _require_known(patch)
    merged = {key: _merge(current[key], value) for key, value in patch.items()}
    changes: dict[str, Any] = {}
    for key, value in merged.items():
        if key == "schedule":
            changes[key] = plain(read_schedule(value, anchor_at))
        elif key == "policy":
            before = policy_of(current["policy"])
            is_one_shot = current["schedule"].get("kind") == "at"
            given = read_map("policy", patch["policy"] or {})
            changes[key] = parse_policy(
                given, is_one_shot=is_one_shot, before=before if given else None
            ).plain()
        else:
            changes[key] = _READERS[key](value)
    return changes


def read_schedule(given: object, anchor_at: str) -> Schedule:
    """A parsed schedule; a grid without an anchor gets `anchor_at`."""
    schedule = parse_schedule(read_map("schedule", given))
    if isinstance(schedule, Every) and schedule.anchor == "grid" and schedule.anchor_at is None:
        return parse_schedule({**plain(schedule), "anchor_at": anchor_at})
    return schedule


def read_name(value: object) -> str:
    """A name: 1 to 200 characters, no control characters, no leading or trailing blanks."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME:
        raise InvalidField("name", f"must be a string of 1 to {MAX_NAME} characters")
    if not value.isprintable() or value != value.strip():
        raise InvalidField("name", "must be printable, without leading or trailing blanks")
    return value


def read_description(value: object) -> str | None:
    if value is None:
        return None
    return read_text("description", value, MAX_DESCRIPTION_BYTES)


def read_task(value: object) -> str:
    return read_text("task", value, MAX_TASK_BYTES)


def read_executor(value: object) -> dict[str, Any] | None:
    """None leaves the run to the agent at JOBLEDGER_AGENT_URL."""
    return None if value is None else parse_executor(read_map("executor", value))


def read_delivery(value: object) -> dict[str, Any] | None:
    """`{"channel", "target"?}`: where results are delivered."""
    if value is None:
        return None
    given = read_map("delivery", value)
    for key in given:
        if key not in ("channel", "target"):
            raise UnknownField(f"delivery.{key}", ("channel", "target"))
    target = given.get("target")
    if target is not None and (not isinstance(target, str) or not 0 < len(target) <= MAX_TARGET):
        raise InvalidField("delivery.target", f"must be a string of 1 to {MAX_TARGET} characters")
    channel = given.get("channel")
    if not isinstance(channel, str) or not 0 < len(channel) <= MAX_TARGET:
        raise InvalidField("delivery.channel", f"must be a string of 1 to {MAX_TARGET} characters")
    return {"channel": channel, "target": target}


def read_tags(value: object) -> list[str]:
    """Up to 32 different words of up to 64 characters, in the order given."""
    if not isinstance(value, list) or len(value) > MAX_TAGS:
        raise InvalidField("tags", f"must be a list of at most {MAX_TAGS} strings")
    for tag in value:
        if not isinstance(tag, str) or not 0 < len(tag) <= MAX_TAG or not tag.isprintable():
            raise InvalidField(
                "tags", f"each must be a printable string of 1 to {MAX_TAG} characters"
            )
    return list(dict.fromkeys(value))


def read_flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidField(name, "must be true or false")
    return value


def read_map(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidField(name, "must be an object")
    return value


def read_text(name: str, value: object, limit: int) -> str:
    """A text of at most `limit` bytes that every store can hold."""
    if not isinstance(value, str):
        raise InvalidField(name, "must be a string")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidField(name, "contains a lone surrogate, which is not a character") from None
    if size > limit:
        raise TooLarge(name, limit)
    if "\x00" in value:
        raise InvalidField(name, "contains a NUL character")
    return value


def _require_known(given: Mapping[str, Any]) -> None:
    for key in given:
        if key not in FIELDS:
            raise UnknownField(key, FIELDS)


def _merge(current: object, patch: object) -> object:
    if not isinstance(patch, Mapping) or not isinstance(current, Mapping) or "kind" in patch:
        return patch
    kept = {key: value for key, value in current.items() if key not in patch}
    return kept | {
        key: _merge(current.get(key), value) for key, value in patch.items() if value is not None
    }


_READERS: dict[str, Callable[[object], Any]] = {
    "name": read_name,
    "description": read_description,
    "task": read_task,
    "executor": read_executor,
    "delivery": read_delivery,
    "tags": read_tags,
    "enabled": lambda value: read_flag("enabled", value),
    "delete_after_run": lambda value: read_flag("delete_after_run", value),
}
